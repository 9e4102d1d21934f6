"""Two Git refs, or one and the working tree, in; the files of both sides out, read without a checkout."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from bot.errors import GitError, UsageError
from bot.sources import Files, Unread
from bot.sources.plumbing import HOLE, Repository, open_repository
from bot.sources.select import LIMITS, SETTINGS_FILES, SUFFIXES, Limits, is_stand_in, matcher

MODES = ("merge", "branch", "exact")
WORKING_TREE = "working tree"


class Comparison(NamedTuple):
    """Two sides and how they came about.

    `mode` is what was compared in the end (`branch` after a merge that conflicts), `notes` what the report must say about it.
    `behind`: commits that the base has and the head lacks, None where a shallow history hides it. `base_sha`: the tip of the base;
    `head_sha`: the commit of the head, None for the working tree; `merge_base`: where they parted, if that is the base side.
    """

    base: Files
    head: Files
    mode: str
    notes: tuple[str, ...]
    behind: int | None
    base_sha: str
    head_sha: str | None
    merge_base: str | None


class _Point(NamedTuple):
    """A ref as found: what to call it, its commit, and the tree to read (the commit's own, but for the working tree)."""

    label: str
    commit: str
    tree: str
    unread: tuple[Unread, ...] = ()


def compare(
    repo: str,
    base: str | None = None,
    head: str | None = None,
    mode: str = "merge",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    strict: bool = False,
    limits: Limits = LIMITS,
    every: Callable[[str], bool] | None = None,
) -> Comparison:
    """The two sides of a pull request in the repository that the folder `repo` is in.

    `base` None: origin's default branch, else main, else master. `head` None: the working tree with its uncommitted and untracked
    files, without the ignored ones. `mode` merge: the tip of `base` against `head` merged into it, which is what a merge changes;
    where that conflicts, the merge base against `head`, with a note, or with `strict` an error. branch: the merge base against
    `head`. exact: the two as they are. Equal contents are one and the same bytes object. `every`: read whatever files have paths that it
    accepts, and where all links end, in place of the YAML and JSON. Raises GitError and UsageError.
    """
    if mode not in MODES:
        raise UsageError(f"--mode {mode}: not one of {', '.join(MODES)}")
    matches = matcher(include, exclude)
    with open_repository(repo) as git:
        if head is None and git.bare:
            raise GitError("this repository is bare, it has no working tree: say which ref is the head")
        before = _resolve(git, base) if base is not None else _default_base(git)
        after = _working_tree(git, limits) if head is None else _resolve(git, head)
        behind = _behind(git, before, after)
        merge_base = None
        notes: list[str] = []
        old, new = before, after
        if mode == "merge" and behind != 0:
            merged = _merge(git, before, after)
            if isinstance(merged, str):
                new = after._replace(label=f"{after.label} merged into {before.label}", tree=merged)
            elif strict:
                raise GitError(f"{_conflict(before, after, merged)}: merge or rebase first")
            else:
                mode = "branch"
                notes.append(f"{_conflict(before, after, merged)}: compared with where they parted instead")
        if mode == "branch":
            merge_base = _merge_base(git, before, after)
            old = _Point(f"merge base with {before.label}", merge_base, merge_base)
        reader = _Reader(git, matches, limits, every)
        return Comparison(
            base=reader.read(old.label, old.commit, old.tree),
            head=reader.read(
                new.label, new.tree if new.tree != after.tree else _sha(head, after), new.tree, after.unread
            ),
            mode=mode,
            notes=tuple(notes),
            behind=None if git.shallow and behind else behind,
            base_sha=before.commit,
            head_sha=_sha(head, after),
            merge_base=merge_base,
        )


def read_ref(
    repo: str,
    ref: str,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    limits: Limits = LIMITS,
    every: Callable[[str], bool] | None = None,
) -> Files:
    """One ref of the repository that the folder `repo` is in; `every` as in `compare`. Raises GitError and UsageError."""
    matches = matcher(include, exclude)
    with open_repository(repo) as git:
        point = _resolve(git, ref)
        return _Reader(git, matches, limits, every).read(point.label, point.commit, point.tree)


def days(repo: str, commits: Sequence[str]) -> list[str]:
    """The day (YYYY-MM-DD, UTC) that each commit was made on, in the order of `commits`. Raises GitError."""
    from datetime import datetime, timezone

    with open_repository(repo) as git:
        out = []
        for commit in commits:
            text = git.output("read when a commit was made", "show", "-s", "--format=%ct", commit, "--").strip()
            out.append(datetime.fromtimestamp(int(text), timezone.utc).strftime("%Y-%m-%d"))
        return out


def _sha(head: str | None, after: _Point) -> str | None:
    return None if head is None else after.commit


def _resolve(git: Repository, ref: str) -> _Point:
    shown = ascii(ref)[1:-1]
    if not ref or ref.startswith("-") or not ref.isprintable() or len(ref) > 1000:
        raise GitError(f"'{shown}' cannot be a ref: give a branch, a tag or a commit")
    # A fresh clone, in CI above all, has origin's branches without local ones of the same name.
    here, remote = git.commits([ref, f"refs/remotes/origin/{ref}"])
    if here is not None:
        return _Point(ref, here, here)
    if remote is not None:
        return _Point(f"origin/{ref}", remote, remote)
    if git.shallow:
        raise git.missing(shown)
    if ref == "HEAD":
        raise GitError("HEAD has no commit yet: commit something first, or compare folders with --dirs")
    raise GitError(
        f"{shown} is no branch, tag or commit here: fetch it (git fetch origin {shown}), or see what there is with git branch -a"
    )


def _default_base(git: Repository) -> _Point:
    candidates = [*([git.origin_head] if git.origin_head else []), "refs/heads/main", "refs/remotes/origin/main"]
    candidates += ["refs/heads/master", "refs/remotes/origin/master"]
    for name, commit in zip(candidates, git.commits(candidates), strict=True):
        if commit is not None:
            return _Point(name.removeprefix("refs/heads/").removeprefix("refs/remotes/"), commit, commit)
    raise GitError(
        "no base to compare with: origin's default branch is not known here, and there is neither main nor master; name the base"
    )


def _behind(git: Repository, base: _Point, head: _Point) -> int:
    if base.commit == head.commit:
        return 0
    what = f"count the commits between {base.label} and {head.label}"
    return int(git.output(what, "rev-list", "--left-right", "--count", f"{base.commit}...{head.commit}").split()[0])


def _merge_base(git: Repository, base: _Point, head: _Point) -> str:
    status, out, error = git.attempt("merge-base", base.commit, head.commit)
    if status == 0:
        return out.decode("ascii").split()[0]
    if status == 1:
        raise _no_merge_base(git, base, head)
    raise git.failure(f"find the merge base of {base.label} and {head.label}", error)


def _no_merge_base(git: Repository, base: _Point, head: _Point) -> GitError:
    if git.shallow:
        return GitError(
            f"the merge base of {base.label} and {head.label} is not in this clone, which is shallow: {HOLE}"
        )
    return GitError(
        f"{base.label} and {head.label} have no commit in common: compare them as they are with --mode exact"
    )


def _merge(git: Repository, base: _Point, head: _Point) -> str | list[str]:
    """The tree of head merged into base, or the files that conflict."""
    commit = head.commit
    if head.tree != head.commit:
        commit = (
            git.output("keep the working tree", "commit-tree", head.tree, "-p", commit, "-m", WORKING_TREE)
            .decode("ascii")
            .strip()
        )
    status, out, error = git.attempt(
        "merge-tree", "--write-tree", "--no-messages", "--name-only", "-z", base.commit, commit
    )
    if status in (0, 1):
        tree, *names = out.decode("utf-8", "backslashreplace").rstrip("\0").split("\0")
        return tree if status == 0 else sorted(set(names))
    _merge_base(git, base, head)  # the likeliest reason, and it has a message of its own
    raise git.failure(f"merge {head.label} into {base.label}", error)


def _conflict(base: _Point, head: _Point, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{head.label} does not merge into {base.label} without conflict ({', '.join(names[:3])}{more})"


def _working_tree(git: Repository, limits: Limits) -> _Point:
    """The working tree as a tree object beside the repository: what `git add --all` would stage, of the files that are read."""
    tip = _resolve(git, "HEAD")
    if os.path.exists(git.index):
        with open(git.index, "rb") as index, open(git.scratch_index, "wb") as copy:
            age = os.fstat(index.fileno())
            copy.write(index.read())
        # Git looks into a file that is as old as the index, since stat alone cannot tell whether it changed: keep that age.
        os.utime(git.scratch_index, ns=(age.st_atime_ns, age.st_mtime_ns))
    what = "list what changed in the working tree"
    asked = ("ls-files", "-t", "-z", "--modified", "--deleted", "--others", "--exclude-standard")
    unread = []
    staged = []
    for entry in sorted(set(git.output(what, *asked, at=git.top, index=True).split(b"\0")[:-1])):
        untracked, name = entry.startswith(b"?"), entry[2:]
        chosen = name.endswith(_ENDINGS)
        try:
            status = os.lstat(os.path.join(os.fsencode(git.top), name))
        except OSError:
            staged.append(name)
            continue
        linked = stat.S_ISLNK(status.st_mode)
        if stat.S_ISREG(status.st_mode) and status.st_size > limits.file_bytes:
            if chosen:
                unread.append(_too_large(name.decode("utf-8", "backslashreplace"), limits, None))
        # Of the untracked ones only what is read; links on the way to it count.
        elif linked or (stat.S_ISREG(status.st_mode) and (chosen or not untracked)):
            staged.append(name)
    if staged:
        requests = b"".join(name + b"\0" for name in staged)
        what = "read the working tree"
        git.output(
            what,
            "update-index",
            "--add",
            "--remove",
            "--replace",
            "-z",
            "--stdin",
            give=requests,
            at=git.top,
            index=True,
        )
    tree = git.output("read the working tree (is a merge under way? finish it first)", "write-tree", index=True)
    return _Point(WORKING_TREE, tip.commit, tree.decode("ascii").strip(), tuple(unread))


def _too_large(path: str, limits: Limits, content: str | None) -> Unread:
    return Unread(path, None, f"this file is larger than {limits.file_bytes:,} bytes", "paths.exclude", content)


class _Reader:
    """Reads the trees of one repository under one selection."""

    def __init__(
        self,
        git: Repository,
        matches: Callable[[str], bool],
        limits: Limits,
        every: Callable[[str], bool] | None = None,
    ) -> None:
        self._git = git
        self._matches = matches
        self._limits = limits
        self._every = every

    def read(self, label: str, sha: str | None, tree: str, unread: tuple[Unread, ...] = ()) -> Files:
        if self._every is not None:
            return self._read_every(label, sha, tree, self._every)
        entries, whole = self._git.listing(tree, self._limits.listing_bytes)
        skipped = list(unread)
        if not whole:
            skipped.append(
                Unread(".", None, "this tree has too many files, the rest of it is not read", "paths.exclude", None)
            )
        wanted: dict[str, str] = {}
        links: dict[str, str] = {}
        passed = {entry.file for entry in unread}
        for entry in entries:
            submodule = entry.startswith(b"160000")
            if not submodule and not entry.endswith(_ENDINGS):
                continue
            header, _, raw = entry.partition(b"\t")
            mode, _, name = header.decode("ascii").split(" ")
            try:
                path = raw.decode("utf-8")
            except UnicodeDecodeError:
                path = raw.decode("utf-8", "backslashreplace")
                if self._matches(path):
                    skipped.append(Unread(path, None, "the name of this file is not UTF-8", None, name))
                continue
            if path not in SETTINGS_FILES and not self._matches(path):
                if submodule and self._matches(f"{path}/x.yaml"):
                    skipped.append(_submodule(path, name))
            elif submodule:
                skipped.append(_submodule(path, name))
            elif path in wanted or path in links:
                skipped.append(Unread(path, None, "this tree names this file twice", None, None))
            elif path not in passed:
                (links if mode == "120000" else wanted)[path] = name
        if links:
            wanted |= self._followed(links, entries, skipped)
        contents = self._contents(dict(sorted(wanted.items())), skipped)
        return Files(label, sha, contents, sorted(skipped, key=lambda unread: (unread.file, unread.reason)))

    def _read_every(self, label: str, sha: str | None, tree: str, chosen: Callable[[str], bool]) -> Files:
        entries, _ = self._git.listing(tree, self._limits.listing_bytes)
        wanted: dict[str, str] = {}
        skipped: list[Unread] = []
        files: dict[str, str] = {}
        pointers: dict[str, str] = {}
        for mode, name, path in _entries(entries):
            if mode == "160000":
                if chosen(f"{path}/x"):
                    skipped.append(_submodule(path, name))
                continue
            (pointers if mode == "120000" else files)[path] = name
            if mode != "120000" and chosen(path):
                wanted[path] = name
        links: dict[str, str] = {}
        for path, end in self._ends(pointers):
            if end is not None:
                links[path] = end
            elif chosen(path):
                skipped.append(Unread(path, None, "a symbolic link that leaves the repository is not followed"))
        contents = self._contents(dict(sorted(wanted.items())), skipped)
        skipped.sort(key=lambda unread: (unread.file, unread.reason))
        return Files(label, sha, contents, skipped, dict(sorted(links.items())))

    def _ends(self, pointers: dict[str, str]) -> list[tuple[str, str | None]]:
        """Where each link of a tree ends when all of them are followed; None: outside."""
        names = list(dict.fromkeys(pointers.values()))
        sizes = self._git.sizes(names)
        short = [
            name for name, blob in zip(names, sizes, strict=True) if blob is not None and blob.size <= _LONGEST_LINK
        ]
        blobs = self._git.blobs(short)
        targets = {
            path: blobs[name].decode("utf-8", "surrogateescape") for path, name in pointers.items() if name in blobs
        }
        return [(path, _follow(path, targets) if path in targets else None) for path in pointers]

    def _contents(self, wanted: dict[str, str], skipped: list[Unread]) -> dict[str, bytes]:
        limits = self._limits
        names = list(dict.fromkeys(wanted.values()))
        found = dict(zip(names, self._git.sizes(names), strict=True))
        readable: dict[str, str] = {}
        total = 0
        for count, (path, name) in enumerate(wanted.items()):
            blob = found[name]
            if count >= limits.files or total >= limits.total_bytes:
                reason = f"this file and {len(wanted) - count - 1:,} more are over the limit"
                skipped.append(Unread(path, None, reason, "paths.exclude", None))
                break
            if blob is None or blob.kind != "blob":
                raise self._git.missing(path)
            if blob.size > limits.file_bytes:
                skipped.append(_too_large(path, limits, name))
                continue
            readable[path] = name
            total += blob.size
        blobs = self._git.blobs(readable.values())
        contents = {path: blobs[name] for path, name in readable.items()}
        for path in [path for path, data in contents.items() if is_stand_in(data)]:
            reason = "this file is kept in Git LFS and was not fetched"
            skipped.append(Unread(path, None, reason, None, wanted[path]))
            del contents[path]
        return contents

    def _followed(self, links: dict[str, str], entries: list[bytes], skipped: list[Unread]) -> dict[str, str]:
        """The blob that each symbolic link means, followed within the tree only."""
        files: dict[str, str] = {}
        pointers: dict[str, str] = {}
        folders: set[str] = {""}
        for mode, name, path in _entries(entries):
            if mode == "120000":
                pointers[path] = name
            elif mode != "160000":
                files[path] = name
            parent = path.rpartition("/")[0]
            while parent not in folders:
                folders.add(parent)
                parent = parent.rpartition("/")[0]
        followed: dict[str, str] = {}
        for path, end in self._ends(pointers):
            if path not in links:
                continue
            if end is None:
                skipped.append(Unread(path, None, "a symbolic link that leaves the repository is not followed"))
            elif end in files:
                followed[path] = files[end]
            elif end not in folders:
                skipped.append(Unread(path, None, "a symbolic link to something that is not in the repository"))
        return followed


def _entries(entries: list[bytes]) -> Iterator[tuple[str, str, str]]:
    """The mode, object id and path of each line of a listing; bytes that are no UTF-8 are lone surrogates in the path."""
    for entry in entries:
        header, _, raw = entry.partition(b"\t")
        mode, _, name = header.decode("ascii").split(" ")
        yield mode, name, raw.decode("utf-8", "surrogateescape")


_ENDINGS = tuple(suffix.encode() for suffix in SUFFIXES)
_LONGEST_LINK = 4096
_MOST_LINKS = 40  # as Linux


def _submodule(path: str, commit: str) -> Unread:
    return Unread(path, None, f"this submodule (at {commit[:12]}) is not read", "paths.exclude")


def _follow(path: str, targets: dict[str, str]) -> str | None:
    """Where a path ends when every link on its way is followed; None if that is outside, or without end."""
    left = path.split("/")[::-1]
    at: list[str] = []
    budget = _MOST_LINKS
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not at:
                return None
            at.pop()
            continue
        target = targets.get("/".join([*at, part]))
        if target is None:
            at.append(part)
            continue
        budget -= 1
        if budget < 0 or target.startswith("/"):
            return None
        left += target.split("/")[::-1]
    return "/".join(at)
