"""What two sides generate in; what the cluster holds after the change out.

Each side is simulated as if the cluster were built from it. A change meets a cluster that is built from base: an
existing namespace gets nothing from a new rule without generateExisting, and an existing target changes only under
`synchronize: true`. Sources: https://kyverno.io/docs/policy-types/cluster-policy/generate/ and Kyverno's conformance
tests (test/conformance/chainsaw/generate).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bot.manifests.kyverno.model import Generated, GeneratedObject, GenerationNote, Resource, ResourceKey


class GeneratedChange(NamedTuple):
    """The generated objects on both sides of a change."""

    base: tuple[GeneratedObject, ...]
    head: tuple[GeneratedObject, ...]
    """What the cluster holds after the change, sorted by key. One with `only_new` is there only for objects created
    later; one with `kept` is left from base, origin and all."""
    notes: tuple[GenerationNote, ...]
    """What `only_new` and `kept` say, one note for each rule and reason; none makes a review incomplete."""


def compare_generated(base: Generated, head: Generated) -> GeneratedChange:
    """The generated objects after the change from `base` to `head`; both must carry their resources."""
    before = {made.key: made for made in base.objects}
    after = {made.key: made for made in head.objects}
    old = {resource.key: resource for resource in base.resources or ()}
    new = {resource.key: resource for resource in head.resources or ()}
    result = {key: _arrival(made, before.get(key), base, old, new) for key, made in after.items()}
    for key, made in before.items():
        successor = result.get(key)
        if key in new or (successor is not None and successor.rule.key == made.rule.key):
            continue
        reason = _retained(made, head, old, new)
        if reason and (successor is None or successor.only_new or not successor.rule.synchronize):
            result[key] = made._replace(kept=reason)
    objects = tuple(result[key] for key in sorted(result))
    return GeneratedChange(base.objects, objects, _notes(objects))


def _arrival(
    made: GeneratedObject,
    earlier: GeneratedObject | None,
    base: Generated,
    old: Mapping[ResourceKey, Resource],
    new: Mapping[ResourceKey, Resource],
) -> GeneratedObject:
    """An object of head as the cluster will hold it."""
    if earlier is not None and earlier.rule.key == made.rule.key:
        if made.rule.synchronize or earlier.value == made.value:
            return made
        return made._replace(value=earlier.value, kept="synchronize is false: an existing target keeps its content")
    if made.rule.generate_existing or made.trigger_key not in old:
        return made
    rule = base.rules.get(made.rule.key)
    if rule is None:
        return made._replace(only_new=True)
    # A changed rule is not applied to existing objects that it newly matches. A changed object is an update, and that
    # fires the rules that match it.
    updated = _changed(made.trigger_key, old, new)
    return made._replace(only_new=not made.rule.on_update if updated else rule.value != made.rule.value)


def _changed(key: ResourceKey, old: Mapping[ResourceKey, Resource], new: Mapping[ResourceKey, Resource]) -> bool:
    return old[key].value != new[key].value


def _retained(
    made: GeneratedObject,
    head: Generated,
    old: Mapping[ResourceKey, Resource],
    new: Mapping[ResourceKey, Resource],
) -> str:
    """Why an object that base generates and head does not is still there after the change; '' where it is deleted."""
    _, kind, _, name = made.trigger_key
    if made.trigger_key not in new and kind == "Namespace" and name == made.key[2]:
        return ""  # it goes with its namespace
    rule = head.rules.get(made.rule.key)
    if rule is None:
        if not made.rule.synchronize:
            return "synchronize is false: a target outlives its rule"
        if made.rule.orphan:
            return "orphanDownstreamOnPolicyDelete: a target outlives its rule"
        if made.rule.clones_one:
            return "a clone outlives its rule"
        return ""
    if not rule.synchronize:
        return "synchronize is false: a target is not deleted"
    if made.trigger_key not in new or (made.source is not None and made.source not in new):
        return ""
    if rule.value != made.rule.value and not _changed(made.trigger_key, old, new):
        return "a changed rule does not delete what its earlier form generated"
    return ""


def _notes(objects: tuple[GeneratedObject, ...]) -> tuple[GenerationNote, ...]:
    found: dict[tuple[int, str], tuple[GeneratedObject, list[str]]] = {}
    for made in objects:
        reason = made.kept or ("only objects created later get it: generateExisting is false" if made.only_new else "")
        if reason:
            key = (id(made.rule_origin.policy), f"{made.rule_origin.path} {reason}")
            found.setdefault(key, (made, []))[1].append(f"{made.key[1]} {made.key[2]}/{made.key[3]}".replace(" /", " "))
    notes = []
    for made, names in found.values():
        reason = made.kept or "only objects created later get it: generateExisting is false"
        rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
        origin = made.rule_origin
        notes.append(GenerationNote(origin.policy, origin.path, f"{', '.join(names[:3])}{rest}: {reason}", False))
    return tuple(notes)
