"""Manifests as text in, a Snapshot out, for the tests of this folder."""

from __future__ import annotations

from textwrap import dedent

from bot.manifests.snapshot import Snapshot, load
from bot.manifests.yaml import Reader
from bot.sources import Files


def side(files: dict[str, str] | str, reader: Reader | None = None, default_namespace: str = "default") -> Snapshot:
    """The Snapshot of files by name, or of one file `f.yaml`."""
    named = {"f.yaml": files} if isinstance(files, str) else files
    contents = {name: dedent(text).encode() for name, text in sorted(named.items())}
    return load(Files("test", None, contents, []), reader or Reader(), default_namespace)


def reasons(snapshot: Snapshot) -> list[str]:
    """What could not be read, as `file:first-last reason`."""
    return [f"{u.file}:{u.lines[0]}-{u.lines[1]} {u.reason}" for u in snapshot.unread if u.lines]
