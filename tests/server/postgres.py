"""A folder in, a PostgreSQL of one's own in it out, on loopback, for as long as it is needed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "postgres"  # Debian's package makes it; the server refuses to run as root


def programs() -> Path | None:
    """Where Debian keeps the newest server, if there is one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found or (os.getuid() == 0 and not any(row.pw_name == USER for row in pwd.getpwall())):
        return None
    return found[-1].parent


@contextmanager
def cluster() -> Iterator[str]:
    """The address of an empty database."""
    there = programs()
    assert there is not None, "no PostgreSQL here: apt-get install postgresql"
    folder = Path(tempfile.mkdtemp(prefix="netreach-pg-"))
    before: list[str] = []
    if os.getuid() == 0:
        shutil.chown(folder, USER)
        before = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def run(program: str, *arguments: str) -> None:
        command = [*before, str(there / program), *arguments]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", USER, "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c max_connections=200"
    run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", port, "-U", USER, "netreach")
        yield f"postgresql://{USER}@127.0.0.1:{port}/netreach"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
