"""The files of one side in, everything that Kubernetes would hold of them out: objects, workloads, namespaces, and where they stand."""

from __future__ import annotations

import gc
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, NamedTuple

from bot.manifests.kinds import BESIDE
from bot.manifests.objects import Borrower, Object, contents, looks_like_kubernetes
from bot.manifests.workloads import ContainerPort, Workload
from bot.sources import Unread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.manifests.plain import Path
    from bot.manifests.yaml import Reader
    from bot.sources import Files, Made

__all__ = ["ContainerPort", "Namespace", "Note", "Object", "Snapshot", "Workload", "load"]

Key = tuple[str, str, str]
NAME_LABEL = "kubernetes.io/metadata.name"


class Namespace(NamedTuple):
    """A namespace. `labels` always have its name as the API server sets it; `object` is None for one that is only implied."""

    name: str
    labels: dict[str, str]
    object: Object | None


class Note(NamedTuple):
    """Something a person should know, at a place of this side. `again`: the key of an object that stands at two places."""

    file: str
    lines: tuple[int, int] | None
    text: str
    again: Key | None = None


class Snapshot:
    """One side, read.

    `objects`: every object that is no workload, by (kind group, namespace, name), in the order of the keys. `workloads`: by
    namespace, kind, name, pod. `namespaces`: declared and implied ones, by name. `where`: an object's file and the first line of its
    document there. `unread`: what makes this side incomplete. `notes`: what does not. `made`: the files that were rendered from others;
    places are told in those others.
    """

    __slots__ = ("_by_kind", "made", "namespaces", "notes", "objects", "unread", "where", "workloads")

    def __init__(self) -> None:
        self.objects: dict[Key, Object] = {}
        self.workloads: list[Workload] = []
        self.namespaces: dict[str, Namespace] = {}
        self.where: dict[Object, tuple[str, int]] = {}
        self.unread: list[Unread] = []
        self.notes: list[Note] = []
        self.made: Mapping[str, Made] = {}
        self._by_kind: dict[str, list[Object]] | None = None

    def by_kind(self, *kinds: str) -> list[Object]:
        """The objects of these kinds (of whatever API group), kind by kind, each by group, namespace and name."""
        if self._by_kind is None:
            self._by_kind = {}
            for obj in self.objects.values():
                self._by_kind.setdefault(obj.kind, []).append(obj)
        return [obj for kind in kinds for obj in self._by_kind.get(kind, ())]

    def line(self, obj: Object) -> tuple[str, int]:
        """The file and the first line of an object; for one that is a document of its own, without reading it again."""
        file, start = self.where[obj]
        if obj.pointer or file in self.made:
            file, (first, _) = self.location(obj)
            return file, first
        if obj.document.text[:1].isalpha():
            return file, start
        for number, text in enumerate(obj.document.text.split("\n", 200)):
            if text.strip() and not text.lstrip().startswith(("#", "---", "%")):
                return file, start + number
        return file, start

    def location(self, obj: Object, path: Path = ()) -> tuple[str, tuple[int, int]]:
        """The file, and the first and last line in it, of an object of this side or of what is at `path` in it."""
        file, start = self.where[obj]
        first, last = obj.document.lines((*obj.pointer, *path))
        made = self.made.get(file)
        if made is not None:
            return made.origin(start + first - 1, start + last - 1)
        return file, (start + first - 1, start + last - 1)


def load(files: Files, reader: Reader, default_namespace: str = "default") -> Snapshot:
    """Read one side. Documents that `reader` has met before are not read again, and give the identical objects."""
    # The thousands of values made here all stay: letting the collector look at them time and again doubles the work.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _load(files, reader, default_namespace)
    finally:
        if collecting:
            gc.enable()


def _load(files: Files, reader: Reader, default_namespace: str) -> Snapshot:
    snapshot = Snapshot()
    found: dict[Key, tuple[Object, Workload | Borrower | None, str, int]] = {}
    for file, data in files.contents.items():
        documents = reader.read(file, data)
        made = files.made.get(file) if files.made else None
        namespace = default_namespace if made is None else made.namespace or default_namespace
        broken: list[tuple[int, str]] = []
        for document, line, _ in documents:
            inside = contents(document, namespace)
            if inside.broken is not None:
                broken.append((line + inside.broken.lines[0] - 1, inside.broken.reason))
            for obj in inside.objects:
                _put(snapshot, found, obj, None, file, line)
            for workload in inside.workloads:
                _put(snapshot, found, workload.object, workload, file, line)
            for borrower in inside.borrowers:
                _put(snapshot, found, borrower.object, borrower, file, line)
            for flaw in inside.flaws:
                first, last = flaw.lines
                snapshot.unread.append(Unread(file, (line + first - 1, line + last - 1), flaw.reason))
            for oddity in inside.oddities:
                first, last = oddity.lines
                snapshot.notes.append(Note(file, (line + first - 1, line + last - 1), oddity.reason))
        if broken and any(looks_like_kubernetes(document) for document, _, _ in documents):
            snapshot.unread.extend(Unread(file, (line, line), reason) for line, reason in broken)
    borrowers: list[Borrower] = []
    objects: list[tuple[Key, Object]] = []
    for key, (obj, what, file, line) in found.items():
        snapshot.where[obj] = (file, line)
        if what is None:
            objects.append((key, obj))
        elif isinstance(what, Workload):
            snapshot.workloads.append(what)
        else:
            borrowers.append(what)
    snapshot.objects = dict(objects)
    snapshot.made = files.made
    if borrowers:
        _lend(snapshot, borrowers)
    if files.made:
        snapshot.unread = [_unread_at_origin(files, row) for row in snapshot.unread]
        snapshot.notes = [_note_at_origin(files, row) for row in snapshot.notes]
    return assemble(
        snapshot.objects, snapshot.workloads, snapshot.where, snapshot.unread, snapshot.notes, snapshot.made
    )


def _unread_at_origin(files: Files, row: Unread) -> Unread:
    """What could not be read of a rendered file, at the place it is from; told from another by all that was rendered."""
    made = files.made.get(row.file)
    if made is None or row.lines is None:
        return row
    file, lines = made.origin(*row.lines)
    return row._replace(file=file, lines=lines, content=files.contents[row.file].decode("utf-8", "replace"))


def _note_at_origin(files: Files, row: Note) -> Note:
    made = files.made.get(row.file)
    if made is None or row.lines is None:
        return row
    file, lines = made.origin(*row.lines)
    return row._replace(file=file, lines=lines)


def _put(
    snapshot: Snapshot,
    found: dict[Key, tuple[Object, Workload | Borrower | None, str, int]],
    obj: Object,
    what: Workload | Borrower | None,
    file: str,
    line: int,
) -> None:
    """Add an object; where it is there already the later one wins, as with `kubectl apply`."""
    key = obj.key
    before = found.get(key)
    if before is not None and obj.kind not in BESIDE:
        first, last = before[0].document.lines(before[0].pointer)
        where = (before[3] + first - 1, before[3] + last - 1)
        wins = line + obj.document.lines(obj.pointer)[0] - 1
        title = f"{obj.kind} {obj.namespace}/{obj.name}" if obj.namespace else f"{obj.kind} {obj.name}"
        snapshot.notes.append(
            Note(before[2], where, f"{title} stands again at {file}:{wins}, which wins as the later one", key)
        )
    found[key] = (obj, what, file, line)


def _lend(snapshot: Snapshot, borrowers: list[Borrower]) -> None:
    """Make workloads of Rollouts that run another's pod template, or say that it is not there."""
    lenders = {workload.key: workload for workload in snapshot.workloads if not workload.pod}
    for obj, of in borrowers:
        lender = lenders.get(of)
        if lender is None:
            file, lines = snapshot.location(obj, ("spec", "workloadRef"))
            reason = f"{obj.kind} {obj.name}: its workloadRef, {of[0]} {of[1]}/{of[2]}, is not there"
            snapshot.unread.append(Unread(file, lines, reason))
        else:
            snapshot.workloads.append(lender._replace(kind=obj.kind, name=obj.name, object=obj))


def _find_namespaces(snapshot: Snapshot) -> None:
    found: dict[str, Namespace] = {}
    for obj in snapshot.by_kind("Namespace"):
        labels = dict(obj.value["metadata"].get("labels") or {})
        labels[NAME_LABEL] = obj.name
        found[obj.name] = Namespace(obj.name, labels, obj)
    implied = {workload.namespace for workload in snapshot.workloads}
    implied.update(namespace for _, namespace, _ in snapshot.objects)
    for name in implied:
        if name and name not in found:
            found[name] = Namespace(name, {NAME_LABEL: name}, None)
    snapshot.namespaces = {name: found[name] for name in sorted(found)}


def assemble(
    objects: dict[Key, Object],
    workloads: list[Workload],
    where: dict[Object, tuple[str, int]],
    unread: list[Unread],
    notes: list[Note],
    made: Mapping[str, Made],
) -> Snapshot:
    """A side of these parts, each in its order."""
    snapshot = Snapshot()
    snapshot.made = made
    snapshot.objects = dict(sorted(objects.items(), key=itemgetter(0)))
    snapshot.workloads = sorted(workloads, key=attrgetter("namespace", "kind", "name", "pod"))
    snapshot.where = where
    snapshot.unread = sorted(unread, key=lambda unread: (unread.file, unread.lines or (0, 0), unread.reason))
    snapshot.notes = sorted(notes)
    _find_namespaces(snapshot)
    return snapshot
