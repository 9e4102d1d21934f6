"""Both sides with what Kyverno generates in; the same with a namespace that is created after the change out.

A generate rule without `generateExisting` makes nothing for the namespaces that are there when it comes, and without `synchronize` an
edit of it changes nothing in them, so that what it does is seen only in one that comes later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bot.manifests import kyverno
from bot.manifests.generated import GeneratedDocument, is_generated, words
from bot.manifests.objects import Object, contents
from bot.manifests.snapshot import Snapshot, assemble
from bot.manifests.yaml import Document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bot.manifests.kyverno.model import Generated, GeneratedObject, RuleKey
    from bot.manifests.plain import Path

NAME = "new-namespace"


class Later(NamedTuple):
    """Both sides with the namespace `name` and what is generated for it; the rules that make something only for such ones.

    `rules`: (policy, path of the rule, what people call it).
    """

    name: str
    base: Snapshot
    head: Snapshot
    rules: tuple[tuple[Object, Path, str], ...]


class _Imagined(Document):
    """A document that no file holds."""

    __slots__ = ()

    def lines(self, path: Path = ()) -> tuple[int, int]:
        return 1, 1


def later(base: Snapshot, head: Snapshot) -> Later | None:
    """What a namespace created after the change gets; None where no rule of the change is for such ones alone."""
    from bot.manifests.kyverno.lifecycle import KEEPS, ONLY_NEW

    if not any(reason in note.text for note in head.notes for reason in (ONLY_NEW, KEEPS)):
        return None
    raw = [_written(side) for side in (base, head)]
    _, after = kyverno.apply_change(*raw)
    new = {made.rule.key: made for made in after.objects if made.only_new or made.kept == KEEPS}
    for name, labels in _candidates(new, raw[1]):
        namespace = _namespace(name, labels)
        found = [_for(kyverno.apply(_with(side, namespace)), name) for side in raw]
        rules = {made.rule.key: made for made in found[1] if made.rule.key in new}
        if rules:
            sides = [_joined(side, namespace, made) for side, made in zip((base, head), found, strict=True)]
            named = tuple((m.rule_origin.policy, m.rule_origin.path, words(m.rule_origin)) for m in rules.values())
            return Later(name, sides[0], sides[1], named)
    return None


def _written(side: Snapshot) -> Snapshot:
    """A side without what is generated in it."""
    objects = {key: obj for key, obj in side.objects.items() if not is_generated(obj)}
    workloads = [workload for workload in side.workloads if not is_generated(workload.object)]
    return assemble(objects, workloads, side.where, side.unread, side.notes, side.made)


def _candidates(new: Mapping[RuleKey, GeneratedObject], head: Snapshot) -> Iterator[tuple[str, dict[str, str]]]:
    """A namespace without labels, then one like the first that a rule matches."""
    name = NAME
    while name in head.namespaces:
        name += "-x"
    yield name, {}
    for made in new.values():
        _, kind, _, trigger = made.trigger_key
        known = head.namespaces.get(trigger) if kind == "Namespace" else None
        if known is not None and f"{trigger}-x" not in head.namespaces:
            own = {key: value for key, value in known.labels.items() if key != "kubernetes.io/metadata.name"}
            yield name, own
            yield f"{trigger}-x", own


def _namespace(name: str, labels: dict[str, str]) -> Object:
    document = _Imagined("")
    document.keep({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}, None)
    return Object("v1", "Namespace", "", name, document, ())


def _with(side: Snapshot, namespace: Object) -> Snapshot:
    objects = {**side.objects, namespace.key: namespace}
    where = {**side.where, namespace: ("", 1)}
    return assemble(objects, side.workloads, where, side.unread, side.notes, side.made)


def _for(generated: Generated, name: str) -> list[GeneratedObject]:
    return [made for made in generated.objects if made.trigger_key[1] == "Namespace" and made.trigger_key[3] == name]


def _joined(side: Snapshot, namespace: Object, generated: list[GeneratedObject]) -> Snapshot:
    """A side as the cluster holds it, with the namespace and what is made for it."""
    whole = _with(side, namespace)
    objects, where = dict(whole.objects), dict(whole.where)
    for made in generated:
        policy: Any = made.rule_origin.policy
        for obj in contents(GeneratedDocument(made), "default").objects:
            if obj.key not in objects:
                objects[obj.key] = obj
                where[obj] = side.where[policy]
    return assemble(objects, side.workloads, where, side.unread, side.notes, side.made)
