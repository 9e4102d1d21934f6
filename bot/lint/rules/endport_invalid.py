"""NP043: a range of ports that is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint.finding import ERROR, Draft, Edit, Path, Rule

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP043",
    name="endport-invalid",
    severity=ERROR,
    detects="An `endPort` that is smaller than `port`, that stands without `port`, or beside a port with a name.",
    why="The API server refuses the policy, so that what it was to isolate stays open.",
    bad="""\
ports:
  - {protocol: TCP, port: 32768, endPort: 32000}
""",
    fix="Write the first port of the range in `port` and the last one in `endPort`.",
    good="""\
ports:
  - {protocol: TCP, port: 32000, endPort: 32768}
""",
    fixable=True,
)


def check(context: Context) -> Iterator[Draft]:
    """Every such range, of policies that are refused for it too."""
    for obj in context.snapshot.by_kind("NetworkPolicy"):
        if context.is_told(obj) and obj.api_version.startswith("networking") and "endPort" in obj.document.text:
            for path, port in _ports(obj.value.get("spec")):
                yield from _judged(obj, path, port)


def _ports(spec: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    for direction in ("ingress", "egress"):
        rules = spec.get(direction) if type(spec) is dict else None
        for at, rule in enumerate(rules if type(rules) is list else ()):
            ports = rule.get("ports") if type(rule) is dict else None
            for number, port in enumerate(ports if type(ports) is list else ()):
                if type(port) is dict and port.get("endPort") is not None:
                    yield ("spec", direction, at, "ports", number), port


def _judged(obj: Any, path: Path, port: dict[str, Any]) -> Iterator[Draft]:
    first, last = port.get("port"), port["endPort"]
    if first is None:
        yield Draft(RULE, ERROR, obj, path, f"`endPort: {last}` without `port`", "add `port`, the first of the range")
    elif type(first) is str:
        message = f"`endPort: {last}` beside the name `{first[:60]}`: a range takes numbers"
        yield Draft(RULE, ERROR, obj, path, message, "write the number of the first port")
    elif type(first) is int and type(last) is int and last < first:
        # Of as many digits they stand in the wrong order; else a digit is missing, and nobody knows of which.
        turned = len(str(first)) == len(str(last))
        edit = Edit("set", path, {**port, "port": last, "endPort": first}) if turned else None
        yield Draft(
            RULE,
            ERROR,
            obj,
            path,
            f"`endPort: {last}` is smaller than `port: {first}`",
            f"from {last} to {first}",
            edit,
        )
