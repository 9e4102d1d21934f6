"""Work that takes long in, a sign of life on a terminal out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import threading

PATIENCE = 1.0
WIDTH = 20


class Progress:
    """While the block runs longer than a second, says on `stream` (None, or no terminal: nowhere) what is going on.

    How many renderings are done is shown where there are several.
    """

    def __init__(self, what: str, stream: TextIO | None) -> None:
        self._what = what
        self._stream = stream
        self._thread: threading.Thread | None = None
        self._done: threading.Event | None = None
        self._count = (0, 0)

    def __enter__(self) -> None:
        if self._stream is not None and self._stream.isatty():
            import threading

            from bot.render import watcher

            watcher.set(self._watch)
            self._done = threading.Event()
            self._thread = threading.Thread(target=self._tick, args=(self._stream, self._done), daemon=True)
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        if self._done is not None and self._thread is not None:
            from bot.render import watcher

            watcher.set(None)
            self._done.set()
            self._thread.join()

    def _watch(self, done: int, of: int) -> None:
        self._count = (done, of)

    def _tick(self, stream: TextIO, done: threading.Event) -> None:
        if done.wait(PATIENCE):
            return
        step = 0
        while True:
            done_of, of = self._count
            if 1 < of != done_of:
                bar = "#" * (WIDTH * done_of // of) + "." * (WIDTH - WIDTH * done_of // of)
                stream.write(f"\rrendering [{bar}] {done_of} of {of}\x1b[K")
            else:
                bar = "".join("#" if (cell - step) % WIDTH < WIDTH // 4 else "." for cell in range(WIDTH))
                stream.write(f"\r{self._what} [{bar}]" + "\x1b[K" * (of > 0))
            stream.flush()
            step += 1
            if done.wait(0.2):
                break
        stream.write("\r\x1b[K")
        stream.flush()
