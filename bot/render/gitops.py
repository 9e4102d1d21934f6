"""A side's files in; the GitOps objects in them with where they stand, and what their repository fields mean here, out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from bot.render.model import apart, clean, items, mapping, text
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


def declared(files: Files, group: bytes, kinds: Iterable[str], broken: list[str] | None = None) -> list[Declared]:
    """The objects of an API group and some kinds, in order; templates are none. `broken`: gains a note on what cannot be read."""
    wanted = frozenset(kinds)
    named = re.compile(rb"""\bkind["']?[ \t]*:[ \t]*["']?(?:%b)\b(?!:)""" % "|".join(sorted(wanted)).encode())
    out = []
    for file, data in files.contents.items():
        # Their own definitions are large, and name the kinds too.
        if group not in data or not named.search(data) or b"kind: CustomResourceDefinition" in data:
            continue
        found, unread = apart(data)
        for part, line in unread:
            if broken is not None and named.search(part) and group in part and b"{{" not in part:
                broken.append(f"{file}:{line}: no valid YAML; what it deploys is not looked at")
        for value, line in found:
            for item in items(mapping(value).get("items")) or [value]:
                one = mapping(item)
                if one.get("kind") in wanted and text(one.get("apiVersion")).startswith(group.decode()):
                    out.append(Declared(one, file, line))
    return out


def own_url(pairs: Iterable[tuple[str, str]], folders: set[str]) -> str | None:
    """The URL of this repository: the one most often named with a path that is here, the first of equals. `pairs`: (URL, path)."""
    known = [(plain_url(url), clean(path)) for url, path in pairs if url]
    # Every repository has a top.
    for tops in ((), (".",)):
        found = Counter(url for url, path in known if path in folders and (tops or path != "."))
        if found:
            return max(found, key=found.__getitem__)
    return None


def plain_url(url: str) -> str:
    """One spelling of a URL: without scheme, user, `.git`."""
    url = url.strip().lower().removesuffix("/").removesuffix(".git")
    url = url.partition("://")[2] or url
    host, at, rest = url.partition("@")
    if at and "/" not in host:
        url = rest
    return url.replace(":", "/", 1)


def folders_of(files: Files) -> set[str]:
    """Every folder that has a file in it or below it."""
    out = {"."}
    for path in (*files.contents, *files.links):
        parent = path.rpartition("/")[0]
        while parent and parent not in out:
            out.add(parent)
            parent = parent.rpartition("/")[0]
    return out | set(files.links)
