"""A repository's id and address in, a copy of it on disk out that may be read while it is held; the copies stay within their limits."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import time
from typing import TYPE_CHECKING

from bot.errors import GitError
from bot.sources import mirror

if TYPE_CHECKING:
    from bot.server.settings import Limits

MOST_PACKS = 60


class Cache:
    """The copies below one folder: `<id>.git`, each with a lock beside it. Several processes may use one."""

    def __init__(self, folder: str, limits: Limits) -> None:
        """Raises GitError where nothing can be written there."""
        self._folder = folder
        self._limits = limits
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        except OSError as error:
            raise GitError(f"cannot write to {folder}: {error.strerror or error}") from None

    @contextmanager
    def hold(self, repository: int, url: str) -> Iterator[str]:
        """The folder of a copy, made if need be, which nobody else uses or removes meanwhile. Raises GitError."""
        path = os.path.join(self._folder, f"{repository:d}.git")
        with self._locked(repository) as _:
            self._unlock(path)
            if _packs(path) > MOST_PACKS:
                try:
                    mirror.tidy(path)
                except GitError:
                    shutil.rmtree(path, ignore_errors=True)
            mirror.init(path, url)
            try:
                yield path
            finally:
                os.utime(path)
                if size(path) > self._limits.repository:
                    shutil.rmtree(path, ignore_errors=True)
        self.trim()

    def trim(self) -> None:
        """Remove the copies that were not used for longest, until all of them are within the limit."""
        found = []
        for entry in os.scandir(self._folder):
            if entry.name.endswith(".git"):
                with suppress(OSError):
                    found.append((entry.stat().st_mtime, entry.name, size(entry.path)))
        total = sum(row[2] for row in found)
        for _, name, bytes_ in sorted(found):
            if total <= self._limits.cache:
                return
            with self._locked(int(name.removesuffix(".git")), wait=False) as locked:
                if locked:
                    shutil.rmtree(os.path.join(self._folder, name), ignore_errors=True)
                    total -= bytes_

    def _unlock(self, path: str) -> None:
        """Remove the locks of a git that was killed: nobody else uses the copy, and none would take so long."""
        oldest = time() - self._limits.fetch - 60
        for folder, _, files in os.walk(path):
            for name in files:
                if name.endswith(".lock"):
                    with suppress(OSError):
                        if os.lstat(os.path.join(folder, name)).st_mtime < oldest:
                            os.unlink(os.path.join(folder, name))

    @contextmanager
    def _locked(self, repository: int, wait: bool = True) -> Iterator[bool]:
        lock = os.open(os.path.join(self._folder, f"{repository:d}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(lock)


def size(path: str) -> int:
    """The bytes of all files below a folder; what vanishes meanwhile does not count."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def _packs(path: str) -> int:
    try:
        return sum(entry.name.endswith(".pack") for entry in os.scandir(os.path.join(path, "objects", "pack")))
    except OSError:
        return 0
