"""The values of lint: what a rule is, what it finds on one side, what people see of it, and what a comparison gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object

ERROR, WARNING, INFO = "error", "warning", "info"
SEVERITIES = (ERROR, WARNING, INFO)
Path = tuple["str | int", ...]


class Rule(NamedTuple):
    """What is known of a rule apart from any finding; its page in docs/rules is made from this.

    `severity` is the highest that it reports. `detects`, `why` and `fix` are sentences; `bad` and `good` are manifests.
    `fixable`: whether `--fix` has an edit for it.
    """

    id: str
    name: str
    severity: str
    detects: str
    why: str
    bad: str
    fix: str
    good: str = ""
    fixable: bool = False


class Edit(NamedTuple):
    """A change of one object that surely mends a finding. `action`: what is done to the value at `path`.

    `set` puts `value` there, `remove` takes it away, `append` adds `value` to the list there (made where it is missing),
    `join` merges the list item into the one before it, and `add-document` writes `value`, a manifest, behind the object.
    """

    action: str
    path: Path
    value: object = None


class Draft(NamedTuple):
    """What a rule finds on one side: the object, where in it, what is wrong and what mends it.

    `severity`: that of this finding, by the evidence for it. `about`: what tells two findings at one place apart.
    """

    rule: Rule
    severity: str
    object: Object
    path: Path
    message: str
    fix: str = ""
    edit: Edit | None = None
    about: str = ""


class Finding(NamedTuple):
    """A finding as people and programs see it. `object` like `NetworkPolicy shop/api`; `lines` are of `file` on its own side."""

    rule: str
    name: str
    severity: str
    object: str
    file: str
    lines: tuple[int, int]
    message: str
    fix: str
    docs: str


class Lint(NamedTuple):
    """A comparison: what only the head has, what only the base has, and what both have (at its place on the head)."""

    new: tuple[Finding, ...]
    fixed: tuple[Finding, ...]
    unchanged: tuple[Finding, ...]


def docs(rule: str) -> str:
    """The page of a rule in this repository."""
    return f"docs/rules/{rule}.md"


def title(obj: Object) -> str:
    """How people call an object."""
    return f"{obj.kind} {obj.namespace}/{obj.name}" if obj.namespace else f"{obj.kind} {obj.name}"
