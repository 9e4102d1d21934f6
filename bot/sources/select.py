"""Include and exclude globs in, the decision for each path out: which files of a tree are YAML or JSON candidates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bot.errors import UsageError
from bot.sources import Files

SUFFIXES = (".yaml", ".yml", ".json")

# Read whatever the globs say, so that a side's settings come from the same bytes as its manifests.
CONFIG_FILES = (".netreach.yml", ".github/netreach.yml")
EXPECTATION_FILES = (".netreach/expectations.yaml", ".netreach/expectations.yml")
SETTINGS_FILES = CONFIG_FILES + EXPECTATION_FILES


class Limits(NamedTuple):
    """What one side may hold before the rest of it is left unread: bytes of a file, files, bytes in all, and bytes of a tree's listing."""

    file_bytes: int = 10_000_000
    files: int = 100_000
    total_bytes: int = 1_000_000_000
    listing_bytes: int = 500_000_000


LIMITS = Limits()


def matcher(include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Callable[[str], bool]:
    """Whether a path ('/' between its parts, relative to the root) is included and not excluded; its suffix is not looked at.

    No `include` means everything. In a glob `*` and `?` stay within one part of the path, `**` is any number of parts, `[a-z]` and
    `[!a-z]` are sets. A glob whose last part has no wildcard also means all that is below it. Raises UsageError.
    """
    wanted = _compiled(include) if include else None
    unwanted = _compiled(exclude) if exclude else None

    def matches(path: str) -> bool:
        return (wanted is None or wanted(path) is not None) and (unwanted is None or unwanted(path) is None)

    return matches


def narrow(files: Files, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Files:
    """The part of one side that the globs choose, the settings files always among it. Raises UsageError."""
    if not include and not exclude:
        return files
    matches = matcher(include, exclude)
    return files._replace(
        contents={path: data for path, data in files.contents.items() if path in SETTINGS_FILES or matches(path)},
        skipped=[unread for unread in files.skipped if matches(unread.file)],
    )


def find_config(contents: Mapping[str, bytes]) -> tuple[str, bytes] | None:
    """The settings file among a side's files, and its bytes. Raises UsageError where there are two."""
    found = [name for name in CONFIG_FILES if name in contents]
    if len(found) > 1:
        raise UsageError(f"{found[1]}:1: {found[0]} is there too: keep one of them")
    return (found[0], contents[found[0]]) if found else None


def is_stand_in(data: bytes) -> bool:
    """Whether the bytes are a Git LFS pointer: it parses as YAML, and would pass for a file without Kubernetes objects.

    https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    """
    return data.startswith(b"version https://git-lfs.github.com/spec/")


def _compiled(globs: Sequence[str]) -> Callable[[str], re.Match[str] | None]:
    groups: list[str] = []
    try:
        return re.compile("|".join(_expression(glob, groups) for glob in globs), re.DOTALL).fullmatch
    except re.error as error:
        raise UsageError(f"a glob of {', '.join(globs)} is not understood: {error}") from None


def _expression(glob: str, groups: list[str]) -> str:
    parts = [part for part in glob.split("/") if part not in ("", ".")]
    if not parts:
        raise UsageError(f"the glob {glob!r} is empty")
    if ".." in parts:
        raise UsageError(f"the glob {glob} leaves the root: '..' is not allowed in it")
    runs: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(_part(part, groups))
    tail = "" if any(character in parts[-1] for character in "*?[") else "(?:/.*)?"
    if len(runs) == 1:
        return "/".join(runs[0]) + tail
    text = "".join(f"{part}/" for part in runs[0])
    for run in runs[1:-1]:
        if run:
            text += _first("(?:[^/]+/)*?" + "".join(f"{part}/" for part in run), groups)
    return text + ("(?:[^/]+/)*" + "/".join(runs[-1]) + tail if runs[-1] else ".+")


def _part(part: str, groups: list[str]) -> str:
    pieces = [""]
    index = 0
    while index < len(part):
        character = part[index]
        index += 1
        if character == "*":
            if pieces[-1] or len(pieces) == 1:
                pieces.append("")
        elif character == "?":
            pieces[-1] += "[^/]"
        elif character == "[" and (end := part.find("]", index + 1 + (part[index : index + 1] in ("!", "^")))) > 0:
            inner = part[index:end]
            negated = inner[0] in "!^"
            inner = re.sub(r"([\\\[&~|^])", r"\\\1", inner[negated:])
            pieces[-1] += f"(?!/)[{'^' if negated else ''}{inner}]"
            index = end + 1
        else:
            pieces[-1] += re.escape(character)
    if len(pieces) == 1:
        return pieces[0]
    return pieces[0] + "".join(_first("[^/]*?" + piece, groups) for piece in pieces[1:-1]) + "[^/]*" + pieces[-1]


def _first(expression: str, groups: list[str]) -> str:
    """Take the first place where the expression fits and never another: a hostile path cannot make the match slow."""
    name = f"g{len(groups)}"
    groups.append(name)
    return f"(?=(?P<{name}>{expression}))(?P={name})"
