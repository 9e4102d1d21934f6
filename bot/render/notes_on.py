"""A root and what came of it in; what a person should know of it beside its objects, out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bot.render import chance, flux
from bot.render.model import Root
from bot.sources import Unread

MOST_NAMED = 5


def jsonnet(root: Root, path: str, data: bytes) -> Unread:
    """A file of a folder of plain manifests that Argo CD would run."""
    import hashlib

    reason = f"{root.name}: this file is Jsonnet, which is not run"
    return Unread(path, None, reason, "--context", hashlib.sha256(data).hexdigest())


def unfilled(root: Root, found: Iterable[str]) -> list[str]:
    """What to say of variables that are left, whose values are not in the repository."""
    if not root.unknown or root.variables is None:
        return []
    known = {name for name, _ in root.variables}
    names = sorted({name for text in found for name in flux.LEFT.findall(text)} - known)
    if not names:
        return []
    shown = ", ".join(f"${{{name}}}" for name in names[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    verb = "stays as it is, for its value is" if len(names) == 1 else "stay as they are, for their values are"
    return [f"{root.name}: {shown}{more} {verb} in {' and '.join(root.unknown[:MOST_NAMED])}, not in the repository"]


def by_chance(root: Root, found: Sequence[tuple[str, str | None]]) -> list[str]:
    """What to say of values that a chart makes anew each time."""
    count = sum(chance.PLACEHOLDER in text for text, _ in found)
    if not count:
        return []
    objects = "1 object has" if count == 1 else f"{count} objects have"
    return [
        f"{root.name}: {objects} values that are made by chance each time it is rendered: {chance.PLACEHOLDER} stands for them"
    ]
