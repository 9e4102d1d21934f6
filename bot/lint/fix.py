"""Findings that carry an edit, and the files they are in, in; the same files with the edits made, comments and layout kept, out."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.errors import UsageError
from bot.lint.finding import Draft, Edit, Path
from bot.lint.layout import rewritten, written
from bot.manifests.yaml import Reader

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object, Snapshot

_ORDER = ("set", "remove", "append", "add-document", "join")


class Fixed(NamedTuple):
    """A file before and after, and the ids of the rules whose findings are mended, each as often as it is."""

    file: str
    before: str
    after: str
    rules: tuple[str, ...]


class Fixes(NamedTuple):
    """What could be mended, by file; `left`: why an edit was not made."""

    files: tuple[Fixed, ...]
    left: tuple[str, ...]


def fixes(snapshot: Snapshot, drafts: Iterable[Draft], contents: Mapping[str, bytes]) -> Fixes:
    """Every edit made, document by document; one whose outcome does not read as it should is left alone."""
    by_document: dict[tuple[str, int], list[Draft]] = {}
    left: list[str] = []
    for draft in drafts:
        if draft.edit is None:
            continue
        file, line = snapshot.where[draft.object]
        if file in snapshot.made:
            left.append(f"{draft.rule.id} in {file}: it is rendered, and has to be mended in what it was rendered from")
        elif not file.endswith((".yaml", ".yml")) or b"\r" in contents[file]:
            left.append(f"{draft.rule.id} in {file}: only YAML with plain line feeds is written")
        else:
            by_document.setdefault((file, line), []).append(draft)
    names = _Names(snapshot)
    texts: dict[str, list[str]] = {}
    rules: dict[str, list[str]] = {}
    for (file, line), found in sorted(by_document.items(), reverse=True):
        if file not in texts:
            texts[file] = contents[file].decode("utf-8", "surrogateescape").split("\n")
        text = found[0].object.document.text
        fresh, done = _document(text, found, names)
        left += [
            f"{draft.rule.id} in {file}:{line}: the edit does not fit there" for draft in found if draft not in done
        ]
        if done and _replace(texts[file], line, text, fresh):
            rules.setdefault(file, []).extend(draft.rule.id for draft in done)
        elif done:
            left.append(f"{file}:{line}: the file does not read as its text does")
    return Fixes(
        tuple(
            Fixed(
                file,
                contents[file].decode("utf-8", "surrogateescape"),
                "\n".join(texts[file]),
                tuple(sorted(rules[file])),
            )
            for file in sorted(rules)
        ),
        tuple(dict.fromkeys(left)),
    )


def patch(found: Fixes) -> str:
    """The changes as a unified diff that `git apply` and `patch -p1` take."""
    import difflib

    out = []
    for one in found.files:
        lines = difflib.unified_diff(
            one.before.splitlines(keepends=True), one.after.splitlines(keepends=True), f"a/{one.file}", f"b/{one.file}"
        )
        for line in lines:
            out.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(out)


def write(folder: str, found: Fixes) -> None:
    """Put the changed files in place, below the folder (or as the file) that they were read from. Raises UsageError."""
    for one in found.files:
        path = os.path.join(folder, *one.file.split("/")) if os.path.isdir(folder) else folder
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
                same = stream.read() == one.before
            if not same:
                raise UsageError(f"{path} has changed since it was read: nothing was written to it")
            with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                stream.write(one.after)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror or error}") from None


class _Names:
    """The names that added objects may take: none that there is."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._taken = {(key[1], key[2]) for key in snapshot.objects}
        self._known = set(self._taken)

    def free(self, value: dict[str, Any], beside: Object) -> dict[str, Any]:
        name = value["metadata"]["name"]
        number = 2
        fresh = name
        while (beside.namespace, fresh) in self._taken:
            fresh = f"{name}-{number}"
            number += 1
        self._taken.add((beside.namespace, fresh))
        return value if fresh == name else {**value, "metadata": {**value["metadata"], "name": fresh}}


def _document(text: str, found: Sequence[Draft], names: _Names) -> tuple[str, list[Draft]]:
    """One document with its edits: a step at a time, so that one that does not fit leaves the others alone."""
    done: list[Draft] = []
    seen: set[str] = set()
    added: list[str] = []
    for draft in sorted(found, key=_turn):
        edit = draft.edit
        assert edit is not None
        same = repr((draft.object.pointer, edit.action, edit.path, edit.value))
        if same in seen:
            done.append(draft)
            continue
        if edit.action == "add-document":
            assert isinstance(edit.value, dict)
            added.append(written(names.free(edit.value, draft.object)))
        else:
            fresh = _edited(text, draft.object.pointer, edit)
            if fresh is None:
                continue
            text = fresh
        seen.add(same)
        done.append(draft)
    return "".join([text, *(f"---\n{one}" for one in added)]), done


def _turn(draft: Draft) -> tuple[int, list[tuple[int, str]]]:
    """First what moves nothing; joins from the last to the first, so that the places of the others stay."""
    assert draft.edit is not None
    path = [(-step, "") if isinstance(step, int) else (0, step) for step in (*draft.object.pointer, *draft.edit.path)]
    return _ORDER.index(draft.edit.action), path


def _edited(text: str, pointer: Path, edit: Edit) -> str | None:
    """The text with the edit made; None where it does not fit, or would not read as it should."""
    value, error = _read(text)
    if error:
        return None
    wanted = copy.deepcopy(value)
    if not make(wanted, (*pointer, *edit.path), edit):
        return None
    fresh = rewritten(text, lambda root: make(root, (*pointer, *edit.path), edit))
    return fresh if fresh is not None and _read(fresh) == (wanted, False) else None


def _read(text: str) -> tuple[Any, bool]:
    found = Reader().read("", text.encode("utf-8", "surrogateescape"))
    if len(found) != 1:
        return None, True
    value, error = found[0].document.take()
    return value, error is not None


def make(root: Any, path: Path, edit: Edit) -> bool:
    """Make an edit in a manifest; False (and nothing done) where its place is not there."""
    holder = root
    try:
        for step in path[:-1]:
            holder = holder[step]
        at = path[-1]
        if edit.action == "set":
            holder[at] = copy.deepcopy(edit.value)
        elif edit.action == "remove":
            del holder[at]
        elif edit.action == "append":
            if isinstance(holder.get(at), list):
                holder[at].append(copy.deepcopy(edit.value))
            else:
                holder[at] = [copy.deepcopy(edit.value)]
        elif edit.action == "join" and isinstance(at, int) and at > 0:
            first, second = holder[at - 1], holder[at]
            if set(first) & set(second):
                return False
            for key in second:
                first[key] = second[key]
            del holder[at]
        else:
            return False
    except (LookupError, TypeError, AttributeError):
        return False
    return True


def _replace(lines: list[str], start: int, before: str, after: str) -> bool:
    """Put a document's new lines in place of its old ones, if those are there."""
    old = before.split("\n")[:-1] if before.endswith("\n") else before.split("\n")
    new = after.split("\n")[:-1] if after.endswith("\n") else after.split("\n")
    there = lines[start - 1 : start - 1 + len(old)]
    if there != old:
        return False
    lines[start - 1 : start - 1 + len(old)] = new
    return True
