"""Lines of rendered text in, the lines of a template, resource, patch or values file that a reviewer can change out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bot.render.model import Unusable, documents, line_of, mapping, path_at, text
from bot.render.remote import top_of

Place = tuple[str, tuple[int, int]]
MOST_CELLS = 400_000
_VALUE = re.compile(r"\.Values((?:\.[A-Za-z_][A-Za-z0-9_]*)+)")
_ACTION = re.compile(r"\{\{.*?\}\}")


class Piece(NamedTuple):
    """One rendered object: its first line in the rendered file, its text, the repository's file it is from (None: not known)."""

    line: int
    text: str
    source: str | None


class Sources(NamedTuple):
    """The repository's files on this side and on the other one (None: there is none, as where only one side is looked at)."""

    own: Mapping[str, bytes]
    other: Mapping[str, bytes] | None

    def changed(self, file: str) -> bool:
        return self.other is not None and self.own.get(file) != self.other.get(file)


class Origin(ABC):
    """Where the lines of one rendered file (`file`) are from; where that is not known, the rendered lines themselves."""

    def __init__(
        self, file: str, pieces: Sequence[Piece], sources: Sources, fetched: Mapping[str, Place] | None = None
    ) -> None:
        """`fetched`: for what another repository brought, by its folder, where this one names it."""
        self.file = file
        self.pieces = pieces
        self.sources = sources
        self.fetched = fetched or {}
        self._starts = [piece.line for piece in pieces]
        self._known: dict[tuple[int, int], Place] = {}

    def __call__(self, first: int, last: int) -> Place:
        key = (first, last)
        if key not in self._known:
            piece = self.pieces[max(0, bisect_right(self._starts, first) - 1)] if self.pieces else None
            found = None
            if piece is not None and piece.source is not None and piece.source in self.sources.own:
                found = self.place(piece, piece.source, first - piece.line + 1, max(first, last) - piece.line + 1)
            if found is not None and (top := top_of(found[0])):
                found = self.fetched.get(top)
            self._known[key] = found or (self.file, key)
        return self._known[key]

    @abstractmethod
    def place(self, piece: Piece, source: str, first: int, last: int) -> Place | None:
        """The place for lines of one object (1-based, within it)."""


class FromResource(Origin):
    """Of what kustomize builds: the resource's own lines where it says the same, else those of the patch or setting that says it."""

    def __init__(
        self,
        file: str,
        pieces: Sequence[Piece],
        sources: Sources,
        kustomizations: Sequence[str],
        inputs: Sequence[str],
        fetched: Mapping[str, Place] | None = None,
    ) -> None:
        super().__init__(file, pieces, sources, fetched)
        self.kustomizations = kustomizations
        self.inputs = inputs

    def place(self, piece: Piece, source: str, first: int, last: int) -> Place | None:
        data = piece.text.encode("utf-8", "replace")
        path = path_at(data, first, last)
        try:
            (value,) = documents(data)
            index, original = _same(documents(self.sources.own[source]), mapping(value))
        except (Unusable, ValueError, LookupError):
            # What a chart or a generator makes is told by the kustomization that names it.
            return source, line_of(self.sources.own[source], ("helmCharts",)) or (1, 1)
        here = _at(value, path)
        if path and _at(original, path) != here:
            found = self._patched(mapping(value), path)
            if found is not None:
                return found
        while path:
            lines = line_of(self.sources.own[source], path, index)
            if lines is not None:
                return source, lines
            path = path[:-1]
        return source, line_of(self.sources.own[source], (), index) or (1, 1)

    def _patched(self, value: dict[str, Any], path: tuple[str | int, ...]) -> Place | None:
        best: tuple[int, Place] | None = None
        for file in self.inputs:
            try:
                found = documents(self.sources.own.get(file, b""))
            except Unusable:
                continue
            for index, patch in enumerate(found):
                part = mapping(patch)
                if part.get("kind") != value.get("kind") or not _named(part, value):
                    continue
                depth = 0
                while depth < len(path) and _at(part, path[: depth + 1]) is not None:
                    depth += 1
                lines = line_of(self.sources.own[file], path[:depth], index) if depth else None
                if lines and (best is None or depth > best[0]) and _at(part, path[:depth]) == _at(value, path[:depth]):
                    best = depth, (file, lines)
        if best is not None:
            return best[1]
        fields = {"namespace": "namespace", "labels": "labels", "matchLabels": "labels", "name": "namePrefix"}
        word = next((fields[step] for step in reversed(path) if isinstance(step, str) and step in fields), "patches")
        for key in (word, "commonLabels" if word == "labels" else "patches"):
            for file in self.kustomizations:
                lines = line_of(self.sources.own.get(file, b""), (key,))
                if lines:
                    return file, lines
        return None


def _named(part: dict[str, Any], value: dict[str, Any]) -> bool:
    one, other = (text(mapping(item.get("metadata")).get("name")) for item in (part, value))
    return bool(one) and one in other


def _same(candidates: Sequence[Any], value: dict[str, Any]) -> tuple[int, Any]:
    """Which document of a resource file became an object: its kind, and a name that a prefix and a suffix may be around."""
    name = text(mapping(value.get("metadata")).get("name"))
    for exact in (True, False):
        for index, candidate in enumerate(candidates):
            part = mapping(candidate)
            own = text(mapping(part.get("metadata")).get("name"))
            if part.get("kind") == value.get("kind") and (own == name or (not exact and own and own in name)):
                return index, candidate
    raise LookupError


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value


class FromTemplate(Origin):
    """Of what Helm renders: the template's line; where only a value changed that this line is made of, the values file's line."""

    def __init__(
        self,
        file: str,
        pieces: Sequence[Piece],
        sources: Sources,
        chart: str,
        values: Sequence[str],
        fetched: Mapping[str, Place] | None = None,
    ) -> None:
        super().__init__(file, pieces, sources, fetched)
        self.chart = chart
        self.values = values
        self._aligned: dict[int, list[int]] = {}

    def place(self, piece: Piece, source: str, first: int, last: int) -> Place | None:
        lines = self.lines(piece, source)
        start = lines[min(first, len(lines)) - 1]
        end = max(start, lines[min(last, len(lines)) - 1])
        if not self.sources.changed(source):
            for name in self._named(source, start, end):
                found = self.set_at(name, source)
                if found is not None and self._differs(name, found[0], source):
                    return found
        return source, (start, end)

    def lines(self, piece: Piece, source: str) -> list[int]:
        """For each line of an object, the template's line (1-based)."""
        if piece.line not in self._aligned:
            self._aligned[piece.line] = align(piece.text.rstrip("\n").split("\n"), self.template(source))
        return self._aligned[piece.line]

    def template(self, source: str) -> list[str]:
        return self.sources.own[source].decode("utf-8", "replace").split("\n")

    def _named(self, source: str, first: int, last: int) -> list[tuple[str, ...]]:
        """The values that these template lines are made of, then those of the blocks around them, the innermost first."""
        template = self.template(source)
        found = [name for line in template[first - 1 : last] for name in values_of(line)]
        around: list[str] = []
        for line in template[: first - 1]:
            for action in _ACTION.findall(line):
                word = action.strip("{}- \t").split(" ")[0]
                if word in ("if", "range", "with", "define", "block"):
                    around.append(action)
                elif word == "end" and around:
                    around.pop()
        for action in reversed(around):
            found += values_of(action)
        return list(dict.fromkeys(found))

    def set_at(self, name: tuple[str, ...], source: str) -> Place | None:
        """The last values file that sets a value, and its lines there."""
        for file, inner in reversed(self.files_of(source)):
            lines = line_of(self.sources.own.get(file, b""), (*inner, *name))
            if lines:
                return file, lines
        return None

    def files_of(self, source: str) -> list[tuple[str, tuple[str, ...]]]:
        """The values files that count for a template, the first ones the weakest, and where in each its chart's values are."""
        root = "" if self.chart == "." else self.chart + "/"
        parts = source[len(root) :].split("/")[:-1]
        inner = tuple(parts[at + 1] for at, part in enumerate(parts[:-1]) if part == "charts")
        own = [(f"{root}{'/'.join(f'charts/{name}' for name in inner)}/values.yaml", ())] if inner else []
        return [*own, *((file, inner) for file in (f"{root}values.yaml", *self.values))]

    def value(self, name: tuple[str, ...], file: str, source: str, other: bool = False) -> Any:
        """What a values file sets a value to, None where it does not."""
        inner = dict(self.files_of(source)).get(file, ())
        contents = (self.sources.other or {}) if other else self.sources.own
        try:
            found = next(iter(documents(contents.get(file, b""))), None)
        except Unusable:
            return None
        return _at(found, (*inner, *name))

    def _differs(self, name: tuple[str, ...], file: str, source: str) -> bool:
        return self.sources.changed(file) and bool(
            self.value(name, file, source) != self.value(name, file, source, other=True)
        )


def values_of(line: str) -> list[tuple[str, ...]]:
    """The values that a line of a template names."""
    return [tuple(found[1:].split(".")) for found in _VALUE.findall(line)]


class _Line:
    """A line of a template, as what it can become."""

    def __init__(self, written: str) -> None:
        self.written = written.strip()
        self.pieces = [piece.strip(" \t") for piece in _ACTION.split(self.written)]
        self.fixed = "".join(self.pieces)
        self.open = len(self.pieces) > 1

    def matches(self, line: str) -> int:
        """How surely a rendered line is this one: 0 (not), 1 (but for its actions) or 2 (word by word)."""
        if not self.open:
            return 2 * (line == self.written != "")
        if not self.fixed.strip("-: \"'") or not line.startswith(self.pieces[0]) or not line.endswith(self.pieces[-1]):
            return 0
        at = len(self.pieces[0])
        for piece in self.pieces[1:-1]:
            found = line.find(piece, at)
            if found < 0:
                return 0
            at = found + len(piece)
        return int(len(line) - len(self.pieces[-1]) >= at)


def align(rendered: Sequence[str], template: Sequence[str]) -> list[int]:
    """For each rendered line the line of the template (1-based) that it is from, by the longest sequence of lines that fit."""
    if len(rendered) * len(template) > MOST_CELLS:
        return [1] * len(rendered)
    lines = [_Line(line) for line in template]
    height, width = len(rendered), len(template)
    score = [[0] * (width + 1) for _ in range(height + 1)]
    fits = [[line.matches(written.strip()) for line in lines] for written in rendered]
    for y in range(height - 1, -1, -1):
        row, below, fit = score[y], score[y + 1], fits[y]
        for x in range(width - 1, -1, -1):
            best = max(row[x + 1], below[x])
            row[x] = max(best, below[x + 1] + fit[x]) if fit[x] else best
    found = [0] * height
    y = x = 0
    while y < height and x < width:
        if fits[y][x] and score[y][x] == score[y + 1][x + 1] + fits[y][x]:
            found[y] = x + 1
            y, x = y + 1, x + 1
        elif score[y][x] == score[y + 1][x]:
            y += 1
        else:
            x += 1
    at = 0
    for y in range(height):
        if not found[y]:
            # What no line fits comes from a loop's other rounds, or from the expression after the last line that did.
            again = next((x + 1 for x in range(width) if fits[y][x]), 0)
            after = next((x + 1 for x in range(at, min(at + 3, width)) if lines[x].open and not lines[x].fixed), 0)
            found[y] = again or after or at or 1
        else:
            at = found[y]
    return found
