"""A JSON report in, the Review that it was written from out, so that the comment can be made elsewhere, by someone with the right to.

A report may come from a pull request's own job: it is bounded, held to its schema, and nothing of it is run or printed as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from bot.config import Allow, Match, Rule
from bot.errors import UsageError
from bot.gate.audit import AuditChange, Audited, Direction
from bot.gate.expectations import Expectation
from bot.gate.expected import Broken, Expected
from bot.gate.rules import ALREADY, NOTHING, Allowance, Gated, Judged
from bot.lint.finding import Finding, Lint
from bot.policies.model import Assumption
from bot.policies.traffic import LAST_PORT, PROTOCOLS, Box, Traffic, union
from bot.reachability.change import Cause, Change, Decision, EndpointFacts, PolicyText, Requests, Totals, Witness
from bot.review import Aside, Environment, Review, Settings, Side
from bot.sources import Unread

LARGEST = 64 << 20

Document = Mapping[str, Any]


class _Text(NamedTuple):
    """A manifest without its file: all that the wording of a change looks at."""

    value: Any


def read(file: str) -> Review:
    """The review of a report file. Raises UsageError."""
    import json

    try:
        if os.path.getsize(file) > LARGEST:
            raise UsageError(f"{file} is too large for a report")
        with open(file, "rb") as stream:
            document = json.load(stream)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is no JSON: {error}") from None
    return parse(document, file)


def parse(document: object, file: str = "the report") -> Review:
    """The review of a `netreach/report/v1` document. Raises UsageError where its schema is not kept."""
    import json
    from pathlib import Path

    from jsonschema import Draft202012Validator

    schema = json.loads((Path(__file__).parent.parent / "schemas" / "report.json").read_text(encoding="utf-8"))
    try:
        wrong = next(iter(Draft202012Validator(schema).iter_errors(document)), None)
    except RecursionError:
        raise UsageError(f"{file} is nested too deeply") from None
    if wrong is not None:
        raise UsageError(f"{file} is no report that this version reads: {wrong.json_path}: {wrong.message[:200]}")
    value = cast("dict[str, Any]", document)
    asked: dict[str, Any] = value["asked"]
    given: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in asked.items()}
    return Review(
        Side(**value["base"]),
        Side(**value["head"]),
        value["mode"],
        value.get("behind"),
        tuple(_environment(one) for one in value["environments"]),
        value["verdict"],
        tuple(value["notes"]),
        tuple(value["failOn"]),
        value["onIncomplete"],
        Settings(**given),
    )


def _environment(value: Document) -> Environment:
    remarks = tuple(value["remarks"])
    universe = _traffic(value["universe"], ())
    notes = tuple(value["notes"])
    rules = {one["id"]: one["severity"] for one in value.get("rules", ())}
    return Environment(
        name=value["name"],
        cni=value["cni"],
        universe=universe,
        verdict=value["verdict"],
        totals=Totals(**value["totals"]),
        endpoints={name: _endpoint(name, facts) for name, facts in value["endpoints"].items()},
        changes=tuple(_change(one, rules, universe) for one in value["changes"]),
        pairs=None,
        changed_objects=tuple(_changed(one) for one in value["changedObjects"]),
        workloads=value["workloads"],
        policies=value["policies"],
        incomplete=tuple(_unread(one) for one in value["incomplete"]),
        coverage=tuple(_unread(one) for one in value["coverage"]),
        assumptions=tuple(
            (Assumption(one["id"], one["text"], one["setting"]), one["paths"]) for one in value["assumptions"]
        ),
        notes=notes[: len(notes) - len(remarks)],
        sizes=value.get("sizes"),
        remarks=remarks,
        gated=_gated(value) if "rules" in value else None,
        expected=_expected(value["expectations"]) if "expectations" in value else None,
        lint=_lint(value["lint"]) if "lint" in value else None,
        staged=_aside(value["staged"], universe) if "staged" in value else None,
        later=_aside(value["later"], universe) if "later" in value else None,
        audit=tuple(
            AuditChange(one["namespace"], _audited(one["before"]), _audited(one["after"])) for one in value["audit"]
        ),
    )


def _lint(value: Document) -> Lint:
    return Lint(*(tuple(Finding(**{**one, "lines": tuple(one["lines"])}) for one in value[part]) for part in Lint._fields))


def _aside(value: Document, universe: Traffic) -> Aside:
    return Aside(
        tuple((one["object"], one["file"], (one["lines"][0], one["lines"][1])) for one in value["policies"]),
        {name: _endpoint(name, facts) for name, facts in value["endpoints"].items()},
        tuple(_change(one, {}, universe) for one in value["changes"]),
    )


def _endpoint(name: str, value: Document) -> EndpointFacts:
    return EndpointFacts(
        name,
        value["type"],
        value.get("kind", ""),
        value.get("namespace", ""),
        value.get("name", ""),
        tuple(value.get("labels", {}).items()),
        tuple(value.get("namespaceLabels", {}).items()),
        tuple(value.get("cidrs", ())),
        value.get("file", ""),
        value.get("line", 0),
        value.get("side", "both"),
        value.get("note", ""),
        value.get("origin", ""),
    )


def _change(value: Document, rules: Mapping[str, str], universe: Traffic) -> Change:
    return Change(
        id=value["id"],
        change=value["change"],
        sources=tuple(value["from"]),
        destinations=tuple(value["to"]),
        before=_traffic(value["before"], universe),
        after=_traffic(value["after"], universe),
        before_possible=_traffic(value.get("beforePossible", "none"), universe),
        after_possible=_traffic(value.get("afterPossible", "none"), universe),
        paths=value["paths"],
        hypothetical=value["hypothetical"],
        severity=value["severity"],
        causes=tuple(_cause(one) for one in value["causes"]),
        witness=_witness(value["witness"]),
        endpoint=value.get("endpoint", ""),
        alike=value.get("alike", ""),
        requests=tuple(
            Requests(
                _traffic(one["ports"], universe),
                one["wider"],
                one.get("gained", ""),
                one["narrower"],
                one.get("lost", ""),
            )
            for one in value.get("requests", ())
        ),
        before_varies=value.get("beforeVaries", False),
        partial=value.get("partial", False),
        rule=value.get("rule", ""),
        rule_severity=rules.get(value.get("rule", ""), ""),
        allowed_by=value.get("allowed_by", ""),
    )


def _traffic(value: str | list[Document], universe: Traffic) -> Traffic:
    if isinstance(value, str):
        return universe if value == "all" else ()
    out = []
    for one in value:
        protocol = one["protocol"] if isinstance(one["protocol"], int) else PROTOCOLS[one["protocol"]]
        for source in one.get("sourcePorts", [{"from": 0, "to": LAST_PORT}]):
            first, last = protocol << 16 | one["from"], protocol << 16 | one["to"]
            out.append(Box(first, last, source["from"], source["to"]))
    return union(tuple(out))


def _cause(value: Document) -> Cause:
    first, last = value["lines"]
    return Cause(
        value["object"],
        value["kind"],
        value["change"],
        value["side"],
        value["file"],
        (first, last),
        value["path"],
        value.get("words", ""),
    )


def _witness(value: Document) -> Witness:
    """Without the command in it: what a report tells people to run is made anew."""
    return Witness(
        value["from"],
        value["to"],
        value["port"],
        value["before"],
        value["after"],
        tuple(_decision(one) for one in value["decidedBefore"]),
        tuple(_decision(one) for one in value["decidedAfter"]),
        request=value.get("request", ""),
    )


def _decision(value: Document) -> Decision:
    lines = value.get("lines")
    return Decision(
        value["checkpoint"],
        value["verdict"],
        value["text"],
        value.get("file", ""),
        (lines[0], lines[1]) if lines else None,
        value.get("path", ""),
    )


def _changed(value: Document) -> PolicyText:
    before, after = (cast("Any", _Text(value[side])) if side in value else None for side in ("before", "after"))
    return PolicyText(value["object"], before, after)


def _unread(value: Document) -> Unread:
    lines = value["lines"]
    return Unread(value["file"], (lines[0], lines[1]) if lines else None, value["reason"], value.get("setting"))


def _gated(value: Document) -> Gated:
    return Gated(
        tuple(_rule(one) for one in value["rules"]),
        tuple(
            Allowance(
                Allow(one["id"], Match("", "", ()), one["owner"], one["reason"], one["expires"], one["line"]),
                one["status"],
                one.get("why", ""),
            )
            for one in value.get("allow", ())
        ),
    )


def _rule(value: Document) -> Judged:
    why = value.get("why", "")
    own = value["status"] == NOTHING
    match = Match(value["from"], value["to"], ())
    return Judged(
        Rule(value["id"], value["action"], match, value["severity"], "" if own else why, value["line"]),
        value["status"],
        value["certain"],
        value["paths"],
        _witness(value["witness"]) if "witness" in value and value["status"] != ALREADY else None,
        tuple(value.get("allowed_by", ())),
        why if own else "",
        value["blocks"],
    )


def _expected(value: Document) -> Expected:
    return Expected(
        value["file"],
        value["total"],
        value["held"],
        tuple(
            Broken(_expectation(one), one["newly"], one["got"], one["egress"], one["ingress"], one["why"])
            for one in value["failed"]
        ),
        tuple((_expectation(one), one["why"], one["newly"]) for one in value["unmatched"]),
        value["mended"],
    )


def _expectation(value: Document) -> Expectation:
    written = value["expectation"]
    return Expectation(
        source=str(written.get("from", "")),
        destination=str(written.get("to", "")),
        expect=str(written.get("expect", "")),
        protocol=None,
        port=written.get("port"),
        source_port=None,
        icmp_type=None,
        icmp_code=None,
        family=None,
        self_traffic=False,
        http=None,
        dns=None,
        name=str(written.get("name", "")),
        file="",
        line=value["line"],
        written=written,
    )


def _audited(value: Document | None) -> Audited | None:
    if value is None:
        return None
    ingress, egress = (
        Direction(value[side], tuple(value[f"{side}DefaultDeny"]), (), tuple(value[f"{side}Unprotected"]))
        for side in ("ingress", "egress")
    )
    return Audited(value["namespace"], value["status"], value["workloads"], ingress, egress)
