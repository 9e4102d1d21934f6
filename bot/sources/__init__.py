"""A folder or a Git ref in, the YAML and JSON files of one side out, with what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

Lines = tuple[int, int]


class Unread(NamedTuple):
    """Something that was there and could not be taken in.

    `file` is relative to the root that was read, `lines` the first and last line it concerns (None: the whole file), `reason` is for
    people, `setting` the option or config key that would settle it. `content` tells it from another content under the same name and
    reason, None where that cannot be told.
    """

    file: str
    lines: tuple[int, int] | None
    reason: str
    setting: str | None = None
    content: str | None = ""


class Made(NamedTuple):
    """What is known of a file that no repository holds, as it was rendered from others.

    `namespace`: of its objects that name none (None: as elsewhere). `origin`: first and last line in it to the file and the lines that
    a person can change.
    """

    namespace: str | None
    origin: Callable[[int, int], tuple[str, Lines]]


class Files(NamedTuple):
    """One side as read.

    `label` is what a person calls it, `sha` the commit (None: a folder, or the working tree), `contents` each file's bytes by its
    path ('/' between its parts, relative to the root), in the order of the paths, `skipped` what could not be read. `links`: where each
    symbolic link of the tree ends, filled only where every file is asked for. `made`: those of `contents` that were rendered.
    """

    label: str
    sha: str | None
    contents: dict[str, bytes]
    skipped: list[Unread]
    links: Mapping[str, str] = {}
    made: Mapping[str, Made] = {}
