"""A review, listing or verification in, its JSON document out (docs/cli.md; schemas in `bot/schemas`).

The order is stable and there are no times: equal input gives equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bot.policies.traffic import ICMP, ICMPV6, LAST_PORT, PROTOCOL_NAMES, Traffic, intersect, subtract
from bot.reachability.change import Cause, Change, Decision, EndpointFacts, Limit, PairChange, Path, Requests, Witness
from bot.report import sides
from bot.report.words import by_protocol

if TYPE_CHECKING:
    from bot.policies.model import Assumption
    from bot.reachability.change import PolicyText
    from bot.review import (
        Audit,
        Environment,
        Explanation,
        Linted,
        Listing,
        PolicyEffect,
        Review,
        Settings,
        Side,
        Verification,
    )
    from bot.sources import Unread

Document = dict[str, Any]

ASKED = ("cni", "pod_cidrs", "context", "include", "exclude", "fail_on", "config", "environment", "render", "kube_version")


class Ports:
    """Traffic as JSON, each distinct one converted once. `universe` is what prints as `all`."""

    def __init__(self, universe: Traffic) -> None:
        """`universe`: the traffic that the CNI polices."""
        self._known: dict[Traffic, str | list[Document]] = {universe: "all"}

    def some(self, traffic: Traffic) -> str | list[Document]:
        """`all`, or the list of ranges."""
        found = self._known.get(traffic)
        if found is None:
            found = self._known[traffic] = _ranges(traffic)
        return found

    def any(self, traffic: Traffic, limits: Sequence[Limit] = ()) -> str | list[Document]:
        """The same, with `none` for nothing."""
        return self.limited(traffic, limits) if traffic else "none"

    def limited(self, traffic: Traffic, limits: Sequence[Limit]) -> str | list[Document]:
        """The same, ranges on which only some requests are allowed apart, each with what they are."""
        if not limits:
            return self.some(traffic)
        out: list[Document] = []
        rest = traffic
        for limit in limits:
            rest = subtract(rest, limit.traffic)
            here = intersect(traffic, limit.traffic)
            requests = {"side": "both", limit.kind: list(limit.rules)}
            out += [{**row, "l7": [requests]} for row in _ranges(here)]
        return sorted(out + _ranges(rest), key=lambda row: (str(row["protocol"]), row["from"], row["to"]))


def _ranges(traffic: Traffic) -> list[Document]:
    merged: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    for protocol, box in by_protocol(traffic):
        merged.setdefault((protocol, box.first, box.last), []).append((box.source_first, box.source_last))
    out: list[Document] = []
    for (protocol, first, last), sources in sorted(merged.items()):
        row: Document = {"protocol": PROTOCOL_NAMES.get(protocol, protocol), "from": first, "to": last}
        if protocol in (ICMP, ICMPV6) and (first, last) != (0, LAST_PORT):
            row["types"] = _icmp_types(first, last)
        if sources != [(0, LAST_PORT)]:
            row["sourcePorts"] = [{"from": low, "to": high} for low, high in sources]
        out.append(row)
    return out


def _icmp_types(first: int, last: int) -> list[Document]:
    """`code` is left out where every code of the type is meant."""
    out: list[Document] = []
    for kind in range(first >> 8, (last >> 8) + 1):
        low = first & 0xFF if kind == first >> 8 else 0
        high = last & 0xFF if kind == last >> 8 else 0xFF
        if (low, high) == (0, 0xFF):
            out.append({"type": kind})
        else:
            out += [{"type": kind, "code": code} for code in range(low, high + 1)]
    return out


def review(value: Review) -> Document:
    """The `netreach/report/v1` document."""
    out: Document = {
        "schema": "netreach/report/v1",
        "base": _side(value.base),
        "head": _side(value.head),
        "mode": value.mode,
        "verdict": value.verdict,
    }
    if value.behind is not None:
        out["behind"] = value.behind
    out["notes"] = list(value.notes)
    out |= {"failOn": list(value.fail_on), "onIncomplete": value.on_incomplete, "asked": _asked(value.asked)}
    out["environments"] = [_environment(environment, value) for environment in value.environments]
    return out


def _asked(settings: Settings) -> Document:
    """What of the settings the commands in a report repeat; only what was said."""
    given = {name: getattr(settings, name) for name in ASKED}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value or (name == "pod_cidrs" and value is not None)
    }


def _texts(rows: Iterable[PolicyText]) -> list[Document]:
    """The changed objects as the report holds them: both versions, where there are two."""
    return [
        {"object": row.title, "before": None if row.before is None else row.before.value,
         "after": None if row.after is None else row.after.value}
        if row.before is not None and row.after is not None
        else {"object": row.title}
        for row in rows
    ]  # fmt: skip


def _side(side: Side) -> Document:
    return {"ref": side.ref, "sha": side.sha}


def _environment(value: Environment, whole: Review) -> Document:
    ports = Ports(value.universe)
    out: Document = {
        "name": value.name,
        "cni": value.cni,
        "verdict": value.verdict,
        "totals": value.totals._asdict(),
        "workloads": value.workloads,
        "policies": value.policies,
        "universe": _ranges(value.universe),
        "endpoints": endpoints(value.endpoints),
        "changes": [
            _change(change, ports, sides.explain(whole, change.witness, value.name)) for change in value.changes
        ],
    }
    if value.lint is not None:
        from bot.report.linted import compared

        out["lint"] = compared(value.lint)
    if value.pairs is not None:
        out["pairs"] = [_pair(pair, ports) for pair in value.pairs]
    from bot.report import aside, gated

    out |= aside.document(value, endpoints, lambda row: _change(row, ports, ""))
    out |= gated.document(value, lambda shown: _witness(shown, sides.explain(whole, shown, value.name)))
    out |= {"changedObjects": _texts(value.changed_objects), "remarks": list(value.remarks)}
    if value.sizes is not None:
        out["sizes"] = dict(value.sizes)
    return out | _reservations(value.incomplete, value.coverage, value.assumptions, (*value.notes, *value.remarks))


def _reservations(
    incomplete: Iterable[Unread],
    coverage: Iterable[Unread],
    assumptions: Iterable[tuple[Assumption, int]],
    notes: Iterable[str],
) -> Document:
    return {
        "incomplete": [unread(row) for row in incomplete],
        "coverage": [unread(row) for row in coverage],
        "assumptions": [assumed(row, paths) for row, paths in assumptions],
        "notes": list(notes),
    }


def unread(row: Unread) -> Document:
    """What could not be read; `lines` null where it is the whole file."""
    out: Document = {"file": row.file, "lines": list(row.lines) if row.lines else None, "reason": row.reason}
    if row.setting:
        out["setting"] = row.setting
    return out


def assumed(row: Assumption, paths: int) -> Document:
    """An assumption and how many paths rest on it."""
    return {"id": row.id, "text": row.text, "setting": row.setting, "paths": paths}


def endpoints(table: Mapping[str, EndpointFacts]) -> Document:
    """id -> parts, in order of ids."""
    return {name: _endpoint(table[name]) for name in sorted(table)}


def _endpoint(facts: EndpointFacts) -> Document:
    out: Document = {"type": facts.kind}
    if facts.kind == "workload":
        out |= {
            "kind": facts.object_kind,
            "namespace": facts.namespace,
            "name": facts.name,
            "labels": dict(facts.labels),
        }
        out |= {"file": facts.file, "line": facts.line}
    elif facts.kind == "hypothetical":
        out |= {"hypothetical": True, "labels": dict(facts.labels), "namespace": facts.namespace}
        out |= {"namespaceLabels": dict(facts.namespace_labels), "origin": facts.origin}
    elif facts.kind == "addresses":
        out["cidrs"] = list(facts.cidrs)
    elif facts.kind == "exposure":
        out |= {"kind": facts.object_kind, "namespace": facts.namespace, "name": facts.name}
        if facts.file:
            out |= {"file": facts.file, "line": facts.line}
    if facts.side != "both":
        out["side"] = facts.side
    if facts.note:
        out["note"] = facts.note
    return out


def _change(value: Change, ports: Ports, explain: str) -> Document:
    out: Document = {
        "id": value.id,
        "change": value.change,
        "from": list(value.sources),
        "to": list(value.destinations),
    }
    out |= _before_after(value, ports)
    out |= {"paths": value.paths, "hypothetical": value.hypothetical, "severity": value.severity}
    if value.endpoint:
        out["endpoint"] = value.endpoint
    if value.partial:
        out["partial"] = True
    if value.before_varies:
        out["beforeVaries"] = True
    if value.alike:
        out["alike"] = value.alike
    if value.rule:
        out["rule"] = value.rule
    if value.allowed_by:
        out["allowed_by"] = value.allowed_by
    if value.requests:
        out["requests"] = [_requests(row, ports) for row in value.requests]
    return out | {"causes": [_cause(cause) for cause in value.causes], "witness": _witness(value.witness, explain)}


def _requests(value: Requests, ports: Ports) -> Document:
    out: Document = {"ports": ports.some(value.traffic), "wider": value.wider, "narrower": value.narrower}
    if value.gained:
        out["gained"] = value.gained
    if value.lost:
        out["lost"] = value.lost
    return out


def _before_after(value: Change | PairChange, ports: Ports) -> Document:
    out: Document = {
        "before": ports.any(value.before, value.limits_before),
        "after": ports.any(value.after, value.limits_after),
    }
    if value.before_possible:
        out["beforePossible"] = ports.some(value.before_possible)
    if value.after_possible:
        out["afterPossible"] = ports.some(value.after_possible)
    return out


def _cause(value: Cause) -> Document:
    out: Document = {
        "object": value.object,
        "kind": value.kind.partition(".")[0],
        "change": value.change,
        "file": value.file,
    }
    out |= {"lines": list(value.lines), "path": value.path, "side": value.side}
    if value.words:
        out["words"] = value.words
    return out


def _witness(value: Witness, explain: str) -> Document:
    return {
        "from": value.source,
        "to": value.destination,
        "port": value.port,
        "before": value.before,
        "after": value.after,
        "decidedBefore": [decision(row) for row in value.decided_before],
        "decidedAfter": [decision(row) for row in value.decided_after],
        "explain": explain,
        **({"request": value.request} if value.request else {}),
    }


def decision(value: Decision) -> Document:
    """What one checkpoint said, with the file and lines where an object decided."""
    out: Document = {"checkpoint": value.checkpoint, "verdict": value.verdict, "text": value.text}
    if value.file:
        out |= {"file": value.file, "lines": list(value.lines) if value.lines else None, "path": value.path}
    return out


def _pair(value: PairChange, ports: Ports) -> Document:
    status = (
        "added"
        if not (value.before or value.before_possible)
        else "changed"
        if value.after or value.after_possible
        else "removed"
    )
    out: Document = {"from": value.source, "to": value.destination, **_before_after(value, ports), "status": status}
    if value.endpoint:
        out["endpoint"] = value.endpoint
    return out


def listing(value: Listing) -> Document:
    """The `netreach/list/v1` document."""
    ports = Ports(value.universe)
    out: Document = {"schema": "netreach/list/v1", "cni": value.cni, "endpoints": endpoints(value.endpoints)}
    out["paths"] = [row for path in value.paths for row in _paths(path, ports)]
    return out | _reservations(value.incomplete, value.coverage, value.assumptions, (*value.notes, *value.remarks))


def _paths(value: Path, ports: Ports) -> Iterable[Document]:
    if value.open:
        yield {"from": value.source, "to": value.destination, "ports": ports.limited(value.open, value.limits)}
    if value.possible:
        yield {
            "from": value.source,
            "to": value.destination,
            "ports": ports.limited(value.possible, value.limits),
            "certainty": "possible",
            "because": list(value.because),
        }


def verification(value: Verification) -> Document:
    """The `netreach/verify/v1` document."""
    return {
        "schema": "netreach/verify/v1",
        "total": value.total,
        "held": value.held,
        "failed": [
            {
                "expectation": dict(row.expectation),
                "got": row.got,
                "egress": row.egress,
                "ingress": row.ingress,
                "why": row.why,
            }
            for row in value.failed
        ],
        "unmatched": [
            {"expectation": {key: row[key] for key in row if key != "why"}, "why": row.get("why", "")}
            for row in value.unmatched
        ],
        "incomplete": [unread(row) for row in value.incomplete],
        "assumptions": [assumed(row, paths) for row, paths in value.assumptions],
    }


def explanation(value: Explanation) -> Document:
    """The `netreach/explain/v1` document."""
    return {
        "schema": "netreach/explain/v1",
        "from": value.source,
        "to": value.destination,
        "port": value.port,
        "sides": [
            {"side": name, "verdict": verdict, "decisions": [decision(row) for row in decisions]}
            for name, verdict, decisions in value.sides
        ],
        "hints": list(value.hints),
        "help": [{"title": row.title, "lines": list(row.lines)} for row in value.help],
        "incomplete": [unread(row) for row in value.incomplete],
    }


def effect(value: PolicyEffect) -> Document:
    """The `netreach/policy/v1` document: what a policy selects, and what it opens and closes."""
    found, ports = value.effect, Ports(value.universe)
    return {
        "schema": "netreach/policy/v1",
        "policy": found.title,
        "file": found.file,
        "lines": list(found.lines),
        "selects": [
            {
                "checkpoint": one.checkpoint,
                "pods": list(one.pods),
                "namespaces": list(one.namespaces),
                "isolates": one.isolates,
            }
            for one in found.selected
        ],
        "endpoints": endpoints(found.endpoints),
        "changes": [
            {"change": row.change, "from": list(row.sources), "to": list(row.destinations), **_before_after(row, ports)}
            for row in found.changes
        ],
        "incomplete": [unread(row) for row in value.incomplete],
    }


def audit(value: Audit) -> Document:
    """The `netreach/audit/v1` document."""
    from bot.report.gated import audited

    return {
        "schema": "netreach/audit/v1",
        "cni": value.cni,
        "namespaces": [audited(one) for one in value.namespaces],
        "incomplete": [unread(row) for row in value.incomplete],
        "notes": list(value.notes),
    }


def lint(value: Linted) -> Document:
    """The `netreach/lint/v1` document; of a comparison `findings` are the new ones, or all where that was asked for."""
    from bot.report import linted

    out: Document = {"schema": "netreach/lint/v1", "findings": [linted.document(one) for one in value.findings]}
    if value.compared is not None:
        out |= linted.compared(value.compared)
    return out | {"incomplete": [unread(row) for row in value.incomplete]}


def dumps(document: Document) -> str:
    """The document as ASCII text, a line for each change, pair, path and endpoint.

    `##[` would be a command in a CI log, so one of its characters is written as an escape.
    """
    return _block(document, "").replace("##[", "\\u0023#[") + "\n"


_OPENED = frozenset(
    (
        "environments",
        "endpoints",
        "changes",
        "changedObjects",
        "pairs",
        "paths",
        "failed",
        "unmatched",
        "incomplete",
        "coverage",
        "sides",
        "namespaces",
    )
)


def _block(document: Document, indent: str) -> str:
    """Only the outer levels are laid out here; what stands on one line is written by the C encoder."""
    import json

    inner = indent + " "
    rows: list[str] = []
    for key, value in document.items():
        if key in _OPENED and value:
            if isinstance(value, dict):
                lines = [f"{json.dumps(name)}: {json.dumps(part)}" for name, part in value.items()]
                text = "{\n" + ",\n".join(f"{inner} {line}" for line in lines) + f"\n{inner}}}"
            else:
                lines = [_block(part, inner + " ") if key == "environments" else json.dumps(part) for part in value]
                text = "[\n" + ",\n".join(f"{inner} {line}" for line in lines) + f"\n{inner}]"
        else:
            text = json.dumps(value)
        rows.append(f"{inner}{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
