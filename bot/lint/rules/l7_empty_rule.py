"""NP112: HTTP rules that restrict nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bot.lint.finding import WARNING, Draft, Edit, Path, Rule
from bot.lint.overlap import by_subject, row, rules_meet, sure
from bot.reachability.endpoints import indices

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer

RULE = Rule(
    id="NP112",
    name="l7-empty-rule",
    severity=WARNING,
    detects="An empty HTTP rule (`{}`) beside others in a Cilium policy, and HTTP rules all of whose traffic another "
    "allow rule lets through without any.",
    why="Rules of a list are alternatives, and so are policies: an empty one allows every request, and one "
    "without HTTP rules every byte. The other rules look like a limit and are none.",
    bad="""\
rules:
  http:
    - {method: GET, path: /public}
    - {}
""",
    fix="Remove the empty rule, or give the wider rule the same HTTP rules.",
    good="""\
rules:
  http:
    - {method: GET, path: /public}
""",
    fixable=True,
)
_KINDS = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy")
_LOOKED_AT = 40


def check(context: Context) -> Iterator[Draft]:
    """Every empty rule beside others, and every set of rules that something wider voids."""
    told: set[tuple[int, Path]] = set()
    plain: Mapping[int, list[Peer]] | None = None
    for peer in context.peers:
        if peer.rules[0].l7 is None or peer.rules[0].l7.kind != "http" or peer.object.kind not in _KINDS:
            continue
        at = (id(peer.object), peer.path)
        if at in told:
            continue
        told.add(at)
        listed = _rules(peer.object.value, peer.path)
        empty = [number for number, rule in enumerate(listed) if type(rule) is dict and not any(rule.values())]
        if empty and len(listed) > len(empty):
            path = (*peer.path, "rules", "http", empty[0])
            message = "the empty rule allows every request, whatever the others ask for"
            yield Draft(RULE, WARNING, peer.object, path, message, "remove `{}`", Edit("remove", path))
        elif len(listed) > len(empty):
            if plain is None:
                plain = by_subject(context, (one for one in context.peers if _is_plain(one)))
            yield from _voided(context, peer, plain)


def _is_plain(peer: Peer) -> bool:
    return peer.rules[0].action == "allow" and any(rule.l7 is None for rule in peer.rules)


def _voided(context: Context, peer: Peer, plain: Mapping[int, list[Peer]]) -> Iterator[Draft]:
    slots = indices(context.bits(peer.subject))[:_LOOKED_AT]
    near = {id(one): one for slot in slots for one in plain.get(slot, ()) if one.direction == peer.direction}
    wider = [one for one in near.values() if rules_meet(context, one, peer)]
    others = sure(context, peer.other)
    if not wider or not slots or not others:
        return
    mask = 0
    for rule in peer.rules:
        mask |= context.mask_of(rule.traffic)
    open_ = 0
    for slot in slots:
        for cell in row(context, peer.direction, slot):
            if cell.mask & mask:
                if any(bits & others for _, bits in cell.limits):
                    return
                open_ |= cell.open & others
    if open_:
        by = wider[0]
        where = "another rule of this policy" if by.object is peer.object else by.policy.title
        message = f"{where} allows the same traffic without HTTP rules: these restrict nothing"
        yield Draft(RULE, WARNING, peer.object, (*peer.path, "rules", "http"), message, about=by.object.name)


def _rules(value: Any, path: Path) -> list[Any]:
    for step in (*path, "rules", "http"):
        try:
            value = value[step]
        except (LookupError, TypeError):
            return []
    return value if type(value) is list else []
