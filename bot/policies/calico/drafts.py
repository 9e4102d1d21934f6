"""A Calico policy in; out, a Draft: whom it selects, in which tier and order, and its rules as read.

Semantics: libcalico-go updateprocessors `networkpolicyprocessor.go`, `globalnetworkpolicyprocessor.go`; api/pkg/defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.calico import validation
from bot.policies.calico.entities import Entities
from bot.policies.calico.labels import both, in_namespace, narrowed, under
from bot.policies.calico.rules import Spec, read
from bot.policies.calico.selectors import ALL, Node
from bot.policies.calico.surroundings import ACCOUNT, DEFAULT, NAMESPACE, PER_ACCOUNT, PER_NAMESPACE
from bot.policies.model import Origin, Policy
from bot.policies.selectors import Flaw

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object

Key = tuple[str, str, str]
DIRECTIONS = ("egress", "ingress")
INFINITE = float("inf")
STAGED_NETWORK_POLICY = "StagedKubernetesNetworkPolicy"


class Draft(NamedTuple):
    """A policy before its tier has a place. `selects`: over all labels, of pods of `namespace` only where it has one.

    `order` and then `tie` place it in its tier. `rules`: what was read of each direction it applies to.
    `staged`: what it would do if it were enforced, `Set` or `Delete` the policy of its name ('' for one that is enforced).
    `forward`, `untracked`, `before_nat`: applyOnForward, doNotTrack, preDNAT. `ready`: a NetworkPolicy as Kubernetes defines it.
    """

    key: Key
    title: str
    kind: str
    object: Object
    namespace: str
    tier: str
    order: float
    tie: str
    selects: Node
    rules: Mapping[str, tuple[Spec, ...]]
    staged: str = ""
    forward: bool = False
    untracked: bool = False
    before_nat: bool = False
    ready: Policy | None = None


class Drafts:
    """Reads the Calico policies of one run. `older`: by Calico before 3.32."""

    def __init__(self, entities: Entities, older: bool = False) -> None:
        self._entities = entities
        self._older = older

    def read(self, obj: Object, key: Key, flaws: list[Flaw]) -> Draft | None:
        """One policy; None where a flaw is such that Calico would refuse it."""
        found = validation.check(obj)
        flaws.extend(found)
        if any(flaw.refused for flaw in found):
            return None
        spec = obj.value.get("spec")
        if not isinstance(spec, dict):
            spec = {}
        staged = str(spec.get("stagedAction") or "Set") if obj.kind.startswith("Staged") else ""
        kind = obj.kind.removeprefix("Staged")
        namespace = obj.namespace if kind == "NetworkPolicy" else ""
        tier = spec.get("tier")
        tier = tier if isinstance(tier, str) and tier else DEFAULT
        order = spec.get("order")
        name = obj.name
        if obj.api_version == validation.RAW:
            # Before 3.32 the stored name had the tier before it.
            name = name.removeprefix(f"{tier}.")
        title = f"{obj.kind} {namespace + '/' if namespace else ''}{obj.name} (tier {tier})"
        return Draft(
            key,
            title,
            obj.kind,
            obj,
            namespace,
            tier,
            float(order) if isinstance(order, (int, float)) else INFINITE,
            backend_name(tier, namespace, name) if self._older else f"{name}/{namespace}/{obj.kind}",
            self._selects(spec, namespace),
            {
                direction: self._rules(obj, spec.get(direction), direction, namespace, flaws)
                for direction in directions(obj, spec)
            },
            staged,
            spec.get("applyOnForward") is True,
            spec.get("doNotTrack") is True,
            spec.get("preDNAT") is True,
        )

    def _rules(
        self, obj: Object, listed: object, direction: str, namespace: str, flaws: list[Flaw]
    ) -> tuple[Spec, ...]:
        out = []
        for i, rule in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(rule, dict):
                at = ("spec", direction, i)
                found = read(self._entities, rule, namespace, Origin(obj, at))
                for name in self._entities.absent:
                    flaws.append(Flaw(at, f"Service {name} is not among the manifests: this matches nothing", False))
                self._entities.absent.clear()
                if found is not None:
                    out.append(found)
        return tuple(out)

    def _selects(self, spec: Mapping[str, object], namespace: str) -> Node:
        """A GlobalNetworkPolicy's other selectors turn every `all()` that stands beside them into their own kind's."""
        tree = self._entities.tree
        selector, spaces = tree(spec.get("selector")), tree(spec.get("namespaceSelector"))
        accounts = tree(spec.get("serviceAccountSelector"))
        found = selector
        if namespace:
            found = both(selector, in_namespace(namespace))
        elif spaces is not None:
            joined = both(selector, under(spaces, PER_NAMESPACE))
            found = None if joined is None else narrowed(joined, NAMESPACE)
        if accounts is not None:
            joined = both(found, under(accounts, PER_ACCOUNT))
            found = None if joined is None else narrowed(joined, ACCOUNT)
        return ALL if found is None else found


def backend_name(tier: str, namespace: str, name: str) -> str:
    """What decides among equal orders before Calico 3.32: the name that a policy is kept under."""
    return f"{namespace}/{tier}.{name}" if namespace else f"{tier}.{name}"


_NETWORK_POLICY = "NetworkPolicy.networking.k8s.io"


def enforced(drafts: Iterable[Draft]) -> list[Draft]:
    """The same policies with the staged ones in force: each in the place of the policy of its kind and name, or deleting it.

    `Learn` and `Ignore` do neither.
    """
    found: dict[Key, Draft] = {}
    staged: list[Draft] = []
    for draft in drafts:
        if draft.staged:
            staged.append(draft)
        else:
            found[draft.key] = draft
    for draft in staged:
        key = in_force(draft)
        if draft.staged == "Delete":
            found.pop(key, None)
        elif draft.staged == "Set":
            found.pop(key, None)
            kind = draft.kind.removeprefix("Staged")
            tie = draft.tie.removesuffix(draft.kind) + kind
            found[key] = draft._replace(key=key, staged="", kind=kind, tie=tie)
    return list(found.values())


def in_force(draft: Draft) -> Key:
    """The key of the policy that a staged one stands in for."""
    group, namespace, name = draft.key
    if draft.kind == STAGED_NETWORK_POLICY:
        return (_NETWORK_POLICY, namespace, name)
    return (group.removeprefix("Staged"), namespace, name)


def directions(obj: Object, spec: Mapping[str, object]) -> tuple[str, ...]:
    """`types`, or what they default to: in a raw crd.projectcalico.org/v1 object nothing has defaulted them, and they are both."""
    types = spec.get("types")
    if isinstance(types, list) and types:
        return tuple(direction for direction in DIRECTIONS if direction.capitalize() in types)
    if obj.api_version == validation.RAW:
        return DIRECTIONS
    if not spec.get("egress"):
        return ("ingress",)
    return DIRECTIONS if spec.get("ingress") else ("egress",)
