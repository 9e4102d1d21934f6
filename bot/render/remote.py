"""References to other repositories in, and what of them the config lets in; the files at them, under names of their own, out.

How Kustomize reads an address: https://github.com/kubernetes-sigs/kustomize/blob/kustomize/v5.8.1/api/internal/git/repospec.go.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from bot.errors import GitError
from bot.render import charts
from bot.sources import Files, remote
from bot.sources.remote import Address, Unreachable, permitted
from bot.sources.select import Limits

# What is fetched stands below this folder of the copy, and no repository may have it.
FOLDER = ".netreach-remote"
SETTING = "render.remote"
MOST = 50
SECONDS = 600
_FULL = f"more than {MOST} things, or for more than {SECONDS} seconds, are not fetched for one review"
LIMITS = Limits(file_bytes=5_000_000, files=20_000, total_bytes=200_000_000, listing_bytes=50_000_000)
_QUERY = frozenset({"ref", "version", "timeout", "submodules"})


_PINNED = re.compile(r"[0-9a-f]{40}|[\w-]*?v?\d+\.\d[\w.+-]*")


class Reference(NamedTuple):
    """What a kustomization refers to: a repository at a ref ('': its default branch) and a folder in it; or (`file`) one file."""

    address: Address
    ref: str = ""
    folder: str = "."
    file: bool = False


def reference(written: str) -> Reference:
    """Raises ValueError with the reason for what is not fetched whatever the config says."""
    rest, _, query = written.partition("?")
    if rest.lower().startswith("github.com/"):
        rest = "https://" + rest
    scheme, colon, rest = rest.partition("://")
    if not colon or scheme.lower() != "https":
        raise ValueError("only https:// is fetched")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    if asked.keys() - _QUERY or "%" in query or "#" in written:
        raise ValueError("its query is not understood")
    ref = asked.get("version") or asked.get("ref") or ""
    host, _, path = rest.partition("/")
    cut = re.search(r"//|(?<=\.git)(?:/|$)", path)
    if "_git/" in path:
        raise ValueError("its form is not understood")
    if cut is not None:
        repository, folder = path[: cut.start()], path[cut.end() :]
    elif not query and path.endswith((".yaml", ".yml", ".json")):
        return Reference(remote.address(f"https://{host}/{path}"), file=True)
    else:
        parts = path.strip("/").split("/")
        if len(parts) < 2:
            raise ValueError("it names no repository")
        repository, folder = "/".join(parts[:2]), "/".join(parts[2:])
    folder = folder.rstrip("/")
    if any(part in ("", ".", "..") for part in folder.split("/")[: None if folder else 0]):
        raise ValueError("its path leaves the repository, or has empty parts")
    return Reference(remote.address(f"https://{host}/{repository}"), ref, folder or ".")


class Remotes:
    """What is fetched for one review, each thing once, so that both sides see the same; `close` removes it from this machine."""

    def __init__(self, allowed: tuple[Address, ...] = (), plugins: tuple[str, ...] = ()) -> None:
        self.allowed = allowed
        self.plugins = plugins
        self._found: dict[tuple[Address, str], tuple[str, remote.Commit] | Unreachable] = {}
        self._files: dict[Address, bytes | Unreachable] = {}
        self._indexes: dict[Address, bytes] = {}
        self._charts: dict[charts.Chart, dict[str, bytes] | Unreachable] = {}
        self._place: str | None = None
        self._until = 0.0

    def problem(self, written: str) -> tuple[str, str | None] | None:
        """Why a reference is not fetched, and the setting that would help; None: it may be, or is."""
        shown = short(written)
        if one := charts.chart(written):
            return self._chart_problem(one)
        try:
            asked = reference(written)
        except ValueError as error:
            return f"its base {shown} is remote, and nothing is fetched of it: {error}; keep a copy of it here", None
        if not permitted(asked.address, self.allowed):
            words = f"its base {shown} is remote, and nothing is fetched that {SETTING} does not name"
            return f"{words}: name it there, or keep a copy of it here", SETTING
        failed = self._files.get(asked.address) if asked.file else self._found.get((asked.address, asked.ref))
        return (f"its base {shown} cannot be fetched: {failed}", None) if isinstance(failed, Unreachable) else None

    def _chart_problem(self, one: charts.Chart) -> tuple[str, str | None] | None:
        title = f"the chart {one.name[:80]!a} is not in this repository, and nothing is fetched"
        try:
            where = charts.checked(one)
        except ValueError as error:
            return f"{title} of it: {error}", "--context"
        if not permitted(where, self.allowed):
            return f"{title} that {SETTING} does not name ({where})", SETTING
        failed = self._charts.get(one)
        return (
            (f"the chart {one.title} of {where} cannot be fetched: {failed}", None)
            if isinstance(failed, Unreachable)
            else None
        )

    def path(self, written: str) -> str | None:
        """Where what a reference names stands in the copy. None where it may not be fetched."""
        if self.problem(written) is not None:
            return None
        if charts.chart(written):
            return _hashed(written)
        asked = reference(written)
        top = _top(asked)
        if asked.file:
            return f"{top}/{asked.address.parts[-1]}"
        return top if asked.folder == "." else f"{top}/{asked.folder}"

    def here(self, written: str) -> bool:
        """Whether a reference was fetched, or cannot be."""
        if one := charts.chart(written):
            return one in self._charts
        try:
            asked = reference(written)
        except ValueError:
            return True
        return asked.address in self._files if asked.file else (asked.address, asked.ref) in self._found

    def about(self, written: str) -> tuple[str, bool]:
        """What was fetched for a reference, in words ('' where nothing was), and whether it may be another one tomorrow."""
        if one := charts.chart(written):
            return (f"the chart {one.title} is fetched from {one.repository}" if one in self._charts else ""), False
        asked = reference(written)
        found = self._found.get((asked.address, asked.ref))
        if asked.file:
            if not isinstance(self._files.get(asked.address), bytes):
                return "", False
            pinned = any(_PINNED.fullmatch(part) for part in asked.address.parts[:-1])
            return (
                f"{asked.address} {'is fetched' if pinned else 'names no version, and may change: here as it is now'}",
                not pinned,
            )
        if not isinstance(found, tuple):
            return "", False
        sha = found[1].sha[:12]
        if not found[1].floats:
            return (
                f"{asked.address} is fetched at {asked.ref if asked.ref.startswith(sha) else f'{asked.ref} ({sha})'}",
                False,
            )
        what = f"its branch {asked.ref}" if asked.ref else "its default branch"
        return (
            f"{asked.address} is fetched from {what}, which moves: here as of {sha}; pin it to a tag or a commit",
            True,
        )

    def fetch(self, written: str) -> None:
        """Have a reference's repository or file here; what comes of it, `problem` and `read` tell."""
        if one := charts.chart(written):
            if one not in self._charts:
                self._charts[one] = self._chart(one)
            return
        asked = reference(written)
        if self._full():
            failed = Unreachable(_FULL)
            if asked.file:
                self._files.setdefault(asked.address, failed)
            else:
                self._found.setdefault((asked.address, asked.ref), failed)
        elif asked.file and asked.address not in self._files:
            try:
                data = remote.get(asked.address, self.allowed)
                if re.match(rb"\s*<(?:!doctype|html)", data[:200], re.IGNORECASE):
                    raise Unreachable("it is a page, not a manifest")
                self._files[asked.address] = data
            except Unreachable as failed:
                self._files[asked.address] = failed
        elif not asked.file and (asked.address, asked.ref) not in self._found:
            folder = os.path.join(self._room(), str(len(self._found)))
            try:
                self._found[asked.address, asked.ref] = folder, remote.commit(folder, asked.address, asked.ref)
            except Unreachable as failed:
                self._found[asked.address, asked.ref] = failed

    def _full(self) -> bool:
        import time

        self._until = self._until or time.monotonic() + SECONDS
        return time.monotonic() > self._until or len(self._found) + len(self._files) + len(self._charts) >= MOST

    def _chart(self, one: charts.Chart) -> dict[str, bytes] | Unreachable:
        try:
            if self._full():
                raise Unreachable(_FULL)
            return charts.fetch(one, self.allowed, self._indexes)
        except Unreachable as failed:
            return failed

    def read(self, written: str, chosen: Callable[[str], bool]) -> Files | None:
        """The files of what was fetched, by their places in the copy, as far as they are chosen. None where there is nothing."""
        from bot.sources.git import read_ref

        if one := charts.chart(written):
            top, packed = _hashed(written), self._charts.get(one)
            return (
                Files(top, None, {f"{top}/{path}": data for path, data in packed.items()}, [])
                if isinstance(packed, dict)
                else None
            )
        asked = reference(written)
        top = _top(asked)
        if asked.file:
            data = self._files.get(asked.address)
            return Files(top, None, {f"{top}/{asked.address.parts[-1]}": data}, []) if isinstance(data, bytes) else None
        found = self._found.get((asked.address, asked.ref))
        if not isinstance(found, tuple):
            return None
        try:
            files = read_ref(found[0], found[1].sha, limits=LIMITS, every=lambda path: chosen(f"{top}/{path}"))
        except GitError as error:
            self._found[asked.address, asked.ref] = Unreachable(str(error).replace(found[0], "it"))
            return None
        return Files(
            top,
            found[1].sha,
            {f"{top}/{path}": data for path, data in files.contents.items()},
            [unread._replace(file=f"{top}/{unread.file}") for unread in files.skipped],
            {f"{top}/{path}": f"{top}/{end}" if end not in ("", ".") else top for path, end in files.links.items()},
        )

    def _room(self) -> str:
        import tempfile

        if self._place is None:
            self._place = tempfile.mkdtemp(prefix="netreach-")
        return self._place

    def close(self) -> None:
        if self._place is not None:
            import shutil

            shutil.rmtree(self._place, ignore_errors=True)


def _top(asked: Reference) -> str:
    return _hashed(f"{asked.address} {asked.ref}{' file' if asked.file else ''}")


def _hashed(about: str) -> str:
    return f"{FOLDER}/{hashlib.sha256(about.encode('utf-8', 'replace')).hexdigest()[:16]}"


def shown(words: str) -> str:
    """What a renderer says, without the names that fetched things have in the copy."""
    return re.sub(rf"{re.escape(FOLDER)}/[0-9a-f]{{16}}/?", "", words)


def top_of(path: str) -> str:
    """The folder of what was fetched that a path of the copy is in; '' for the repository's own."""
    parts = path.split("/", 2)
    return "/".join(parts[:2]) if parts[0] == FOLDER else ""


def short(ref: str) -> str:
    """A reference as messages show it."""
    shown = re.sub(r"(?<=//)[^/@\s]+@", "", ascii(ref)[1:-1])
    return shown if len(shown) <= 100 else shown[:97] + "..."


def joined(files: Files, more: Mapping[str, Files]) -> Files:
    """A side with what was fetched for it (by reference)."""
    contents, links, skipped = dict(files.contents), dict(files.links), list(files.skipped)
    known = {unread.file for unread in skipped}
    for one in more.values():
        contents |= one.contents
        links |= one.links
        skipped += [unread for unread in one.skipped if unread.file not in known]
        known |= {unread.file for unread in one.skipped}
    return files._replace(contents=dict(sorted(contents.items())), links=dict(sorted(links.items())), skipped=skipped)
