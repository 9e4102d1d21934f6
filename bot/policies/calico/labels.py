"""A Calico selector's tree in; out, the pods that it selects as an expression, and the addresses of sets that it does.

Every pod has one map of labels in Calico: its own, its namespace's under `pcns.`, its account's under `pcsa.`, and three of
`projectcalico.org/`. Here each of them is an attribute of its own scope (`pod`, `namespace`, `account`).
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.policies import intervals
from bot.policies.calico.selectors import (
    All,
    Compare,
    Every,
    Global,
    Has,
    Negation,
    Node,
    Some,
    compare,
    matches,
    rewrite,
)
from bot.policies.calico.surroundings import (
    ACCOUNT,
    NAME,
    NAMESPACE,
    ORCHESTRATOR,
    PER_ACCOUNT,
    PER_NAMESPACE,
    Addressed,
)
from bot.policies.model import (
    EVERYTHING,
    NOBODY,
    PODS,
    And,
    Expr,
    InAddresses,
    InNamespace,
    Label,
    Not,
    conjunction,
    disjunction,
)
from bot.policies.selectors import NAMESPACE_NAME, Selectors

_OPERATORS = {"contains": "contains", "starts with": "prefix", "ends with": "suffix"}


def under(node: Node, prefix: str) -> Node:
    """A selector of namespaces or accounts as one over all labels (updateprocessors/rules.go, `parseSelectorAttachPrefix`)."""

    def leaf(found: Node) -> Node:
        if isinstance(found, Has):
            return Has(prefix + found.key)
        return found._replace(key=prefix + found.key) if isinstance(found, Compare) else found

    return rewrite(node, leaf)


def narrowed(node: Node, key: str) -> Node:
    """The same tree with `has(key)` for `all()`, and its opposite for `global()`."""

    def leaf(found: Node) -> Node:
        if isinstance(found, All):
            return Has(key)
        return Negation(Has(key)) if isinstance(found, Global) else found

    return rewrite(node, leaf)


def both(*nodes: Node | None) -> Node | None:
    """All of the trees that are there; None where there are none."""
    found = [node for node in nodes if node is not None]
    return None if not found else found[0] if len(found) == 1 else Every(tuple(found))


def in_namespace(namespace: str) -> Node:
    """`projectcalico.org/namespace == 'namespace'`."""
    return Compare(NAMESPACE, "==", (namespace,))


class Labels:
    """Selectors of one run as expressions; equal ones become the identical one."""

    def __init__(self, interned: Selectors) -> None:
        self._intern = interned.intern
        self._pods: dict[tuple[Node, str], Expr] = {}
        self.sees_accounts = False

    def pods(self, node: Node, home: str = "") -> Expr:
        """The pods that a tree selects; with `home`, those of this namespace, and nothing but its own labels are looked at."""
        found = self._pods.get((node, home))
        if found is None:
            inner = self._expr(node, home)
            where = InNamespace(home) if home else PODS
            found = inner if isinstance(inner, InNamespace) else conjunction((where, inner))
            if isinstance(found, And) and PODS in found.parts and isinstance(found.parts[0], InNamespace):
                found = conjunction(part for part in found.parts if part is not PODS)
            found = self._pods[(node, home)] = self._intern(found)
        return found

    def _expr(self, node: Node, home: str) -> Expr:
        if isinstance(node, (All, Global)):
            return EVERYTHING
        if isinstance(node, Negation):
            return _not(self._expr(node.inner, home))
        if isinstance(node, Every):
            return conjunction(self._expr(part, home) for part in node.parts)
        if isinstance(node, Some):
            return disjunction(self._expr(part, home) for part in node.parts)
        key = node.key
        if key == ORCHESTRATOR:
            return _known(node, "k8s")
        if home and (key == NAMESPACE or key in (PER_NAMESPACE + NAME, PER_NAMESPACE + NAMESPACE_NAME)):
            return _known(node, home)
        if key == NAMESPACE or key == PER_NAMESPACE + NAME:
            return _attribute(node, "namespace", NAMESPACE_NAME)
        if key.startswith(PER_NAMESPACE):
            return _attribute(node, "namespace", key[len(PER_NAMESPACE) :])
        if key == ACCOUNT or key.startswith(PER_ACCOUNT):
            self.sees_accounts = True
            return _attribute(node, "account", NAME if key == ACCOUNT else key[len(PER_ACCOUNT) :])
        return _attribute(node, "pod", key)


def addresses_of(node: Node, objects: tuple[Addressed, ...]) -> Expr:
    """The addresses of the sets and host endpoints that a tree selects."""
    found = intervals.normal(pair for one in objects if matches(node, one.labels) for pair in one.addresses)
    return InAddresses(found) if found else NOBODY


def _known(node: Has | Compare, value: str) -> Expr:
    """A label that every pod has with one value."""
    return EVERYTHING if isinstance(node, Has) or compare(node, value) else NOBODY


def _attribute(node: Has | Compare, scope: str, key: str) -> Expr:
    if isinstance(node, Has):
        if (scope, key) in (("namespace", NAMESPACE_NAME), ("account", NAME)):
            return EVERYTHING
        return Label(scope, key, "exists")
    if node.operator in ("!=", "not in"):
        return _not(_attribute(node._replace(operator="in"), scope, key))
    if node.operator in ("==", "in"):
        if (scope, key) == ("namespace", NAMESPACE_NAME):
            return disjunction(InNamespace(value) for value in node.values)
        return Label(scope, key, "in", node.values) if node.values else NOBODY
    return Label(scope, key, _OPERATORS[node.operator], node.values)


def _not(expr: Expr) -> Expr:
    if expr is EVERYTHING:
        return NOBODY
    if expr is NOBODY:
        return EVERYTHING
    return expr.inner if isinstance(expr, Not) else Not(expr)


def attributes(
    labels: Mapping[str, str],
    namespace_labels: Mapping[str, str],
    account: str,
    account_labels: Mapping[str, str],
) -> Mapping[str, Mapping[str, str]]:
    """What policies see of a pod: labels under `pcns.` and `pcsa.` of its own are dropped (workloadendpointprocessor.go)."""
    return {"pod": labels, "namespace": namespace_labels, "account": {**account_labels, NAME: account}}
