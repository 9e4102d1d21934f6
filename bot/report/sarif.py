"""A review in, a SARIF 2.1.0 log out, within what GitHub's code scanning takes (SARIF support for code scanning, docs.github.com).

GitHub shows an alert in a pull request only where all its lines were added or edited, never for what was deleted: the comment and the
check say more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot import __version__
from bot.report.annotations import Finding, findings

if TYPE_CHECKING:
    from bot.lint.finding import Finding as Mistake
    from bot.review import Review

MOST = 5_000
_LEVELS = {"failure": "error", "warning": "warning", "notice": "note"}
_RULES = {
    "opened": ("PathOpened", "A network path is opened", "A path that was closed, or not there, is open."),
    "widened": ("PathWidened", "A network path is widened", "A path that was open is open for more traffic."),
    "closed": ("PathClosed", "A network path is closed", "A path that was open is closed: something may stop working."),
    "narrowed": ("PathNarrowed", "A network path is narrowed", "A path is open for less traffic than it was."),
    "rule": ("RuleBroken", "A rule or an expectation is broken", "What must or must not be reachable no longer is so."),
    "incomplete": ("CouldNotBeRead", "Something could not be read", "Nothing is known about what it says."),
}


def review(value: Review) -> str:
    """The log as text; at most 5,000 results, the most severe first."""
    import json

    found = findings(value)
    mistakes = {row.mistake.rule: row.mistake for row in found if row.mistake is not None}
    rules = [*_RULES, *sorted(mistakes)]
    known = [_rule(name) for name in _RULES] + [_lint_rule(mistakes[name]) for name in sorted(mistakes)]
    run = {
        "tool": {"driver": {"name": "netreach", "version": __version__, "rules": known}},
        "automationDetails": {"id": "netreach/"},
        "columnKind": "utf16CodeUnits",
        "results": [_result(row, rules) for row in found[:MOST]],
    }
    if len(found) > MOST:
        run["properties"] = {"resultsLeftOut": len(found) - MOST}
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1, ensure_ascii=True) + "\n"


def _rule(name: str) -> dict[str, Any]:
    title, short, full = _RULES[name]
    return {
        "id": f"netreach/{name}",
        "name": title,
        "shortDescription": {"text": short},
        "fullDescription": {"text": full},
        "defaultConfiguration": {"level": "note" if name in ("closed", "narrowed") else "warning"},
        "properties": {"tags": ["security", "network"]},
    }


def _lint_rule(mistake: Mistake) -> dict[str, Any]:
    """A rule of lint, as its page tells it."""
    from bot.lint import registry
    from bot.lint.page import page

    entry = registry.BY_ID.get(mistake.rule)
    own = registry.rule(entry) if entry is not None else None
    return {
        "id": mistake.rule,
        "name": "".join(word.capitalize() for word in mistake.name.split("-")),
        "shortDescription": {"text": own.detects if own is not None else mistake.name},
        "fullDescription": {"text": own.why if own is not None else mistake.name},
        "help": {"text": own.fix if own is not None else mistake.fix, **({"markdown": page(own)} if own is not None else {})},
        "defaultConfiguration": {"level": "note" if mistake.severity == "info" else mistake.severity},
        "properties": {"tags": ["network", "lint"]},
    }


def _name(row: Finding) -> str:
    if row.mistake is not None:
        return row.mistake.rule
    if row.broken:
        return "rule"
    return row.change.change if row.change is not None else "incomplete"


def _result(row: Finding, rules: list[str]) -> dict[str, Any]:
    name = _name(row)
    at = row.annotation
    return {
        "ruleId": name if row.mistake is not None else f"netreach/{name}",
        "ruleIndex": rules.index(name),
        "level": _LEVELS[at.level],
        "message": {"text": f"{at.title}\n{at.message}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(at.file or _gone(row)), "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": max(1, at.first), "endLine": max(1, at.last)},
                }
            }
        ],
        "partialFingerprints": {"netreach/v1": _fingerprint(row)},
    }


def _gone(row: Finding) -> str:
    """A result needs a place: the file that was deleted, else the settings."""
    causes = row.change.causes if row.change is not None else ()
    return next((cause.file for cause in causes if cause.file), ".netreach.yml")


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path.encode("utf-8", "surrogatepass"), safe="/")


def _fingerprint(row: Finding) -> str:
    """The same from one commit to the next while it says the same of the same objects, wherever their lines are."""
    import hashlib

    if row.mistake is not None:
        said: tuple[object, ...] = (row.mistake.rule, row.mistake.object, row.mistake.message)
    elif row.change is None:
        said = (row.annotation.file, row.annotation.message)
    else:
        causes = sorted((cause.object, cause.change) for cause in row.change.causes)
        said = (row.change.change, row.change.sources, row.change.destinations, causes, row.change.after)
    text = repr((row.environment.name, said))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]
