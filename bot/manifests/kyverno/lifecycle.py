"""What two sides generate in; what the cluster holds after the change out.

Each side is simulated as if the cluster were built from it. A change meets a cluster that is built from base: an
existing namespace gets nothing from a new rule without generateExisting, and an existing target changes only under
`synchronize: true`. Sources: https://kyverno.io/docs/policy-types/cluster-policy/generate/ and Kyverno's conformance
tests (test/conformance/chainsaw/generate).
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.manifests.kyverno.model import Generated, GeneratedObject, GenerationNote, Resource, ResourceKey, few

ONLY_NEW = "only what is created later gets it, because generateExisting is false"
KEEPS = "synchronize is false: an existing target keeps its content"


def compare_generated(base: Generated, head: Generated) -> Generated:
    """Head as a cluster that is built from `base` will hold it; both must carry their resources.

    Its objects are sorted by key. One with `only_new` is there only for objects created after the change; one with
    `kept` is left from base, origin and all. Notes say why, one for each rule and reason, beside those of `head`.
    """
    before = {made.key: made for made in base.objects}
    old = {resource.key: resource for resource in base.resources or ()}
    new = {resource.key: resource for resource in head.resources or ()}
    result = {made.key: _arrival(made, before.get(made.key), base, old, new) for made in head.objects}
    for key, made in before.items():
        successor = result.get(key)
        if key in new or (successor is not None and successor.rule.key == made.rule.key):
            continue
        reason = _retained(made, head, old, new)
        if reason and (successor is None or successor.only_new or not successor.rule.synchronize):
            result[key] = made._replace(kept=reason)
    objects = tuple(result[key] for key in sorted(result))
    return head._replace(objects=objects, notes=(*head.notes, *_notes(objects)))


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
        return made._replace(value=earlier.value, kept=KEEPS)
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


def _notes(objects: tuple[GeneratedObject, ...]) -> list[GenerationNote]:
    found: dict[tuple[int, tuple[str | int, ...], str], tuple[GeneratedObject, list[str]]] = {}
    for made in objects:
        reason = made.kept or (ONLY_NEW if made.only_new else "")
        if reason:
            origin = made.rule_origin
            names = found.setdefault((id(origin.policy), origin.path, reason), (made, []))[1]
            names.append(
                f"{made.key[1]} {made.key[2]}/{made.key[3]}" if made.key[2] else f"{made.key[1]} {made.key[3]}"
            )
    return [
        GenerationNote(made.rule_origin.policy, made.rule_origin.path, f"{few(names)}: {reason}", False)
        for (_, _, reason), (made, names) in found.items()
    ]
