"""Work that takes long in, a sign of life on a terminal out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

PATIENCE = 1.0


@contextmanager
def shown(what: str, stream: TextIO | None) -> Iterator[None]:
    """While the block runs longer than a second, say on `stream` (if it is a terminal) what is going on."""
    if stream is None or not stream.isatty():
        yield
        return
    import threading
    import time

    done = threading.Event()

    def tick() -> None:
        start = time.monotonic()
        if done.wait(PATIENCE):
            return
        while not done.wait(0.2):
            filled = int((time.monotonic() - start) * 5) % 20
            bar = "".join("#" if (cell - filled) % 20 < 5 else "." for cell in range(20))
            stream.write(f"\r{what} [{bar}] {time.monotonic() - start:.0f} s")
            stream.flush()
        stream.write("\r\x1b[K")
        stream.flush()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
