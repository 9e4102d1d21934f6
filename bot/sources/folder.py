"""A folder or one file on disk in, its YAML and JSON files out; nothing outside the folder is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence

from bot.errors import UsageError
from bot.sources import Files, Unread
from bot.sources.select import LIMITS, SETTINGS_FILES, SUFFIXES, Limits, is_stand_in, matcher

# Folders that tools write and nobody deploys from.
IGNORED = frozenset({".git", ".hg", ".svn", ".terraform", ".tox", ".venv", "__pycache__", "node_modules"})


def read_folder(
    path: str,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    known: dict[bytes, bytes] | None = None,
    limits: Limits = LIMITS,
    every: Callable[[str], bool] | None = None,
) -> Files:
    """Every .yaml, .yml and .json file below `path`, or the file `path` itself whatever its name.

    A symbolic link to a file within the folder is read, one that leaves it is `skipped`; linked folders are not entered, as
    kubectl does not. `known` is shared by reads that are compared: equal contents become one and the same bytes object.
    `every`: read whatever files have names that it accepts, and where all links end, in place of the YAML and JSON.
    Raises UsageError where there is nothing to read.
    """
    known = {} if known is None else known
    links: dict[str, str] = {}
    try:
        mode = os.stat(path).st_mode
        root = os.path.realpath(path)
        if stat.S_ISDIR(mode):
            if every is None:
                found, skipped = _walk(root, include, exclude)
            else:
                found, skipped, links = _walk_every(root, every)
        elif stat.S_ISREG(mode):
            found, skipped = [(os.path.basename(path), root)], []
        else:
            raise UsageError(f"{path} is neither a folder nor a file")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    contents: dict[str, bytes] = {}
    total = 0
    for index, (name, place) in enumerate(sorted(found)):
        if index == limits.files or total >= limits.total_bytes:
            skipped.append(
                Unread(
                    name,
                    None,
                    f"this file and {len(found) - index - 1:,} more are over the limit",
                    "paths.exclude",
                    None,
                )
            )
            break
        data = _read(place, limits.file_bytes)
        if isinstance(data, str):
            skipped.append(Unread(name, None, data, "paths.exclude", None))
        else:
            contents[name] = known.setdefault(data, data)
            total += len(data)
    return Files(path, None, contents, sorted(skipped, key=lambda unread: (unread.file, unread.reason)), links)


def read_folders(
    base: str,
    head: str,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    every: Callable[[str], bool] | None = None,
) -> tuple[Files, Files]:
    """Two folders to compare: contents that are equal on both sides are the same bytes object. Raises UsageError."""
    known: dict[bytes, bytes] = {}
    before = read_folder(base, include, exclude, known, every=every)
    return before, read_folder(head, include, exclude, known, every=every)


def _walk_every(root: str, chosen: Callable[[str], bool]) -> tuple[list[tuple[str, str]], list[Unread], dict[str, str]]:
    """Every chosen file, and where each link below the root ends, relative to it."""
    found: list[tuple[str, str]] = []
    skipped: list[Unread] = []
    links: dict[str, str] = {}
    folders = [""]
    while folders:
        prefix = folders.pop()
        try:
            entries = list(os.scandir(os.path.join(root, prefix)))
        except OSError:
            continue
        for entry in entries:
            name = prefix + entry.name
            if _shown(name) != name:
                continue
            if entry.is_symlink():
                end = os.path.realpath(entry.path)
                if os.path.commonpath((root, end)) == root:
                    links[name] = os.path.relpath(end, root)
                elif chosen(name):
                    skipped.append(Unread(name, None, "a symbolic link that leaves the folder is not followed"))
            elif entry.is_dir(follow_symlinks=False):
                if entry.name not in IGNORED:
                    folders.append(name + "/")
            elif chosen(name):
                found.append((name, entry.path))
    return found, skipped, dict(sorted(links.items()))


def _walk(root: str, include: Sequence[str], exclude: Sequence[str]) -> tuple[list[tuple[str, str]], list[Unread]]:
    matches = matcher(include, exclude)
    found: list[tuple[str, str]] = []
    skipped: list[Unread] = []
    folders = [(root, "")]
    while folders:
        folder, prefix = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            skipped.append(
                Unread(
                    _shown(prefix.rstrip("/") or "."),
                    None,
                    f"this folder cannot be read: {error.strerror or error}",
                    "paths.exclude",
                    None,
                )
            )
            continue
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in IGNORED:
                    folders.append((entry.path, name + "/"))
                continue
            if not name.endswith(SUFFIXES) or not (name in SETTINGS_FILES or matches(name)):
                continue
            place = entry.path
            if entry.is_symlink():
                place = os.path.realpath(place)
                if os.path.isdir(place):
                    continue
                if os.path.commonpath((root, place)) != root:
                    skipped.append(Unread(_shown(name), None, "a symbolic link that leaves the folder is not followed"))
                    continue
            if _shown(name) == name:
                found.append((name, place))
            else:
                skipped.append(Unread(_shown(name), None, "the name of this file is not UTF-8", None, None))
    return found, skipped


def _read(place: str, limit: int) -> bytes | str:
    """The bytes, or why there are none."""
    try:
        # Not to wait for ever for the other end of a named pipe.
        descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return "this is no regular file"
            data = b""
            while len(data) <= limit and (more := os.read(descriptor, min(status.st_size, limit) + 1)):
                data += more
                if len(data) == status.st_size:
                    break
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"this file cannot be read: {error.strerror or error}"
    if len(data) > limit:
        return f"this file is larger than {limit:,} bytes"
    if is_stand_in(data):
        return "this file is kept in Git LFS and was not fetched"
    return data


def _shown(name: str) -> str:
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
