"""Both sides' files and what is deployed from them in; for each cluster that the change can reach both sides rendered, out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from bot.render import cage, chance, charts, discover, flux, helm, kustomize, notes_on, references, watcher
from bot.render import remote as far
from bot.render.model import KUSTOMIZATIONS, Helm, Root, below
from bot.render.origin import FromResource, FromTemplate, Piece, Place, Sources
from bot.render.references import Inputs
from bot.render.remote import Remotes
from bot.render.unset import empty_selectors
from bot.sources import Files, Lines, Made, Unread

Chosen = Callable[[str], bool]
Read = Callable[[Chosen], tuple[Files, Files]]
ROUNDS = 8
JSONNET = ".jsonnet"


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


class Problem(NamedTuple):
    """Why a root is not rendered, the file and the lines that say so, and the setting that would help."""

    reason: str
    file: str
    lines: Lines | None
    setting: str | None


class _Side(NamedTuple):
    files: Files
    roots: Sequence[Root]
    inputs: Mapping[Root, Inputs]
    remotes: Remotes

    def problems(self, root: Root) -> list[Problem]:
        """Why a root cannot be rendered as it is."""
        if root.refused:
            return [Problem(root.refused, root.file, (root.line, root.line), root.setting)]
        used = self.inputs[root]
        found = [(reason, file, root.setting) for reason, file in (*used.problems, *used.missing(self.files))]
        for written, file in used.remote:
            if problem := self.remotes.problem(written):
                found.append((problem[0], file, problem[1] or root.setting))
        if root.tool != "plain":
            for unread in self.files.skipped:
                if unread.file in used.files or any(below(folder, unread.file) for folder in used.folders):
                    reason = unread.reason if far.top_of(unread.file) else f"{unread.file}: {unread.reason}"
                    found.append((reason, unread.file, root.setting))
        return [self.placed(root, *one) for one in found]

    def placed(self, root: Root, reason: str, file: str, setting: str | None) -> Problem:
        """A problem at a place of the repository itself."""
        if top := far.top_of(file):
            place = self.referring(root).get(top, (root.file, (root.line, root.line)))
            return Problem(f"{file[len(top) + 1 :]} of another repository: {reason}", *place, setting)
        if file in (root.file, "") or (file not in self.files.contents and file == root.path):
            return Problem(reason, root.file, (root.line, root.line), setting)
        return Problem(reason, file, None, setting)

    def referring(self, root: Root) -> dict[str, Place]:
        """Where the repository names what was fetched for a root, by the folder that this has in the copy."""
        out: dict[str, Place] = {}
        waiting = list(self.inputs[root].remote)
        while waiting:
            left = []
            for written, file in waiting:
                path, top = self.remotes.path(written), far.top_of(file)
                if path is None or (top and top not in out):
                    left.append((written, file))
                    continue
                out.setdefault(
                    far.top_of(path), out[top] if top else (file, _line(self.files.contents.get(file), written, root))
                )
            if len(left) == len(waiting):
                break
            waiting = left
        return {
            top: place if place[0] in self.files.contents else (root.file, (root.line, root.line))
            for top, place in out.items()
        }

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


def _line(data: bytes | None, written: str, root: Root) -> Lines:
    before, found, _ = (data or b"").partition(written.encode("utf-8", "replace"))
    line = before.count(b"\n") + 1 if found else root.line
    return line, line


Documents = list[tuple[str, "str | None"]]


def stage(
    sides: tuple[Files, Files],
    roots: tuple[Sequence[Root], Sequence[Root]],
    read: Read,
    chosen: Callable[[str, bool], bool],
    remotes: Remotes | None = None,
) -> Staged:
    """Render the clusters that are `chosen`, by name and whether the change can reach them.

    `read` reads the files of both sides that it is asked for. `remotes`: what is fetched, for those clusters only.
    """
    remotes = remotes or Remotes()
    before, after = _read(sides, roots, read, remotes)
    names = list(dict.fromkeys(root.environment for side in (before, after) for root in side.roots))
    # What was rendered once is not rendered again, whatever side and cluster it is of.
    keys = {id(side): {root: side.key(root) for root in side.roots} for side in (before, after)}
    changed = [
        name
        for name in names
        if chosen(name, len({frozenset(_of(keys[id(side)], name)) for side in (before, after)}) > 1)
        or any(root.environment == name and root.named and after.problems(root) for root in after.roots)
    ]
    alike = before is after
    before, after = _fetched((before, after), frozenset(changed), remotes)
    keys = {id(side): {root: side.key(root) for root in side.roots} for side in (before, after)}
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
        then, known = (now, ()) if alike else _part(name, before, after, keys[id(before)], done, shared)
        notes = tuple(note for note in told if note not in known)
        remarks = (*_remarks(name, after, keys[id(after)], done), *(note for note in told if note in known))
        moving, fixed = _fetchings(name, after)
        moved = frozenset(() if alike else _fetchings(name, before)[0])
        notes += tuple(note for note in moving if note not in moved)
        remarks += tuple(dict.fromkeys((*(note for note in moving if note in moved), *fixed)))
        parts.append(Part(name, then, now, notes, remarks))
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


def _fetchings(name: str, side: _Side) -> tuple[list[str], list[str]]:
    """What was fetched for a cluster: what may be another thing tomorrow, and what stays."""
    out: dict[str, bool] = {}
    for root in side.roots:
        if root.environment == name:
            for written, _ in side.inputs[root].remote:
                if side.remotes.problem(written) is None:
                    words, floats = side.remotes.about(written)
                    out[words] = floats
    out.pop("", None)
    return [words for words, floats in out.items() if floats], [words for words, floats in out.items() if not floats]


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _of(keys: Mapping[Root, tuple[object, ...]], name: str) -> list[tuple[object, ...]]:
    return [key for root, key in keys.items() if root.environment == name]


def _read(
    sides: tuple[Files, Files], roots: tuple[Sequence[Root], Sequence[Root]], read: Read, remotes: Remotes
) -> tuple[_Side, _Side]:
    """Every file that the roots are made of: what one names is read before it is known what that names in turn."""
    asked: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    files = sides
    for _ in range(ROUNDS):
        found = [
            _Side(side, of, {root: _inputs(side, root, remotes) for root in of}, remotes)
            for side, of in list(zip(files, roots, strict=True))[: 1 if sides[0] is sides[1] else 2]
        ]
        inputs = [one for side in found for one in side.inputs.values()]
        names = frozenset(path for one in inputs for path in one.files)
        folders = frozenset(folder for one in inputs for folder in one.folders)
        if (names | asked[0], folders | asked[1]) == asked:
            break
        asked = (names | asked[0], folders | asked[1])
        more = read(_chosen(*asked, {folder for of in roots for folder in (root.path for root in of if root.jsonnet)}))
        files = (_joined(sides[0], more[0]), _joined(sides[1], more[1]))
    return found[0], found[-1]


def _fetched(sides: tuple[_Side, _Side], names: frozenset[str], remotes: Remotes) -> tuple[_Side, _Side]:
    """Both sides with what their roots of these clusters refer to in other repositories, and what that refers to in turn."""
    asked: frozenset[object] = frozenset()
    own = sides[0].files, sides[1].files
    for _ in range(ROUNDS):
        inputs = [side.inputs[root] for side in sides for root in side.roots if root.environment in names]
        wanted = dict.fromkeys(ref for one in inputs for ref, _ in one.remote if remotes.problem(ref) is None)
        for ref in wanted:
            remotes.fetch(ref)
        if not wanted:
            break
        files = frozenset(path for one in inputs for path in one.files)
        folders = frozenset(folder for one in inputs for folder in one.folders)
        now = frozenset((*wanted, *files, *folders))
        if now == asked:
            break
        asked = now
        chosen = _chosen(files, folders)
        more = {ref: read for ref in wanted if (read := remotes.read(ref, chosen)) is not None}
        made: list[_Side] = []
        for side, files_of in zip(sides, own, strict=True):
            if made and sides[0] is sides[1]:
                made.append(made[0])
                continue
            whole = far.joined(files_of, more)
            found = {
                root: _inputs(whole, root, remotes) if root.environment in names and used.remote else used
                for root, used in side.inputs.items()
            }
            made.append(side._replace(files=whole, inputs=found))
        sides = made[0], made[1]
    return sides


def _joined(first: Files, more: Files) -> Files:
    known = {unread.file for unread in first.skipped}
    skipped = [*first.skipped, *(unread for unread in more.skipped if unread.file not in known)]
    contents = dict(sorted({**first.contents, **more.contents}.items()))
    return first._replace(contents=contents, links=more.links, skipped=skipped)


def _chosen(names: frozenset[str], folders: frozenset[str], jsonnet: Collection[str] = ()) -> Chosen:
    def chosen(path: str) -> bool:
        if path in names or "." in folders:
            return True
        if path.endswith(JSONNET) and any(below(folder, path) for folder in jsonnet):
            return True
        at = path
        while at:
            if at in folders:
                return True
            at = at.rpartition("/")[0]
        return False

    return chosen


def _inputs(files: Files, root: Root, remotes: Remotes) -> Inputs:
    if root.refused:
        return Inputs(frozenset(), frozenset())
    if root.tool == "kustomize":
        return references.inputs(files, root.path, root.edits, root.generated, remotes)
    if root.tool == "helm":
        return helm.inputs(files, root.path, root.helm or Helm(root.name), remotes, root.chart)
    found = set(discover.plain_files(files, root))
    if root.jsonnet:
        found |= set(discover.plain_files(files, root, (JSONNET,)))
    return Inputs(frozenset(found), frozenset())


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
    if root.tool == "helm" or used.inflated:
        contents = {path: side.files.contents[path] for path in sorted(used.files & side.files.contents.keys())}
        source = chance.called(helm.opened(contents))
        if source is not None:
            return chance.steady(lambda: _once(side, root), source)
    return _once(side, root)


def _once(side: _Side, root: Root) -> Documents:
    used = side.inputs[root]
    if root.tool == "kustomize":
        out, traced = kustomize.build(
            side.files, used, root.path, root.edits, root.generated, root.loose, remotes=side.remotes
        )
        folder = references.real(root.path, side.files.links)
        found: Documents = (
            kustomize.untraced(out, folder) if traced else [(text, None) for text in kustomize.split(out)]
        )
    elif root.tool == "helm":
        options, namespace = root.helm or Helm(root.name), root.namespace or "default"
        found = helm.template(side.files, used, root.path, options, namespace, remotes=side.remotes)
        for settings in root.rendered:
            found = kustomize.over(found, settings)
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
            problems.append(Problem(far.shown(str(found)), root.file, (root.line, root.line), root.setting))
        # What stays as it was is told apart from what this change does, unless somebody asked for it by name.
        known = "" if key in shared and not root.named else None
        for problem, file, lines, setting in problems:
            reason = f"{root.name} is not {'read' if root.tool == 'plain' else f'rendered with {root.tool}'}: {problem}"
            unread.append(Unread(file, lines, reason, setting, known))
        if problems or found is None or isinstance(found, cage.Failed):
            continue
        if root.tool == "plain":
            plain = discover.plain_files(side.files, root)
            unread += [
                notes_on.jsonnet(root, path, side.files.contents[path])
                for path in sorted(side.inputs[root].files - plain.keys())
            ]
            notes += notes_on.unfilled(root, (data.decode("utf-8", "replace") for data in plain.values()))
            for path, data in plain.items():
                if root.variables is not None:
                    data = flux.substitute(data.decode("utf-8", "surrogateescape"), root.variables).encode(
                        "utf-8", "surrogateescape"
                    )
                contents[path] = data
                made[path] = Made(root.namespace, _itself(path))
            continue
        brought = charts.chart(root.chart)
        file = base = f"{root.name} ({root.tool} {brought.title if brought else root.path})"
        while file in contents:
            file = f"{base} {len(contents)}"
        notes += [*notes_on.unfilled(root, (text for text, _ in found)), *notes_on.by_chance(root, found)]
        data, pieces = _file(found)
        contents[file] = data
        if root.tool == "helm":
            values = [path for kind, path in (root.helm or Helm("")).values if kind != "text"]
            folder = references.real(root.path, side.files.links)
            chart = FromTemplate(file, pieces, sources, folder, values, side.referring(root))
            notes += map(far.shown, empty_selectors(chart))
            made[file] = Made(root.namespace or "default", chart)
        else:
            used = sorted(side.inputs[root].files)
            kustomizations = [path for path in used if path.rpartition("/")[2] in KUSTOMIZATIONS]
            # The root's own settings come last and count most.
            kustomizations.sort(key=lambda path: not path.startswith(root.path))
            resources = [path for path in used if path not in kustomizations]
            made[file] = Made(
                root.namespace, FromResource(file, pieces, sources, kustomizations, resources, side.referring(root))
            )
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
