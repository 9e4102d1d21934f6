"""A copy of some files and a command over it in; what the command printed, or why it came to nothing, out.

Everything in the copy is hostile. The command runs in a session of its own, with an empty environment, without a network where the
system allows to take it away, under limits of memory, CPU, time and output, and its whole group is killed in the end.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import subprocess


class Limits(NamedTuple):
    """What one command may use: bytes of address space, seconds of CPU and of time, bytes of output and of any file it writes."""

    memory: int = 2 << 30
    cpu: int = 30
    seconds: float = 60
    output: int = 20_000_000


LIMITS = Limits()
COMPLAINT = 65_536
LONGEST_REASON = 300


class Failed(Exception):
    """Why nothing came of it, in words for people that hold no path of this machine."""


@contextmanager
def copy(contents: Mapping[str, bytes], links: Mapping[str, str]) -> Iterator[str]:
    """A folder with these files and links, removed in the end. Raises Failed on a name or a link that leaves it.

    `links`: where each link ends, relative to the folder, as `Files.links` has it.
    """
    import shutil
    import tempfile

    try:
        place = tempfile.mkdtemp(prefix="netreach-")
    except OSError as error:
        raise Failed(f"there is no room for a copy: {error.strerror}") from None
    try:
        root = os.path.join(place, "tree")
        for name in ("tree", "home", "tmp"):
            os.mkdir(os.path.join(place, name))
        _write(root, contents, links)
        yield root
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _write(root: str, contents: Mapping[str, bytes], links: Mapping[str, str]) -> None:
    made = {root}
    try:
        for name, data in contents.items():
            place = os.path.join(root, _inside(name))
            folder = os.path.dirname(place)
            if folder not in made:
                os.makedirs(folder, exist_ok=True)
                made.add(folder)
            with open(place, "xb") as stream:
                stream.write(data)
        # The links come last: nothing is written through one.
        for name, end in links.items():
            place, target = os.path.join(root, _inside(name)), os.path.join(root, _inside(end))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.symlink(os.path.relpath(target, os.path.dirname(place)), place)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or "a name that cannot be"
        raise Failed(f"the files cannot be copied: {words}") from None


def _inside(name: str) -> str:
    parts = name.split("/")
    if name != "." and any(part in ("", ".", "..", ".git") or "\0" in part for part in parts):
        raise Failed(f"the name {name!a} leaves the tree")
    return name


def run(command: Sequence[str], root: str, folder: str = ".", limits: Limits = LIMITS, give: bytes = b"") -> bytes:
    """The output of a command over a copy (`root`), started in its `folder`. Raises Failed."""
    import subprocess

    place = os.path.dirname(root)
    try:
        process = subprocess.Popen(  # noqa: S603
            [*_isolation(), *_limited(limits), *command],
            stdin=subprocess.PIPE if give else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=os.path.join(root, folder),
            env=environment(place),
            start_new_session=True,
            close_fds=True,
        )
    except OSError as error:
        raise Failed(f"{os.path.basename(command[0])} cannot be run: {error.strerror}") from None
    try:
        output, complaint, reason = _listen(process, limits, give)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
    if reason:
        raise Failed(reason)
    if process.returncode != 0:
        raise Failed(_why(process.returncode, complaint, place))
    return output


def _listen(process: subprocess.Popen[bytes], limits: Limits, give: bytes) -> tuple[bytes, str, str]:
    """(output, complaint, why it had to be stopped)."""
    import selectors
    import subprocess
    import time

    assert process.stdout is not None
    assert process.stderr is not None
    until = time.monotonic() + limits.seconds
    out, complaint = bytearray(), bytearray()
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ, out)
        waiting.register(process.stderr, selectors.EVENT_READ, complaint)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            waiting.register(process.stdin, selectors.EVENT_WRITE)
        left = memoryview(give)
        while waiting.get_map():
            for key, _ in waiting.select(max(0.0, until - time.monotonic())):
                if key.data is None:
                    try:
                        left = left[os.write(key.fd, left[:65_536]) :]
                    except OSError:
                        left = left[:0]
                    if not left:
                        waiting.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
                    continue
                data = os.read(key.fd, 1 << 16)
                if not data:
                    waiting.unregister(key.fileobj)
                elif key.data is out or len(complaint) < COMPLAINT:
                    key.data.extend(data)
            if len(out) > limits.output:
                return b"", "", f"it printed more than {limits.output:,} bytes"
            if time.monotonic() >= until:
                return b"", "", f"it took more than {limits.seconds:g} seconds"
    try:
        process.wait(max(0.01, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return b"", "", f"it took more than {limits.seconds:g} seconds"
    return bytes(out), complaint.decode("utf-8", "replace"), ""


@cache
def asked(*command: str) -> str:
    """What a tool says of itself on its first lines, '' where it says nothing."""
    with suppress(Failed), copy({}, {}) as root:
        told = run(command, root).decode("utf-8", "replace")
        return " ".join("".join(c if c.isprintable() else " " for c in told[:200]).split())
    return ""


@cache
def package(name: str) -> str:
    """The version of an installed Python package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def environment(place: str) -> dict[str, str]:
    """All that a command sees of variables: nothing of ours, folders of its own, and proxies that lead nowhere."""
    home, nowhere = os.path.join(place, "home"), "http://127.0.0.1:9"
    return {
        "PATH": "/nonexistent",
        "HOME": home,
        "TMPDIR": os.path.join(place, "tmp"),
        "XDG_CACHE_HOME": home,
        "XDG_CONFIG_HOME": home,
        "XDG_DATA_HOME": home,
        "HELM_CACHE_HOME": home,
        "HELM_CONFIG_HOME": home,
        "HELM_DATA_HOME": home,
        "HELM_PLUGINS": os.path.join(home, "none"),
        "KUSTOMIZE_PLUGIN_HOME": os.path.join(home, "none"),
        "KUBECONFIG": os.devnull,
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "ALL_PROXY": nowhere,
        "NO_PROXY": "",
        "http_proxy": nowhere,
        "https_proxy": nowhere,
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_TERMINAL_PROMPT": "0",
        "GOTRACEBACK": "none",
        "LC_ALL": "C",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _limited(limits: Limits) -> list[str]:
    """A shell that sets the limits and becomes the command; between fork and exec nothing of ours may run beside threads."""
    sets = [
        f"ulimit -S -t {limits.cpu}",
        f"ulimit -H -t {limits.cpu + 1}",
        f"ulimit -f {limits.output // 512}",
        "ulimit -c 0",
    ]
    if sys.platform.startswith("linux"):
        sets.append(f"ulimit -v {limits.memory // 1024}")
    return ["/bin/sh", "-c", " && ".join([*sets, 'exec "$@"']), "sh"]


@cache
def _isolation() -> tuple[str, ...]:
    """A network namespace with nothing in it, where this system lets us make one."""
    import shutil
    import subprocess

    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    try:
        tried = subprocess.run([unshare, "-rn", "/bin/true"], capture_output=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return (unshare, "-rn") if tried.returncode == 0 else ()


_SECRET = re.compile(r"(?<=//)[^/@\s]+@")
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


def _why(code: int, complaint: str, place: str) -> str:
    if code == -signal.SIGXCPU:
        return "it used too much CPU"
    if code < 0 and code != -signal.SIGABRT:
        return f"it was killed (signal {-code}): it used too much CPU or memory"
    if "out of memory" in complaint or "cannot allocate memory" in complaint.lower() or "MemoryError" in complaint:
        return "it needed too much memory"
    return scrubbed(complaint, place) or f"it ended with status {code}"


def scrubbed(complaint: str, place: str) -> str:
    """The telling part of an error text, on one line: without paths of this machine, credentials, and what is not printable."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    told = [line for line in lines if line.lower().startswith("error")] or lines[-1:]
    text = told[0] if told else ""
    if text.endswith("`"):
        # Kustomize puts a piece of YAML into the middle of its sentence.
        text = text[:-1].rstrip(" :") + next((line[1:] for line in lines[1:] if line.startswith("`")), "")
    for here in (os.path.realpath(place), place):
        text = text.replace(os.path.join(here, "tree") + "/", "").replace(os.path.join(here, "tree"), ".")
        text = text.replace(here, "")
    text = _ADDRESS.sub("", _SECRET.sub("", re.sub(r"^[Ee]rror:\s*", "", text)))
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 3] + "..."
