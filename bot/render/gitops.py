"""A side's files in; the GitOps objects in them with where they stand, and what their repository fields mean here, out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from bot.render.model import Unusable, items, located, mapping, text
from bot.sources import Files


class Declared(NamedTuple):
    """A GitOps object: its value, its file, the first line of its document there."""

    value: dict[str, Any]
    file: str
    line: int

    @property
    def kind(self) -> str:
        return text(self.value.get("kind"))

    @property
    def name(self) -> str:
        return text(mapping(self.value.get("metadata")).get("name"))

    @property
    def namespace(self) -> str:
        return text(mapping(self.value.get("metadata")).get("namespace"))

    @property
    def spec(self) -> dict[str, Any]:
        return mapping(self.value.get("spec"))


def declared(files: Files, group: bytes, kinds: Iterable[str]) -> list[Declared]:
    """The objects of an API group and some kinds, in order; files that cannot be read, as templates, have none."""
    wanted = frozenset(kinds)
    named = re.compile(rb"""\bkind["']?[ \t]*:[ \t]*["']?(?:%b)\b(?!:)""" % "|".join(sorted(wanted)).encode())
    out = []
    for file, data in files.contents.items():
        # Their own definitions are large, and name the kinds too.
        if group not in data or not named.search(data) or b"kind: CustomResourceDefinition" in data:
            continue
        try:
            found = located(data)
        except Unusable:
            continue
        for value, line in found:
            for item in items(mapping(value).get("items")) or [value]:
                part = mapping(item)
                if part.get("kind") in wanted and text(part.get("apiVersion")).startswith(group.decode()):
                    out.append(Declared(part, file, line))
    return out


def own_url(pairs: Iterable[tuple[str, str]], folders: set[str]) -> str | None:
    """The URL of this repository: the one most often named with a path that is here. `pairs`: (URL, path)."""
    found = Counter(plain_url(url) for url, path in pairs if url and clean(path) in folders)
    return min(found, key=lambda url: (-found[url], url)) if found else None


def plain_url(url: str) -> str:
    """One spelling of a URL: without scheme, user, `.git`."""
    url = url.strip().lower().removesuffix("/").removesuffix(".git")
    url = url.partition("://")[2] or url
    host, at, rest = url.partition("@")
    if at and "/" not in host:
        url = rest
    return url.replace(":", "/", 1)


def clean(path: str) -> str:
    """A path from the top of the repository; '..' for one that leaves it."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ".." if ".." in parts else "/".join(parts) or "."


def folders_of(files: Files) -> set[str]:
    """Every folder that has a file in it or below it."""
    out = {"."}
    for path in (*files.contents, *files.links):
        parent = path.rpartition("/")[0]
        while parent and parent not in out:
            out.add(parent)
            parent = parent.rpartition("/")[0]
    return out | set(files.links)
