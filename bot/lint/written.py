"""A manifest as it is written in; the parts of it that rules look at, whatever stands there, out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bot.lint.finding import Path


def value_at(value: Any, path: Path) -> Any:
    """What stands at a path; None where nothing does."""
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value


def listed(value: Any, field: str) -> list[Any]:
    """The items of a field that is a list, else none."""
    found = value.get(field) if type(value) is dict else None
    return found if type(found) is list else []


def specs(policy: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The spec of a policy, and of one of Cilium's each of its `specs`, with their paths."""
    if type(policy.get("spec")) is dict:
        yield ("spec",), policy["spec"]
    for index, spec in enumerate(listed(policy, "specs")):
        if type(spec) is dict:
            yield ("specs", index), spec
