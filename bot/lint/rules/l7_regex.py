"""NP113: a pattern of an HTTP rule that does not mean what it seems to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint.finding import INFO, WARNING, Draft, Path, Rule
from bot.lint.written import listed, specs
from bot.policies.re2 import SET, SPLIT, PatternError, parse

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP113",
    name="l7-regex",
    severity=WARNING,
    detects="In HTTP rules of Cilium: a path written as a glob (`/api/*`), a path that ends in `/` or begins with "
    "`.*`, a bare `?`, a method in lower case, a pattern that limits nothing, and one too large for Envoy. For "
    "information only: a literal path, and a host whose dots stand for any character.",
    why="Method, path and host are RE2 patterns that must match the whole text, the path with its query string: "
    "`/api/*` matches `/api//` and not `/api/users`, `/public` does not match `/public?page=2`, and `.*/health` "
    "matches `/admin?x=/health`.",
    bad="""\
http:
  - {method: GET, path: /api/*}
""",
    fix="Write the pattern of the whole path, query string included.",
    good="""\
http:
  - {method: GET, path: "/api/.*"}
""",
)
_SECTIONS = ("ingress", "egress")
_META = re.compile(r"[\\*+?()\[\]{}|^$]")
_GLOB = re.compile(r"(?<![\\\])])/\*(?=/|$)")
_QUERY = re.compile(r"(?<=[A-Za-z0-9_-])\?[A-Za-z0-9_]+=")
_HOST_DOT = re.compile(r"(?<=[a-z0-9-])\.(?=[a-z])")
_ANYTHING = frozenset({".*", ".+", "/.*", "^.*$", "^/.*$", "/.*$", "^/.*", "^.*", ".*$"})
_LARGEST = 100


def check(context: Context) -> Iterator[Draft]:
    """Every such pattern of every policy."""
    for obj in context.snapshot.by_kind("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"):
        for path, rule in _http(obj.value):
            for field, severity, message, fix in _faults(rule):
                yield Draft(RULE, severity, obj, (*path, field), message, fix, about=str(rule.get(field)))


def _http(value: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    for at, spec in specs(value):
        for section in _SECTIONS:
            for i, rule in enumerate(listed(spec, section)):
                for j, item in enumerate(listed(rule, "toPorts")):
                    rules = item.get("rules") if type(item) is dict else None
                    for k, http in enumerate(listed(rules, "http")):
                        if type(http) is dict:
                            yield (*at, section, i, "toPorts", j, "rules", "http", k), http


def _faults(rule: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """(field, severity, what is wrong, fix)."""
    method, path, host = (text if type(text := rule.get(field)) is str else "" for field in ("method", "path", "host"))
    if method and not _META.search(method) and method != method.upper():
        yield "method", WARNING, f"methods are in upper case: `{method}` never matches", f"`{method.upper()}`"
    if path:
        found = _of_path(path)
        if path in _ANYTHING and not (method or host or rule.get("headers") or rule.get("headerMatches")):
            yield (
                "path",
                WARNING,
                f"`{path}` matches every path, and the rule asks for nothing else",
                "say which, or remove the HTTP rules",
            )
        elif found is not None:
            yield ("path", *found)
    if host and _HOST_DOT.search(re.sub(r"\\.", "", host)) and "[" not in host:
        escaped = _HOST_DOT.sub(r"\\.", host)
        yield "host", INFO, f"a dot of `{host}` stands for any character", f"`{escaped}`"
    for field, text in (("method", method), ("path", path), ("host", host)):
        size = _size(text)
        if size > _LARGEST:
            message = f"RE2 needs about {size} steps for this, and Envoy by default takes {_LARGEST}: it may refuse the whole policy"
            yield field, WARNING, message, "split it into several rules (https://github.com/cilium/cilium/issues/41314)"


def _of_path(path: str) -> tuple[str, str, str] | None:
    """(severity, what is wrong, fix) of the first that is."""
    if _GLOB.search(path):
        meant = _GLOB.sub("/.*", path)
        return WARNING, f"`*` repeats the `/` before it: `{path}` does not match what is below it", f"`{meant}`"
    if _QUERY.search(path):
        meant = _QUERY.sub(lambda found: "\\" + found[0], path)
        return WARNING, f"`?` makes the character before it optional: `{path}` matches no query string", f"`{meant}`"
    if path in _ANYTHING:
        return None
    if path.startswith((".*", "^.*")):
        return (
            WARNING,
            f"the path has the query string, where anybody can put what `{path}` ends in",
            "begin it with `/`",
        )
    if not _META.search(path):
        if len(path) > 1 and path.endswith("/"):
            return WARNING, f"`{path}` matches that path alone, nothing below it", f"`{path}.*`"
        fix = rf"`{path}(\?.*)?`, if it is to have one"
        return INFO, f"`{path}` matches that path alone: nothing below it, and not with a query string", fix
    return None


def _size(text: str) -> int:
    """About the size of RE2's program, from below."""
    try:
        return sum(1 for instruction in parse(text).code if instruction.step in (SET, SPLIT))
    except PatternError:
        return 0
