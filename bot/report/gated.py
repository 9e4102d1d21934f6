"""What the config's rules, its allow entries, the repository's expectations and the audit come to in; words and values of reports out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bot.gate.rules import ALLOWED, ALREADY, EXPIRED, HOLDS, IN_FORCE, MENDED, NEWLY, NOTHING
from bot.report.words import number

if TYPE_CHECKING:
    from bot.gate.audit import AuditChange, Audited, Direction
    from bot.gate.expectations import Expectation
    from bot.gate.rules import Allowance, Judged
    from bot.review import Environment

Document = dict[str, Any]


class Told:
    """One thing to say: `style` (error, warning, note or good), its label, where it is written, and the words."""

    __slots__ = ("label", "line", "style", "text", "witness")

    def __init__(self, style: str, label: str, text: str, line: int = 0, witness: str = "") -> None:
        self.style, self.label, self.text, self.line, self.witness = style, label, text, line, witness


def told(value: Environment) -> list[Told]:
    """Everything of an environment that is worth a line, failures first; what holds is not."""
    out: list[Told] = []
    if value.gated is not None:
        out += [_rule(one) for one in value.gated.rules if one.status != HOLDS]
        out += [_entry(one) for one in value.gated.allow if one.status != IN_FORCE]
    if value.expected is not None:
        for broken in value.expected.broken:
            held = "" if broken.newly else ", and did not before"
            words = f"{expectation_words(broken.expectation)} does not hold: {broken.got}{held}"
            style = "error" if broken.newly else "note"
            out.append(Told(style, "expectation", words, broken.expectation.line, broken.why))
        for missing, why, there in value.expected.unmatched:
            words = f"{expectation_words(missing)} matches nothing: {why}"
            out.append(Told("error" if there else "warning", "expectation", words, missing.line))
    out += [Told(style, "audit", words) for style, words in map(audit_change, value.audit)]
    order = ("error", "warning", "note", "good")
    return sorted(out, key=lambda one: order.index(one.style))


def _rule(one: Judged) -> Told:
    rule = one.rule
    what = f"{rule.action} {rule.match.source} to {rule.match.destination}"
    why = f" ({rule.why})" if rule.why else ""
    style = "error" if one.fails else "note" if one.status == ALREADY else "warning"
    possibly = "" if one.certain else "possibly "
    if one.status == NOTHING:
        words = f"matches nothing, so it guards nothing: {one.why}"
    elif one.status == MENDED:
        style, words = "good", "was broken, and holds now"
    elif one.status == ALLOWED:
        style, words = "good", f"would be broken; allowed by {', '.join(one.allowed_by)}"
    else:
        kind = "newly" if one.status == NEWLY else "already"
        words = f"{possibly}{kind} broken by {number(one.paths, 'path')}"
        words += ", before this change too" if one.status == ALREADY else ""
    shown = one.witness
    witness = f"{shown.source} to {shown.destination} {shown.port}" if shown is not None and one.status == NEWLY else ""
    return Told(style, f"rule {rule.id}", f"{what}{why}: {words}", rule.line, witness)


def _entry(one: Allowance) -> Told:
    entry = one.entry
    words = f"expired: {one.why}" if one.status == EXPIRED else f"of no use: {one.why}"
    return Told("warning", f"allow {entry.id}", f"{words} (owner {entry.owner})", entry.line)


def expectation_words(one: Expectation) -> str:
    """An expectation in a line."""
    port = f" {one.written.get('protocol', 'TCP')} {one.port}" if one.port is not None else ""
    name = f"{one.name}: " if one.name else ""
    return f"{name}{one.source} to {one.destination}{port}: {one.expect}"


def audit_change(one: AuditChange) -> tuple[str, str]:
    """(style, words) of what a change does to the protection of a namespace."""
    before, after = one.before, one.after
    if after is None:
        return "note", f"namespace {one.namespace} is gone"
    if before is None:
        return "note" if after.status == "OK" else "warning", f"new namespace {one.namespace}: {_directions(after)}"
    parts = [
        f"{name} {_was(old, new)}"
        for name, old, new in (("ingress", before.ingress, after.ingress), ("egress", before.egress, after.egress))
        if (old.status, old.unprotected, bool(old.default_deny))
        != (new.status, new.unprotected, bool(new.default_deny))
    ]
    rank = {"OK": 0, "WARN": 1, "FAIL": 2}
    worse = any(
        rank[new.status] > rank[old.status] or len(new.unprotected) > len(old.unprotected)
        for old, new in ((before.ingress, after.ingress), (before.egress, after.egress))
    )
    return "warning" if worse else "note", f"namespace {one.namespace}: {'; '.join(parts)}"


def _directions(one: Audited) -> str:
    return f"ingress {direction_words(one.ingress)}, egress {direction_words(one.egress)}"


def _was(old: Direction, new: Direction) -> str:
    return f"{old.status} -> {direction_words(new)}" if old.status != new.status else direction_words(new)


def direction_words(one: Direction) -> str:
    """`OK, default deny`, `WARN, open: shop/a, shop/b`."""
    if one.default_deny:
        return f"{one.status}, default deny"
    if not one.unprotected:
        return f"{one.status}, every workload isolated" if one.status == "OK" else f"{one.status}, no default deny"
    shown = ", ".join(one.unprotected[:5])
    more = f" and {len(one.unprotected) - 5} more" if len(one.unprotected) > 5 else ""
    return f"{one.status}, open: {shown}{more}"


# --- JSON ---


def document(value: Environment, witness: Any) -> Document:
    """The fields of an environment in the report; what was not asked for is left out. `witness`: makes the value of a witness."""
    out: Document = {}
    if value.gated is not None:
        out["rules"] = [_rule_value(one, witness) for one in value.gated.rules]
        out["allow"] = [_entry_value(one) for one in value.gated.allow]
    if value.expected is not None:
        out["expectations"] = {
            "file": value.expected.file,
            "total": value.expected.total,
            "held": value.expected.held,
            "mended": value.expected.mended,
            "failed": [
                {
                    "expectation": dict(one.expectation.written),
                    "line": one.expectation.line,
                    "newly": one.newly,
                    "got": one.got,
                    "egress": one.egress,
                    "ingress": one.ingress,
                    "why": one.why,
                }
                for one in value.expected.broken
            ],
            "unmatched": [
                {"expectation": dict(one.written), "line": one.line, "newly": there, "why": why}
                for one, why, there in value.expected.unmatched
            ],
        }
    out["audit"] = [
        {
            "namespace": one.namespace,
            "before": None if one.before is None else audited(one.before),
            "after": None if one.after is None else audited(one.after),
        }
        for one in value.audit
    ]
    return out


def _rule_value(one: Judged, witness: Any) -> Document:
    rule = one.rule
    out: Document = {
        "id": rule.id,
        "action": rule.action,
        "from": rule.match.source,
        "to": rule.match.destination,
        "severity": rule.severity,
        "line": rule.line,
        "status": one.status,
        "blocks": one.fails,
        "certain": one.certain,
        "paths": one.paths,
    }
    if one.allowed_by:
        out["allowed_by"] = list(one.allowed_by)
    if why := one.why or rule.why:
        out["why"] = why
    if one.witness is not None:
        out["witness"] = witness(one.witness)
    return out


def _entry_value(one: Allowance) -> Document:
    entry = one.entry
    out: Document = {"id": entry.id, "status": one.status, "owner": entry.owner, "reason": entry.reason}
    out |= {"expires": entry.expires, "line": entry.line}
    return out | ({"why": one.why} if one.why else {})


def audited(one: Audited) -> Document:
    """One namespace of an audit."""
    return {
        "namespace": one.namespace,
        "status": one.status,
        "workloads": one.workloads,
        "policies": list(one.policies),
        "ingress": one.ingress.status,
        "egress": one.egress.status,
        "unprotected": list(one.unprotected),
        "ingressUnprotected": list(one.ingress.unprotected),
        "egressUnprotected": list(one.egress.unprotected),
        "ingressDefaultDeny": list(one.ingress.default_deny),
        "egressDefaultDeny": list(one.egress.default_deny),
    }


def counted(namespaces: Iterable[Audited]) -> Mapping[str, int]:
    """How many namespaces are OK, WARN and FAIL."""
    out = {"OK": 0, "WARN": 0, "FAIL": 0}
    for one in namespaces:
        out[one.status] += 1
    return out
