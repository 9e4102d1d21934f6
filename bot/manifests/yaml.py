"""Files' bytes in, their YAML documents out: each distinct one once, whatever files, sides and refs it stands in.

Everything read is hostile: sizes and counts are bounded, and nothing here raises.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.manifests import plain
from bot.manifests.plain import Marks, Path, YamlProblem

if TYPE_CHECKING:
    from bot.manifests.objects import Contents

__all__ = ["Document", "Located", "Reader", "YamlProblem"]

LARGEST_FILE = 64 << 20
MOST_DOCUMENTS = 100_000

_UNREAD = object()


class Document:
    """One distinct YAML or JSON document, shared by every place that it stands at.

    `text` has line feeds alone as line breaks, and no `---` but one with content beside it. `contents` remembers the objects
    in it, by the namespace that those without one are in.
    """

    __slots__ = ("_error", "_marks", "_value", "contents", "text")

    def __init__(self, text: str, error: YamlProblem | None = None) -> None:
        self.text = text
        self.contents: tuple[tuple[str, Contents], ...] = ()
        self._value: Any = _UNREAD if error is None else None
        self._error = error
        self._marks: Marks | None = None

    @property
    def value(self) -> Any:
        """Plain dict, list, str, int, float, bool or None, as Kubernetes reads it; None also where there is an `error`."""
        if self._value is _UNREAD:
            self._value, self._error = _parse(self.text)
        return self._value

    @property
    def error(self) -> YamlProblem | None:
        """Why the document could not be read."""
        if self._value is _UNREAD:
            self._value, self._error = _parse(self.text)
        return self._error

    def take(self) -> tuple[Any, YamlProblem | None]:
        """`value` and `error`, without keeping the value: a pod template is large, and little of it is wanted."""
        if self._value is _UNREAD:
            return _parse(self.text)
        return self._value, self._error

    def keep(self, value: Any, error: YamlProblem | None) -> None:
        """Hold on to what `take` gave."""
        self._value, self._error = value, error

    def lines(self, path: Path = ()) -> tuple[int, int]:
        """First and last line (1-based, within the document) of the value at `path`, a mapping entry's from its key.

        Where the document has nothing there (a default), those of the nearest that it has on the way.
        """
        if self._marks is None:
            self._marks = plain.marks(self.text) or _composed_marks(self.text)
        at = self._marks
        for step in path:
            try:
                at = at.parts[step]  # type: ignore[index]
            except (LookupError, TypeError):
                break
        return at.first, at.last


def _parse(text: str) -> tuple[Any, YamlProblem | None]:
    value = plain.parse(text)
    if value is not None:
        return value, None
    from bot.manifests import compose

    return compose.parse(text)


def _composed_marks(text: str) -> Marks:
    from bot.manifests import compose

    return compose.marks(text)


class Located(NamedTuple):
    """A document at a place: `line` is its first line in `file` (1-based)."""

    document: Document
    line: int
    file: str


class Reader:
    """Keeps documents by their text, so that both sides of a comparison, and many refs, read each distinct one once."""

    __slots__ = ("_documents", "_files")

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self._files: dict[bytes, list[tuple[Document, int]]] = {}

    def read(self, file: str, data: bytes) -> list[Located]:
        """The documents of a file, in order; blank ones and such of comments alone left out. Never raises."""
        found = self._files.get(data)
        if found is None:
            found = self._files[data] = self._split(data)
        return [Located(document, line, file) for document, line in found]

    def _split(self, data: bytes) -> list[tuple[Document, int]]:
        if len(data) > LARGEST_FILE:
            return [(Document("", YamlProblem(1, f"the file is larger than {LARGEST_FILE >> 20} MiB")), 1)]
        out: list[tuple[Document, int]] = []
        documents = self._documents
        for text, line in split(decode(data)):
            if len(out) == MOST_DOCUMENTS:
                problem = YamlProblem(1, f"the file has more than {MOST_DOCUMENTS:,} documents; the rest was not read")
                out.append((Document("", problem), line))
                break
            document = documents.get(text)
            if document is None:
                document = documents[text] = Document(text)
            out.append((document, line))
        return out


def decode(data: bytes) -> str:
    """Bytes as text with line feeds alone, without a byte order mark; bytes that are no UTF-8 become lone surrogates."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", "replace")
    else:
        text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


# A line that begins so ends a document wherever it stands, in a block or quoted scalar too (YAML 1.1, 9.1.2 c-forbidden).
_MARKER = re.compile(r"\n(---|\.\.\.)(?=[ \t\n]|\Z)([^\n]*)")
_CONTENT = re.compile(r"^[ \t]*[^ \t\n#]", re.MULTILINE)
_NOT_DIRECTIVE = re.compile(r"^[^%#\n]", re.MULTILINE)


def split(text: str) -> list[tuple[str, int]]:
    """The documents of a text that have content, each with one line feed at its end, and their first lines (1-based)."""
    out: list[tuple[str, int]] = []
    text = "\n" + text
    start = line = 1
    for marker in _MARKER.finditer(text):
        _add(out, text[start : marker.start()], line)
        beside = marker[2].strip(" \t")
        has_content = marker[1] == "---" and beside and beside[0] != "#"
        begins = (marker.start() if has_content else marker.end()) + 1
        line += text.count("\n", start, begins)
        start = begins
    _add(out, text[start:], line)
    return out


def _add(out: list[tuple[str, int]], piece: str, line: int) -> None:
    first = piece[:1]
    if first in ("", "\n", " ", "\t", "#"):
        if not _CONTENT.search(piece):
            return
        line += len(piece) - len(piece := piece.lstrip("\n"))
    elif first == "%" and not _NOT_DIRECTIVE.search(piece):
        return
    out.append((piece.rstrip("\n") + "\n", line))
