"""An address in, a bare copy out that has all commits and trees but only those file contents that a comparison reads.

Nothing in it is ever checked out. What is fetched later is asked for by its id; git itself never fetches on its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from bot.errors import GitError
from bot.sources.fetch import fetch
from bot.sources.select import SUFFIXES

REMOTE = "origin"
MOST_BLOBS = 200_000
# What makes a folder something to render: all that is below it counts then.
ROOTS = ("Chart.yaml", "kustomization.yaml", "kustomization.yml", "Kustomization")
LINK, SUBMODULE = "120000", "160000"


class Source(NamedTuple):
    """Where a copy comes from: the repository's address, and a token for what is below `server`.

    `seconds` that a fetch may take, `most` bytes that a pack may have (0: any).
    """

    url: str
    server: str = ""
    token: str = ""
    seconds: int = 600
    most: int = 0

    def __repr__(self) -> str:
        return f"Source(url={self.url!r})"


class Tips(NamedTuple):
    """Both commits, and whether what parts them is any file that could matter."""

    base: str
    head: str
    touched: bool


Tree = Mapping[str, tuple[str, str]]


def init(path: str, url: str) -> None:
    """An empty copy at `path`, or the one there is with its address brought up to date. Raises GitError."""
    if not os.path.exists(os.path.join(path, "HEAD")):
        os.makedirs(path, exist_ok=True)
        _git(path, "init", "--quiet", "--bare", "--template=", ".")
    settings = {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": REMOTE,
        f"remote.{REMOTE}.promisor": "true",
        f"remote.{REMOTE}.partialCloneFilter": "blob:none",
        "gc.auto": "0",
        f"remote.{REMOTE}.url": url,
    }
    text = _git(path, "config", "--local", "--list", "-z")
    there = dict(entry.partition("\n")[::2] for entry in text.split("\0") if entry)
    for name, value in settings.items():
        if there.get(name.lower(), there.get(name)) != value:
            _git(path, "config", "--local", name, value)


def bring(path: str, source: Source, base: str, head: str, refspecs: Iterable[str]) -> Tips:
    """Fetch `refspecs`, and what a comparison of `base` with `head` (refs or ids) reads. Raises GitError."""
    _fetch(path, source, list(refspecs))
    commits = [_git(path, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}").strip() for ref in (base, head)]
    parted = _attempt(path, "merge-base", *commits)[1].split()[:1]
    before, after = (_tree(path, commit) for commit in commits)
    old = _tree(path, parted[0]) if parted else {}
    roots = _roots((before, after, old))
    wanted = {oid for tree in (before, after, old) for name, (mode, oid) in tree.items() if _read(name, mode, roots)}
    if parted and parted[0] not in commits:
        wanted |= _merged(old, before, after)
    missing = _missing(path, [*commits, *parted])
    need(path, source, sorted(wanted & missing))
    touched = any(_read(name, after.get(name, old.get(name, ("", "")))[0], roots) for name in _changed(old, after))
    return Tips(commits[0], commits[1], touched or not parted)


def everything(path: str, source: Source, commits: Collection[str]) -> None:
    """Fetch the contents of every file of these commits. Raises GitError."""
    need(path, source, sorted(_missing(path, commits)))


def need(path: str, source: Source, ids: list[str]) -> None:
    """Fetch objects by their ids. Raises GitError."""
    if len(ids) > MOST_BLOBS:
        raise GitError(f"this comparison reads {len(ids):,} files that are not here yet, more than {MOST_BLOBS:,}")
    if ids:
        _fetch(path, source, ids)


def tidy(path: str) -> None:
    """Make one pack of the many that fetches leave. Raises GitError."""
    _git(path, "repack", "-a", "-d", "-q")


def _fetch(path: str, source: Source, refspecs: list[str]) -> None:
    fetch(
        path,
        REMOTE,
        refspecs,
        source.server,
        source.token,
        blobless=True,
        seconds=source.seconds,
        most=source.most,
    )


def _read(name: str, mode: str, roots: Collection[str]) -> bool:
    if mode in (LINK, SUBMODULE):
        return mode == LINK
    return name.endswith(SUFFIXES) or any(name[:end] in roots for end in _ends(name))


def _ends(name: str) -> Iterable[int]:
    at = name.find("/")
    yield 0
    while at >= 0:
        yield at
        at = name.find("/", at + 1)


def _roots(trees: Iterable[Tree]) -> set[str]:
    out = set()
    for tree in trees:
        for name in tree:
            folder, _, last = name.rpartition("/")
            if last in ROOTS:
                out.add(folder)
    return out


def _changed(old: Tree, new: Tree) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def _merged(old: Tree, before: Tree, after: Tree) -> set[str]:
    """The contents that a merge looks at: of files that both sides changed, and of those that may have been renamed."""
    ours, theirs = _changed(old, before), _changed(old, after)
    names = ours & theirs
    for side, changed in ((before, ours), (after, theirs)):
        names |= {name for name in changed if name not in old or name not in side}
    trees = (old, before, after)
    return {tree[name][1] for tree in trees for name in names if name in tree and tree[name][0] != SUBMODULE}


def _tree(path: str, commit: str) -> Tree:
    out = {}
    for entry in _git(path, "ls-tree", "-r", "-z", "--full-tree", commit).split("\0")[:-1]:
        header, _, name = entry.partition("\t")
        mode, _, oid = header.split(" ")
        out[name] = (mode, oid)
    return out


def _missing(path: str, commits: Collection[str]) -> set[str]:
    given = "".join(f"{commit}\n" for commit in commits)
    out = _git(path, "rev-list", "--objects", "--no-walk", "--missing=print", "--stdin", give=given)
    return {line[1:] for line in out.splitlines() if line.startswith("?")}


def _git(path: str, *arguments: str, give: str = "") -> str:
    status, out, error = _attempt(path, *arguments, give=give)
    if status != 0:
        raise GitError(f"git {arguments[0]}: {error or 'it said nothing'}")
    return out


def _attempt(path: str, *arguments: str, give: str = "") -> tuple[int, str, str]:
    """The status of a git command, what it printed, and the last line of what it complained of. It fetches nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "NETREACH_"))}
    environment |= {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",  # for a git that does not know the variable above
        "GIT_CEILING_DIRECTORIES": os.path.dirname(os.path.abspath(path)),
    }
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", path, "-c", "core.hooksPath=/dev/null", *arguments],  # noqa: S607
            input=give.encode("utf-8", "surrogateescape"),
            capture_output=True,
            env=environment,
            check=False,
        )
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror or error}") from None
    said = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
    return done.returncode, done.stdout.decode("utf-8", "surrogateescape"), said[-1] if said else ""
