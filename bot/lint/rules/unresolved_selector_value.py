"""NP016: a template's placeholder that nobody filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint.finding import WARNING, Draft, Path, Rule
from bot.lint.registry import ANY

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP016",
    name="unresolved-selector-value",
    severity=WARNING,
    detects="`${VAR}`, `$(VAR)`, `{{ value }}`, `ENC[...]` or `<value>` in a selector, a CIDR or a port of a policy, "
    "after rendering.",
    why="What the policy will select is not known here: an API server refuses the value, or takes it literally and "
    "the policy selects nothing.",
    bad="""\
podSelector:
  matchLabels:
    app: ${APP_NAME}
""",
    fix="Render the manifests before they are reviewed, or write the value.",
    good="""\
podSelector:
  matchLabels:
    app: api
""",
)
_HINT = re.compile(r"\$[{(]|\{\{|ENC\[|<[A-Za-z]")
_PLACEHOLDER = re.compile(
    r"\$\{[^}]*\}|\$\([A-Za-z_][A-Za-z0-9_.]*\)|\{\{.*\}\}|ENC\[[^\]]*\]|<[A-Za-z][A-Za-z0-9 _.-]*>"
)
_DEEPEST = 30


def check(context: Context) -> Iterator[Draft]:
    """Every placeholder below the spec of a policy."""
    memo = context.run.memo
    for obj in context.snapshot.by_kind(*ANY):
        if not context.is_told(obj):
            continue
        found = memo.get(("placeholders", id(obj)))
        if found is None:
            found = ()
            if _HINT.search(obj.document.text):
                found = tuple(_placeholders(obj.value.get("spec"), ("spec",)))
            memo[("placeholders", id(obj))] = found
        for path, text in found:
            yield Draft(
                RULE,
                WARNING,
                obj,
                path,
                f"`{text[:80]}` was not filled in: what it will be is not known here",
                about=text,
            )


def _placeholders(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if type(value) is str:
        match = _PLACEHOLDER.search(value)
        if match is not None and "description" not in path:
            yield path, match.group()
    elif len(path) < _DEEPEST and type(value) in (dict, list):
        for key, inner in value.items() if type(value) is dict else enumerate(value):
            if type(key) is str and _PLACEHOLDER.search(key):
                yield (*path, key), key
            if key != "http":
                yield from _placeholders(inner, (*path, key))
