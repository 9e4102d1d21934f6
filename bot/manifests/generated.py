"""Two Snapshots in; the same with what their Kyverno policies generate in them, each object's lines those of its rule, out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bot.manifests import kyverno
from bot.manifests.objects import Object, contents
from bot.manifests.snapshot import Note, Snapshot, assemble
from bot.manifests.yaml import Document
from bot.sources import Unread

if TYPE_CHECKING:
    from bot.manifests.compose import Path
    from bot.manifests.kyverno.model import Generated, GeneratedObject

Memo = dict[tuple[str, int, "Path"], "GeneratedDocument"]


class GeneratedDocument(Document):
    """A document that no file holds: its value, and the rule that made it, whose lines stand for every line of it."""

    __slots__ = ("made",)

    def __init__(self, made: GeneratedObject) -> None:
        super().__init__("")
        self.keep(made.value, None)
        self.made = made

    def lines(self, path: Path = ()) -> tuple[int, int]:
        """The lines of the generating rule in its policy's document."""
        origin = self.made.rule_origin
        policy: Object = origin.policy
        return policy.document.lines((*policy.pointer, *origin.path))


def is_generated(obj: Object) -> bool:
    """Whether an object comes from a generate rule rather than from a file."""
    return isinstance(obj.document, GeneratedDocument)


def join(base: Snapshot, head: Snapshot) -> tuple[Snapshot, Snapshot]:
    """Both sides with their generated objects; sides without Kyverno policies as they are. An object in a file wins over a generated one.

    What only objects created later would get is not joined, but noted (docs/kyverno.md).
    """
    if not (kyverno.has_policies(base) or kyverno.has_policies(head)):
        return base, head
    if base is head:
        both = _joined(head, head, kyverno.apply(head), {})
        return both, both
    before, after = kyverno.apply_change(base, head)
    memo: Memo = {}
    return _joined(base, base, before, memo), _joined(head, base, after, memo)


def _joined(side: Snapshot, base: Snapshot, generated: Generated, memo: Memo) -> Snapshot:
    objects: dict[tuple[str, str, str], Object] = dict(side.objects)
    where = dict(side.where)
    workloads = list(side.workloads)
    unread = list(side.unread)
    for made in generated.objects:
        if made.only_new:
            continue
        document = _document(made, memo)
        policy: Any = made.rule_origin.policy
        at = side.where.get(policy) or base.where[policy]
        inside = contents(document, "default")
        for obj in inside.objects:
            if obj.key not in objects:
                objects[obj.key] = obj
                where[obj] = at
        for workload in inside.workloads:
            workloads.append(workload)
            where[workload.object] = at
        for flaw in inside.flaws:
            first, last = document.lines()
            unread.append(Unread(at[0], (at[1] + first - 1, at[1] + last - 1), f"generated object: {flaw.reason}"))
    notes = list(side.notes)
    for note in generated.notes:
        if note.incomplete:
            unread.append(Unread(note.file, note.lines, note.text))
        else:
            notes.append(Note(note.file, note.lines, note.text))
    return assemble(objects, workloads, where, unread, notes, side.made)


def _document(made: GeneratedObject, memo: Memo) -> GeneratedDocument:
    """The identical document for the identical object of the identical rule, so that both sides share what did not change."""
    text = json.dumps(made.value, sort_keys=True, default=str)
    key = (text, id(made.rule_origin.policy), made.rule_origin.path)
    found = memo.get(key)
    if found is None:
        found = memo[key] = GeneratedDocument(made)
    return found
