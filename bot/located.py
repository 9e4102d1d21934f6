"""A value read from YAML with where it stands in, its checked parts out; every mistake is a UsageError with the file and the line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bot.errors import UsageError


class Value(NamedTuple):
    """A value with where it stands, for messages."""

    file: str
    value: object
    path: tuple[str | int, ...]
    line_of: Callable[[tuple[str | int, ...]], int]

    @property
    def line(self) -> int:
        return self.line_of(self.path)

    @property
    def name(self) -> str:
        out = ""
        for part in self.path:
            out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
        return out or "the file"

    def wrong(self, message: str) -> UsageError:
        """What to raise for a mistake in this value."""
        return UsageError(f"{self.file}:{self.line}: {message}")

    def at(self, *path: str | int) -> Value:
        value = self.value
        for part in path:
            value = value[part]  # type: ignore[index]
        return self._replace(value=value, path=(*self.path, *path))

    def get(self, key: str) -> Value | None:
        """The entry of a mapping; an empty one counts as absent."""
        value = self.at(key) if key in self.value else None  # type: ignore[operator]
        return None if value is None or value.value is None else value

    def mapping(self, keys: Sequence[str], required: Sequence[str] = ()) -> Value:
        """Itself, if it is a mapping with these keys and no others."""
        for key in self.names():
            if key not in keys:
                where = f" in {self.name}" if self.path else ""
                raise self.at(key).wrong(f"unknown key {shown(key)}{where}{meant(key, keys)}")
        for key in required:
            if self.get(key) is None:
                raise self.wrong(f"{key} is missing in {self.name}")
        return self

    def names(self) -> list[str]:
        """The keys of a mapping, all of them text."""
        if not isinstance(self.value, dict):
            raise self.wrong(f"{self.name} must be a mapping, not {shown(self.value)}")
        for key in self.value:
            if not isinstance(key, str) or not key:
                raise self.wrong(f"the key {shown(key)} in {self.name} must be text")
        return list(self.value)

    def items(self) -> list[Value]:
        if not isinstance(self.value, list):
            raise self.wrong(f"{self.name} must be a list, not {shown(self.value)}")
        return [self.at(index) for index in range(len(self.value))]

    def text(self) -> str:
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.wrong(f"{self.name} must be text, not {shown(self.value)}")
        return self.value

    def choice(self, choices: Sequence[str]) -> str:
        if not isinstance(self.value, str) or self.value not in choices:
            raise self.wrong(
                f"{self.name} must be one of {', '.join(choices)}, not {shown(self.value)}{meant(self.value, choices)}"
            )
        return self.value

    def number(self, least: int, most: int) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not least <= self.value <= most:
            raise self.wrong(f"{self.name} must be a number from {least} to {most}, not {shown(self.value)}")
        return self.value

    def texts(self) -> tuple[str, ...]:
        return tuple(item.text() for item in self.items())


def shown(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else "true" if value is True else "false" if value is False else str(value)
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def meant(value: object, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(str(value)[:100], known, 1)
    return f": did you mean {near[0]}?" if near else ""
