"""A folder in, one Git repository open for reading out: processes of git are started here and nowhere else.

Nothing is written to the repository: what a merge or the working tree needs goes to an object folder of its own, with the repository's
as alternate. Nothing of the repository is run: no hook, no filter of Git LFS, no external diff, no fetch of missing objects.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from bot.errors import GitError

OLDEST = (2, 38)  # the first with merge-tree --write-tree; cat-file --batch-command came with 2.36
HOLE = "fetch the whole history (actions/checkout: fetch-depth: 0; otherwise: git fetch --unshallow)"

# One request is under 80 bytes: a batch of them fits into the smallest pipe there is, so that neither side waits for the other.
_BATCH = 150

_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.untrackedCache=false",
    "core.quotePath=false",
    "core.compression=0",
    "core.alternateRefsCommand=",
    "filter.lfs.clean=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "gc.auto=0",
    "commit.gpgSign=false",
    "diff.external=",
    "merge.renames=true",
    "merge.directoryRenames=conflict",
    "merge.renormalize=false",
    "log.showSignature=false",
)


class Blob(NamedTuple):
    """What the object database says of one object before it is read: its type, and its size in bytes."""

    kind: str
    size: int


class Repository:
    """One repository, open. Use `open_repository`, which ends the processes and removes what was written beside it."""

    def __init__(self, path: str, scratch: str) -> None:
        """Raises GitError where there is no repository, or no git."""
        self.path = path
        self.scratch_index = os.path.join(scratch, "index")
        self._environment = _environment()
        self._session: subprocess.Popen[bytes] | None = None
        self._sizes: dict[str, Blob | None] = {}
        self._blobs: dict[str, bytes] = {}
        if not os.path.isdir(path):
            raise GitError(f"{path} is not a folder: say with --repo where the Git repository is")
        facts = ("--is-bare-repository", "--is-inside-work-tree", "--is-shallow-repository", "--path-format=absolute")
        paths = ("--git-path", "objects", "--git-path", "index", "--show-prefix")
        status, out, error = self.attempt(
            "rev-parse", *facts, *paths, "--symbolic-full-name", "refs/remotes/origin/HEAD"
        )
        # The last question may have no answer, which is all right; the ones before it come out first.
        lines = out.decode("utf-8", "surrogateescape").split("\n")
        if len(lines) < 7 or not lines[3].startswith("/"):
            if "not a git repository" in error:
                raise GitError(
                    f"{path} is not in a Git repository: say with --repo where it is, or compare folders with --dirs"
                )
            raise self.failure("read the repository", error)
        self.bare = lines[0] == "true" or lines[1] != "true"
        self.shallow = lines[2] == "true"
        self.index = lines[4]
        depth = lines[5].count("/")
        self.top = os.path.normpath(os.path.join(os.path.realpath(path), *[".."] * depth)) if depth else path
        self.origin_head = lines[6] if status == 0 and lines[6].startswith("refs/remotes/") else None
        os.mkdir(os.path.join(scratch, "objects"))
        self._environment["GIT_OBJECT_DIRECTORY"] = os.path.join(scratch, "objects")
        self._environment["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = (
            '"' + lines[3].replace("\\", "\\\\").replace('"', '\\"') + '"'
        )

    def attempt(
        self, *arguments: str, give: bytes = b"", at: str | None = None, index: bool = False
    ) -> tuple[int, bytes, str]:
        """Run one git command: its exit status, its output, and the last line of what it complained of. Raises GitError without git."""
        environment = {**self._environment, "GIT_INDEX_FILE": self.scratch_index} if index else self._environment
        try:
            done = subprocess.run(  # noqa: S603
                _command(at or self.path, arguments), input=give, capture_output=True, env=environment, check=False
            )
        except OSError as error:
            raise _no_git(error) from None
        complaint = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
        # Advice follows the error; what says what is wrong comes first.
        told = [line for line in complaint if line.startswith(("fatal:", "error:"))] or complaint[-1:]
        return done.returncode, done.stdout, told[0] if told else ""

    def output(
        self, what: str, *arguments: str, give: bytes = b"", at: str | None = None, index: bool = False
    ) -> bytes:
        """The output of a git command that must succeed; `what` it is for, in words. Raises GitError."""
        status, out, error = self.attempt(*arguments, give=give, at=at, index=index)
        if status != 0:
            raise self.failure(what, error)
        return out

    def failure(self, what: str, complaint: str) -> GitError:
        """What to tell when git refuses: a git that is too old is named as such, whatever it complained of."""
        if outdated := self._outdated():
            return outdated
        if "dubious ownership" in complaint:
            place = os.path.realpath(self.path)
            return GitError(
                f"git does not trust {place}, which belongs to another user: git config --global --add safe.directory {place}"
            )
        return GitError(
            f"git could not {what}: {complaint.removeprefix('fatal: ').removeprefix('error: ') or 'it said nothing'}"
        )

    def _outdated(self) -> GitError | None:
        version = self.attempt("version")[1].decode("ascii", "replace").strip()
        numbers = re.match(r"git version (\d+)\.(\d+)", version)
        if numbers is not None and (int(numbers[1]), int(numbers[2])) >= OLDEST:
            return None
        return GitError(f"{version or 'this git'} is too old: netreach needs git {OLDEST[0]}.{OLDEST[1]} or newer")

    def _ended(self) -> GitError:
        """What to tell when the process that reads objects is gone, as it is where it would have to fetch one."""
        return self._outdated() or self.missing("an object")

    def missing(self, what: str) -> GitError:
        """What to tell when an object is not there."""
        if self.shallow:
            return GitError(f"{what} is not in this clone, which is shallow: {HOLE}")
        return GitError(
            f"{what} is not in this clone: a partial clone lacks it (git fetch --refetch), or it is damaged (git fsck)"
        )

    def commits(self, refs: Sequence[str]) -> list[str | None]:
        """The commit id of each ref, None for one that is unknown or no commit. A ref must be one line. Raises GitError."""
        answers = self._ask(f"info {ref}^{{commit}}\n".encode("utf-8", "surrogateescape") for ref in refs)
        return [answer[0] if len(answer) == 3 and answer[1] == "commit" else None for answer in answers]

    def sizes(self, ids: Iterable[str]) -> list[Blob | None]:
        """What is known of each object, None for one that is missing; asked for twice, git is once. Raises GitError."""
        wanted = list(ids)
        unknown = [name for name in dict.fromkeys(wanted) if name not in self._sizes]
        answers = self._ask(f"info {name}\n".encode() for name in unknown)
        for name, answer in zip(unknown, answers, strict=True):
            self._sizes[name] = Blob(answer[1], int(answer[2])) if len(answer) == 3 else None
        return [self._sizes[name] for name in wanted]

    def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """The content of each blob; asked for twice, it is read once and the same bytes object. Raises GitError."""
        wanted = [name for name in dict.fromkeys(ids) if name not in self._blobs]
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            session = self._send(f"contents {name}\n".encode() for name in batch)
            assert session.stdout is not None
            for name in batch:
                header = session.stdout.readline().split()
                if len(header) != 3:
                    raise self.missing(f"object {name}")
                size = int(header[2])
                data = session.stdout.read(size + 1)
                if len(data) != size + 1:
                    raise self._ended()
                self._blobs[name] = data[:-1]
        return self._blobs

    def _ask(self, requests: Iterable[bytes]) -> Iterator[list[str]]:
        waiting = list(requests)
        for start in range(0, len(waiting), _BATCH):
            batch = waiting[start : start + _BATCH]
            session = self._send(batch)
            assert session.stdout is not None
            for _ in batch:
                line = session.stdout.readline()
                if not line.endswith(b"\n"):
                    raise self._ended()
                yield [] if line.endswith((b" missing\n", b" ambiguous\n")) else line.decode("ascii", "replace").split()

    def _send(self, requests: Iterable[bytes]) -> subprocess.Popen[bytes]:
        if self._session is None:
            arguments = ("cat-file", "--batch-command=%(objectname) %(objecttype) %(objectsize)", "--buffer")
            try:
                self._session = subprocess.Popen(  # noqa: S603
                    _command(self.path, arguments),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=self._environment,
                )
            except OSError as error:
                raise _no_git(error) from None
        session = self._session
        assert session.stdin is not None
        try:
            session.stdin.write(b"".join(requests) + b"flush\n")
            session.stdin.flush()
        except OSError:
            raise self._ended() from None
        return session

    def listing(self, tree: str, limit: int) -> tuple[list[bytes], bool]:
        """The entries of a tree and all below it, as `git ls-tree -r -z` prints them, and whether that is all. Raises GitError."""
        try:
            process = subprocess.Popen(  # noqa: S603
                _command(self.path, ("ls-tree", "-r", "-z", "--full-tree", tree)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment,
            )
        except OSError as error:
            raise _no_git(error) from None
        with process:
            assert process.stdout is not None
            out = bytearray()
            while len(out) <= limit and (more := process.stdout.read(1 << 20)):
                out += more
            whole = len(out) <= limit
            if not whole:
                process.kill()
        if whole and process.returncode != 0:
            raise self.missing(f"a part of the tree {tree[:12]}")
        return bytes(out).split(b"\0")[:-1], whole

    def close(self) -> None:
        """End the process that reads objects."""
        if self._session is not None:
            self._session.kill()  # not to wait for what it would still print
            for stream in (self._session.stdin, self._session.stdout):
                with suppress(OSError):
                    stream.close()  # type: ignore[union-attr]
            self._session.wait()


@contextmanager
def open_repository(path: str) -> Iterator[Repository]:
    """The repository that the folder `path` is in. Raises GitError."""
    folder = next((os.environ[name] for name in ("TMPDIR", "TEMP") if os.environ.get(name)), "/tmp")  # noqa: S108
    scratch = os.path.join(os.path.abspath(folder), f"netreach-{os.urandom(12).hex()}")
    try:
        # Made by hand: the module tempfile costs more to import than two processes of git.
        os.mkdir(scratch, 0o700)
    except OSError as error:
        raise GitError(f"cannot write to {folder}, which holds what is merged: {error.strerror}; set TMPDIR") from None
    repository = None
    try:
        repository = Repository(path, scratch)
        yield repository
    finally:
        if repository is not None:
            repository.close()
        for place, folders, files in os.walk(scratch, topdown=False):
            for name in files:
                os.unlink(os.path.join(place, name))
            for name in folders:
                os.rmdir(os.path.join(place, name))
        os.rmdir(scratch)


def _environment() -> dict[str, str]:
    """The environment without anything that redirects git, and with what keeps it from talking, asking, fetching and translating."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_") and name != "LANGUAGE"
    }
    fixed = {
        "LC_ALL": "C",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",  # the git that does not know the variable above
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": os.devnull,
    }
    for role in ("AUTHOR", "COMMITTER"):
        fixed[f"GIT_{role}_NAME"] = "netreach"
        fixed[f"GIT_{role}_EMAIL"] = "netreach@localhost"
        fixed[f"GIT_{role}_DATE"] = "1700000000 +0000"
    return {**environment, **fixed}


def _command(place: str, arguments: Sequence[str]) -> list[str]:
    command = ["git", "-C", place]
    for setting in _SETTINGS:
        command += ("-c", setting)
    return command + list(arguments)


def _no_git(error: OSError) -> GitError:
    if isinstance(error, FileNotFoundError):
        return GitError("git was not found: install git 2.38 or newer, or compare two folders with --dirs")
    return GitError(f"git cannot be run: {error.strerror or error}")
