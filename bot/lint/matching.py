"""One side's workloads in; for an expression, those of them that surely match it out, found by namespace and label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bot.lint.near import holds, labels_asked
from bot.policies.model import (
    EVERYTHING,
    PODS,
    And,
    Everything,
    Expr,
    HasPort,
    InAddresses,
    InNamespace,
    Kind,
    Label,
    Not,
    Or,
)

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot, Workload
    from bot.policies.model import Vocabulary

_MANY = 100
_NONE: Mapping[str, str] = {}


def namespaces_of(expr: Expr) -> tuple[str, ...] | None:
    """The namespaces that an expression names, where it names them."""
    first = expr.parts[0] if isinstance(expr, And) else expr
    if isinstance(first, InNamespace):
        return (first.namespace,)
    if isinstance(first, Or) and all(isinstance(part, InNamespace) for part in first.parts):
        return tuple(part.namespace for part in first.parts if isinstance(part, InNamespace))
    return None


def without_ports(expr: Expr) -> Expr:
    """The endpoints of an expression, whatever ports they declare."""
    if isinstance(expr, HasPort):
        return EVERYTHING
    if isinstance(expr, And) and any(isinstance(part, HasPort) for part in expr.parts):
        kept = tuple(part for part in expr.parts if not isinstance(part, HasPort))
        return kept[0] if len(kept) == 1 else And(kept) if kept else EVERYTHING
    return expr


class Pods:
    """The workloads of a side that policies can see: not those that run on the host network."""

    def __init__(self, snapshot: Snapshot, vocabulary: Vocabulary, head: bool) -> None:
        """`head`: whose attributes count, where the sides give them others."""
        self.snapshot = snapshot
        self.by_namespace: dict[str, list[Workload]] = {}
        for workload in snapshot.workloads:
            self.by_namespace.setdefault(workload.namespace, []).append(workload)
        seen = vocabulary.attributes if head else vocabulary.base_attributes or vocabulary.attributes
        self._attributes = seen
        self._known: dict[int, tuple[Expr, tuple[Workload, ...]]] = {}
        self._looked_into: dict[int, tuple[Expr, list[str]]] = {}
        self._by_label: dict[str, dict[str, list[Workload]]] = {}
        self._spaces: dict[tuple[Expr, ...], list[str]] = {}

    def labelled(self, key: str, values: Iterable[str]) -> list[Workload]:
        """The workloads that have a label with one of these values."""
        index = self._index(key)
        return [workload for value in values for workload in index.get(value, ())]

    def _index(self, key: str) -> dict[str, list[Workload]]:
        index = self._by_label.get(key)
        if index is None:
            index = self._by_label[key] = {}
            for workload in self.snapshot.workloads:
                value = workload.labels.get(key)
                if value is not None:
                    index.setdefault(value, []).append(workload)
        return index

    def candidates(self, asked: Sequence[Expr]) -> Sequence[Workload]:
        """The workloads of all namespaces that have the first label with a value that is asked for; all where none is."""
        first = next(
            (part for part in asked if isinstance(part, Label) and part.operator == "in" and part.scope == "pod"), None
        )
        if first is None:
            return self.snapshot.workloads
        index = self._index(first.key)
        return [workload for value in dict.fromkeys(first.values) for workload in index.get(value, ())]

    def namespaces(self, expr: Expr) -> list[str]:
        """The namespaces that an expression of pods looks into (all of them where it asks nothing of them)."""
        found = self._looked_into.get(id(expr))
        if found is None:
            found = self._looked_into[id(expr)] = (expr, self._namespaces(expr))
        return found[1]

    def _namespaces(self, expr: Expr) -> list[str]:
        known = self.snapshot.namespaces
        named = namespaces_of(expr)
        if named is not None:
            return [name for name in named if name in known]
        asked = labels_asked(expr, "namespace")
        if asked is None:
            return []
        return [name for name, one in known.items() if all(holds(part, one.labels) for part in asked)]

    def selected(self, expr: Expr) -> Sequence[Workload]:
        """The workloads that surely match."""
        found = self._known.get(id(expr))
        if found is None:
            found = self._known[id(expr)] = (expr, tuple(self._selected(expr)))
        return found[1]

    def _selected(self, expr: Expr) -> list[Workload]:
        if isinstance(expr, (InAddresses, Label)) or (isinstance(expr, And) and isinstance(expr.parts[0], InAddresses)):
            if isinstance(expr, Label):
                return [w for w in self.snapshot.workloads if self._holds(expr, w, False)]
            return []
        parts = tuple(part for part in (expr.parts if isinstance(expr, And) else (expr,)) if part != PODS)
        if not parts:
            return self._among(self.by_namespace, ())
        first, rest = parts[0], parts[1:]
        if isinstance(first, InNamespace):
            return self._among((first.namespace,), rest)
        spaces = tuple(part for part in parts if _is_about_namespaces(part))
        if spaces:
            names = self._spaces.get(spaces)
            if names is None:
                names = self._spaces[spaces] = [
                    name
                    for name, one in self.snapshot.namespaces.items()
                    if name in self.by_namespace and all(holds(part, one.labels) for part in spaces)
                ]
            return self._among(names, tuple(part for part in parts if part not in spaces))
        return self._among(self.by_namespace, parts)

    def _among(self, namespaces: Sequence[str] | Mapping[str, object], parts: tuple[Expr, ...]) -> list[Workload]:
        plain = [(part.key, part.values) for part in parts if isinstance(part, Label) and part.operator == "in"]
        if (
            self._attributes is None
            and len(plain) == len(parts)
            and all(getattr(part, "scope", "") == "pod" for part in parts)
        ):
            if plain and sum(len(self.by_namespace.get(name, ())) for name in namespaces) > _MANY:
                wanted = frozenset(namespaces)
                return [
                    w
                    for w in self.candidates(parts)
                    if w.namespace in wanted and not w.host_network and _has(w.labels, plain)
                ]
            return [
                workload
                for name in namespaces
                for workload in self.by_namespace.get(name, ())
                if not workload.host_network and _has(workload.labels, plain)
            ]
        return [
            workload
            for name in namespaces
            for workload in self.by_namespace.get(name, ())
            if not workload.host_network and all(self._holds(part, workload, False) for part in parts)
        ]

    def _holds(self, expr: Expr, workload: Workload, possibly: bool) -> bool:
        """Whether it surely matches (`possibly`: whether it may)."""
        if workload.host_network:
            return False
        if isinstance(expr, Label):
            return holds(expr, self._of(expr.scope, workload))
        if isinstance(expr, And):
            return all(self._holds(part, workload, possibly) for part in expr.parts)
        if isinstance(expr, Or):
            return any(self._holds(part, workload, possibly) for part in expr.parts)
        if isinstance(expr, Not):
            return not self._holds(expr.inner, workload, not possibly)
        if isinstance(expr, Everything):
            return True
        if isinstance(expr, Kind):
            return expr.kind == "pod"
        if isinstance(expr, InNamespace):
            return expr.namespace == workload.namespace
        if isinstance(expr, HasPort):
            return any(
                (expr.name, expr.protocol, expr.number) == port
                for port in ((p.name, p.protocol, p.number) for p in workload.ports)
            )
        return possibly and expr.tag in ("maybe", "in-addresses")

    def _of(self, scope: str, workload: Workload) -> Mapping[str, str]:
        if self._attributes is None:
            if scope == "pod":
                return workload.labels
            namespace = self.snapshot.namespaces.get(workload.namespace) if scope == "namespace" else None
            return namespace.labels if namespace is not None else _NONE
        namespace = self.snapshot.namespaces.get(workload.namespace)
        labels = namespace.labels if namespace is not None else {}
        seen = self._attributes(workload.labels, labels, workload.namespace, workload.service_account)
        return seen.get(scope, _NONE)


def both_pods(base: Snapshot, head: Snapshot, vocabulary: Vocabulary) -> tuple[Pods, Pods]:
    """Those of both sides; of one alone where policies can tell no difference."""
    before = Pods(base, vocabulary, False)
    same = (
        vocabulary.base_attributes is None and base.workloads == head.workloads and base.namespaces == head.namespaces
    )
    return before, before if same else Pods(head, vocabulary, True)


def _has(labels: Mapping[str, str], wanted: list[tuple[str, tuple[str, ...]]]) -> bool:
    for key, values in wanted:  # noqa: SIM110  (asked thousands of times)
        if labels.get(key) not in values:
            return False
    return True


def _is_about_namespaces(expr: Expr) -> bool:
    inner = expr.inner if isinstance(expr, Not) else expr
    return isinstance(inner, Label) and inner.scope == "namespace"
