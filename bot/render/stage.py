"""Both sides' files and what is deployed from them in; for each cluster that the change can reach both sides rendered, out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bot.render import cage, discover, flux, helm, kustomize, watcher
from bot.render.model import KUSTOMIZATIONS, Helm, Root, below
from bot.render.origin import FromResource, FromTemplate, Piece, Sources
from bot.render.unset import empty_selectors
from bot.sources import Files, Lines, Made, Unread

Chosen = Callable[[str], bool]
Read = Callable[[Chosen], tuple[Files, Files]]
ROUNDS = 8


class Part(NamedTuple):
    """One cluster, both sides rendered. `notes`: what a person should know first; `remarks`: what it was rendered from, and with what."""

    name: str
    before: Files
    after: Files
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class Staged(NamedTuple):
    """What the change can reach, and the names of the clusters that it cannot. `used`: the files that were rendered, of each side."""

    parts: tuple[Part, ...]
    unchanged: tuple[str, ...]
    used: tuple[frozenset[str], frozenset[str]]


class _Side(NamedTuple):
    files: Files
    roots: Sequence[Root]
    inputs: Mapping[Root, kustomize.Inputs]

    def problems(self, root: Root) -> list[tuple[str, str]]:
        """Why a root cannot be rendered as it is, and the file that says so."""
        if root.refused:
            return [(root.refused, root.file)]
        used = self.inputs[root]
        out = [(reason, file or root.file) for reason, file in (*used.problems, *used.missing(self.files))]
        if root.tool != "plain":
            for unread in self.files.skipped:
                if unread.file in used.files or any(below(folder, unread.file) for folder in used.folders):
                    out.append((f"{unread.file}: {unread.reason}", unread.file))
        return out

    def contents(self, root: Root) -> dict[str, bytes]:
        """Everything that a root is made of."""
        if root.refused:
            return {path: data for path, data in self.files.contents.items() if path == root.file}
        contents = self.files.contents
        return {path: contents[path] for path in sorted(self.inputs[root].files) if path in contents}

    def key(self, root: Root) -> tuple[object, ...]:
        links = self.inputs[root].links
        return (
            root,
            tuple(self.contents(root).items()),
            tuple((p, self.files.links[p]) for p in sorted(links)),
        )


Documents = list[tuple[str, "str | None"]]


def stage(
    sides: tuple[Files, Files],
    roots: tuple[Sequence[Root], Sequence[Root]],
    read: Read,
    chosen: Callable[[str, bool], bool],
) -> Staged:
    """Render the clusters that are `chosen`, by name and whether the change can reach them.

    `read` reads the files of both sides that it is asked for.
    """
    before, after = _read(sides, roots, read)
    names = list(dict.fromkeys(root.environment for side in (before, after) for root in side.roots))
    # What was rendered once is not rendered again, whatever side and cluster it is of.
    keys = {id(side): {root: side.key(root) for root in side.roots} for side in (before, after)}
    changed = [
        name
        for name in names
        if chosen(name, len({frozenset(_of(keys[id(side)], name)) for side in (before, after)}) > 1)
        or any(root.environment == name and root.named and after.problems(root) for root in after.roots)
    ]
    wanted: dict[tuple[object, ...], tuple[_Side, Root]] = {}
    for side in (before, after):
        for root, key in keys[id(side)].items():
            if root.environment in changed and not side.problems(root):
                wanted.setdefault(key, (side, root))
    done = _rendered(wanted)
    parts = []
    for name in changed:
        shared = set(_of(keys[id(before)], name)) & set(_of(keys[id(after)], name))
        now, told = _part(name, after, before, keys[id(after)], done, shared)
        then, known = (now, ()) if before is after else _part(name, before, after, keys[id(before)], done, shared)
        notes = tuple(note for note in told if note not in known)
        parts.append(Part(name, then, now, notes, _remarks(name, after, keys[id(after)], done)))
    unchanged = tuple(name for name in names if name not in changed)
    used = tuple(frozenset(path for one in side.inputs.values() for path in one.files) for side in (before, after))
    return Staged(tuple(parts), unchanged, (used[0], used[1]))


def _remarks(
    name: str,
    side: _Side,
    keys: Mapping[Root, tuple[object, ...]],
    done: Mapping[tuple[object, ...], Documents | cage.Failed],
) -> tuple[str, ...]:
    roots = [root for root in side.roots if root.environment == name]
    good = [root for root in roots if not isinstance(done.get(keys[root]), (cage.Failed, type(None)))]
    versions = {"kustomize": kustomize.version, "helm": helm.version}
    used = [versions[tool]() for tool in sorted({root.tool for root in good} & versions.keys())]
    return (f"{len(good)} of {_number(len(roots), 'root')} rendered{' with ' if used else ''}{' and '.join(used)}",)


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _of(keys: Mapping[Root, tuple[object, ...]], name: str) -> list[tuple[object, ...]]:
    return [key for root, key in keys.items() if root.environment == name]


def _read(sides: tuple[Files, Files], roots: tuple[Sequence[Root], Sequence[Root]], read: Read) -> tuple[_Side, _Side]:
    """Every file that the roots are made of: what one names is read before it is known what that names in turn."""
    asked: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    files = sides
    for _ in range(ROUNDS):
        found = [
            _Side(side, of, {root: _inputs(side, root) for root in of})
            for side, of in list(zip(files, roots, strict=True))[: 1 if sides[0] is sides[1] else 2]
        ]
        inputs = [one for side in found for one in side.inputs.values()]
        names = frozenset(path for one in inputs for path in one.files)
        folders = frozenset(folder for one in inputs for folder in one.folders)
        if (names | asked[0], folders | asked[1]) == asked:
            break
        asked = (names | asked[0], folders | asked[1])
        more = read(_chosen(*asked))
        files = (_joined(sides[0], more[0]), _joined(sides[1], more[1]))
    return found[0], found[-1]


def _joined(first: Files, more: Files) -> Files:
    known = {unread.file for unread in first.skipped}
    skipped = [*first.skipped, *(unread for unread in more.skipped if unread.file not in known)]
    contents = dict(sorted({**first.contents, **more.contents}.items()))
    return first._replace(contents=contents, links=more.links, skipped=skipped)


def _chosen(names: frozenset[str], folders: frozenset[str]) -> Chosen:
    def chosen(path: str) -> bool:
        if path in names or "." in folders:
            return True
        at = path
        while at:
            if at in folders:
                return True
            at = at.rpartition("/")[0]
        return False

    return chosen


def _inputs(files: Files, root: Root) -> kustomize.Inputs:
    if root.refused:
        return kustomize.Inputs(frozenset(), frozenset())
    if root.tool == "kustomize":
        return kustomize.inputs(files, root.path, root.edits, root.generated)
    if root.tool == "helm":
        return helm.inputs(files, root.path, root.helm or Helm(root.name))
    return kustomize.Inputs(frozenset(discover.plain_files(files, root)), frozenset())


def _rendered(
    wanted: Mapping[tuple[object, ...], tuple[_Side, Root]],
) -> dict[tuple[object, ...], Documents | cage.Failed]:
    import os
    from threading import Lock

    lock, count, watch = Lock(), [0], watcher.get()

    def one(job: tuple[_Side, Root]) -> Documents | cage.Failed:
        try:
            return _documents(*job)
        except cage.Failed as failed:
            return failed
        finally:
            with lock:
                count[0] += 1
                if watch is not None:
                    watch(count[0], len(wanted))

    if len(wanted) <= 1:
        return {key: one(job) for key, job in wanted.items()}
    from concurrent.futures import ThreadPoolExecutor

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(min(len(wanted), cores, 16)) as pool:
        return dict(zip(wanted, pool.map(one, wanted.values()), strict=True))


def _documents(side: _Side, root: Root) -> Documents:
    used = side.inputs[root]
    if root.tool == "kustomize":
        out, traced = kustomize.build(side.files, used, root.path, root.edits, root.generated, root.loose)
        folder = kustomize.real(root.path, side.files.links)
        found: Documents = (
            kustomize.untraced(out, folder) if traced else [(text, None) for text in kustomize.split(out)]
        )
    elif root.tool == "helm":
        found = helm.template(side.files, used, root.path, root.helm or Helm(root.name), root.namespace or "default")
    else:
        return []
    if root.variables is not None:
        found = [(flux.substitute(text, root.variables), source) for text, source in found]
    return found


def _part(
    name: str,
    side: _Side,
    other: _Side,
    keys: Mapping[Root, tuple[object, ...]],
    done: Mapping[tuple[object, ...], Documents | cage.Failed],
    shared: set[tuple[object, ...]],
) -> tuple[Files, tuple[str, ...]]:
    contents: dict[str, bytes] = {}
    made: dict[str, Made] = {}
    unread: list[Unread] = []
    notes: list[str] = []
    sources = Sources(side.files.contents, other.files.contents if other is not side else None)
    for root in side.roots:
        if root.environment != name:
            continue
        key = keys[root]
        problems = side.problems(root)
        found = done.get(key)
        if isinstance(found, cage.Failed):
            problems.append((str(found), root.file))
        # What stays as it was is told apart from what this change does, unless somebody asked for it by name.
        known = "" if key in shared and not root.named else None
        for reason, file in problems:
            lines = (root.line, root.line) if file == root.file else None
            reason = f"{root.name} is not {'read' if root.tool == 'plain' else f'rendered with {root.tool}'}: {reason}"
            unread.append(Unread(file, lines, reason, root.setting, known))
        if problems or found is None or isinstance(found, cage.Failed):
            continue
        if root.tool == "plain":
            for path, data in discover.plain_files(side.files, root).items():
                if root.variables is not None:
                    data = flux.substitute(data.decode("utf-8", "surrogateescape"), root.variables).encode(
                        "utf-8", "surrogateescape"
                    )
                contents[path] = data
                made[path] = Made(root.namespace, _itself(path))
            continue
        file = base = f"{root.name} ({root.tool} {root.path})"
        while file in contents:
            file = f"{base} {len(contents)}"
        data, pieces = _file(found)
        contents[file] = data
        if root.tool == "helm":
            values = [path for kind, path in (root.helm or Helm("")).values if kind != "text"]
            chart = FromTemplate(file, pieces, sources, kustomize.real(root.path, side.files.links), values)
            notes += empty_selectors(chart)
            made[file] = Made(root.namespace or "default", chart)
        else:
            used = sorted(side.inputs[root].files)
            kustomizations = [path for path in used if path.rpartition("/")[2] in KUSTOMIZATIONS]
            # The root's own settings come last and count most.
            kustomizations.sort(key=lambda path: not path.startswith(root.path))
            resources = [path for path in used if path not in kustomizations]
            made[file] = Made(root.namespace, FromResource(file, pieces, sources, kustomizations, resources))
    files = Files(side.files.label, side.files.sha, dict(sorted(contents.items())), sorted(unread, key=str), {}, made)
    return files, tuple(dict.fromkeys(notes))


def _itself(path: str) -> Callable[[int, int], tuple[str, Lines]]:
    return lambda first, last: (path, (first, last))


def _file(found: Documents) -> tuple[bytes, list[Piece]]:
    """Objects as one file, and where each is in it."""
    pieces = []
    line = 1
    out: list[str] = []
    for text, source in found:
        if out:
            out.append("---\n")
            line += 1
        out.append(text)
        pieces.append(Piece(line, text, source))
        line += text.count("\n")
    return "".join(out).encode("utf-8", "surrogateescape"), pieces
