"""A side's files in; the manifests that its kustomizations, charts and GitOps objects stand for out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar

from bot.sources import Files

# Told how many of how many renderings are done; for a progress bar.
watcher: ContextVar[Callable[[int, int], None] | None] = ContextVar("watcher", default=None)

_NAMES = ("kustomization.yaml", "kustomization.yml", "Chart.yaml")
_GROUPS = (b"argoproj.io/", b"toolkit.fluxcd.io/")


def needed(sides: Iterable[Files]) -> bool:
    """Whether anything is there to render; cheap, for repositories that have plain manifests alone."""
    seen: set[int] = set()
    for side in sides:
        for path, data in side.contents.items():
            if path.endswith(_NAMES):
                return True
            if id(data) not in seen:
                seen.add(id(data))
                if _GROUPS[0] in data or _GROUPS[1] in data:
                    return True
    return False
