"""The state of one simulation: the objects of a side, what is generated so far, what a reader must know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bot.manifests.kyverno.model import (
    Budget,
    Generated,
    GeneratedObject,
    GenerationNote,
    Path,
    Resource,
    ResourceKey,
    Rule,
    RuleKey,
    RuleOrigin,
    Unsimulated,
    few,
    resource_of,
)

SIDE_BUDGET = 10_000_000
"""Steps for one side, about one microsecond each."""
RULE_BUDGET = 200_000
"""Steps for one rule and one trigger."""
MATCH_COST = 3
"""Steps for finding out whether a rule fires for an object."""
MAX_OBJECTS = 50_000

_SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "kyverno"})


class Exhausted(Exception):
    """The side's budget is used up; what is generated so far stands."""


class Side:
    """One side under simulation.

    `unread_kinds` are kinds whose objects are not among the resources although the side may have some, `other_kinds`
    kinds that it has and that no rule reads.
    """

    def __init__(
        self,
        resources: Iterable[Resource],
        unread_kinds: frozenset[str] = frozenset(),
        other_kinds: frozenset[str] = frozenset(),
        budget: int = SIDE_BUDGET,
    ) -> None:
        self.resources = tuple(resources)
        self.unread_kinds = unread_kinds
        self.by_kind: dict[str, list[Resource]] = {}
        self.by_key: dict[ResourceKey, Resource] = {}
        self.namespace_labels: dict[str, Mapping[str, str]] = {}
        for resource in self.resources:
            self.by_kind.setdefault(resource.kind, []).append(resource)
            self.by_key[resource.key] = resource
            if resource.kind == "Namespace" and not resource.group:
                self.namespace_labels[resource.name] = resource.labels
        self.kinds = self.by_kind.keys() | other_kinds
        self.rules: dict[RuleKey, Rule] = {}
        self.exceptions = [e for e in self.by_kind.get("PolicyException", ()) if e.group.endswith("kyverno.io")]
        self._objects: dict[ResourceKey, GeneratedObject] = {}
        self._notes: dict[tuple[int, Path, str, bool], tuple[Any, list[str]]] = {}
        self._budget = Budget(budget)

    def spend(self, steps: int) -> None:
        try:
            self._budget.spend(steps)
        except Unsimulated:
            raise Exhausted from None

    def labels_of_namespace(self, resource: Resource) -> Mapping[str, str]:
        """The labels that a namespaceSelector meets for `resource`."""
        if not resource.namespace:
            return {}
        return self.namespace_labels.get(resource.namespace, {"kubernetes.io/metadata.name": resource.namespace})

    def note(self, origin: RuleOrigin, text: str, incomplete: bool, trigger: Resource | None = None) -> None:
        """Record a note; the triggers of equal ones are gathered."""
        _, triggers = self._notes.setdefault((id(origin.policy), origin.path, text, incomplete), (origin.policy, []))
        if trigger is not None:
            triggers.append(str(trigger))

    def emit(self, made: GeneratedObject, trigger: Resource) -> None:
        """Add a generated object, unless the repository or another rule has it already and keeps it."""
        origin, key = made.rule_origin, made.key
        written = self.by_key.get(key)
        if written is not None:
            winner = "Kyverno overwrites it" if made.rule.synchronize else "Kyverno leaves it alone"
            self.note(origin, f"{written} is generated and also in the repository: {winner}", False)
            if not made.rule.synchronize:
                return
        before = self._objects.get(key)
        if before is not None and before.value != made.value:
            winner = "the later overwrites the earlier" if made.rule.synchronize else "the earlier stays"
            self.note(origin, f"two rules generate {resource_of(made.value)} differently: {winner}", False)
            if not made.rule.synchronize:
                return
        if {trigger.namespace, trigger.name if trigger.kind == "Namespace" else ""} & _SYSTEM_NAMESPACES:
            self.note(
                origin,
                "Kyverno's default resourceFilters leave out this trigger; whether the object is generated depends on "
                "the installation",
                False,
                trigger,
            )
        self._objects[key] = made
        if len(self._objects) > MAX_OBJECTS:
            raise Exhausted

    def result(self) -> Generated:
        notes = []
        for (_, path, text, incomplete), (policy, triggers) in self._notes.items():
            if triggers:
                text += f" (for {few(triggers)})"
            notes.append(GenerationNote(policy, path, text, incomplete))
        return Generated(tuple(self._objects.values()), tuple(notes), self.rules, self.resources)
