"""NP110: a DNS name that Cilium never learns the addresses of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import ERROR, WARNING, Draft, Rule
from bot.lint.overlap import by_subject, may_meet
from bot.policies.cilium.peers import FQDN
from bot.policies.model import Label
from bot.reachability.endpoints import indices

if TYPE_CHECKING:
    from bot.lint.context import Context, Peer
    from bot.policies.l7 import L7
    from bot.policies.model import Expr

RULE = Rule(
    id="NP110",
    name="fqdn-without-dns-rule",
    severity=ERROR,
    detects="`toFQDNs` for pods whose lookups do not go through Cilium's DNS proxy, because no policy of all that "
    "select them has `rules.dns`; and names that their DNS rules do not let them look up. A warning where the pods "
    "are not in the repository.",
    why="Cilium learns the addresses of a name from the answers its DNS proxy sees. Without them the rule "
    "matches no address, and every connection to the name is dropped.",
    bad="""\
egress:
  - toFQDNs: [{matchName: api.example.com}]
""",
    fix="Allow port 53 of kube-dns with `rules.dns` for the same pods.",
    good="""\
egress:
  - toFQDNs: [{matchName: api.example.com}]
  - toEndpoints:
      - matchLabels: {k8s:io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}
    toPorts:
      - ports: [{port: "53", protocol: ANY}]
        rules: {dns: [{matchPattern: "*"}]}
""",
)


def check(context: Context) -> Iterator[Draft]:
    """One finding for each rule with such names."""
    named = [peer for peer in context.peers if peer.rules[0].action == "allow" and name_of(peer.other) is not None]
    if not named:
        return
    proxied = [peer for peer in context.peers if peer.direction == "egress" and _lookups(peer)]
    seen = by_subject(context, proxied)
    told: set[object] = set()
    for peer in named:
        at = (id(peer.object), peer.path[:-1])
        if at in told:
            continue
        pods = context.bits(peer.subject)
        if pods:
            covering = list({id(one): one for slot in indices(pods) for one in seen.get(slot, ())}.values())
        else:
            covering = [one for one in proxied if may_meet(one.subject, peer.subject)]
        left = pods
        for one in covering:
            left &= ~context.bits(one.subject)
        name = str(name_of(peer.other))
        if left or not covering:
            told.add(at)
            yield _finding(context, peer, name, left)
        elif "*" not in name and not any(l7.accepts_dns(name) for one in covering for l7 in _lookups(one)):
            message = f"no DNS rule lets these pods look up `{name}`: its addresses are never learnt"
            fix = f"`matchName: {name}` in `rules.dns`"
            yield Draft(RULE, ERROR if pods else WARNING, peer.object, peer.path, message, fix, about=name)


def _lookups(peer: Peer) -> list[L7]:
    """The DNS rules of an allow rule."""
    return [
        rule.l7
        for rule in peer.rules
        if rule.action == "allow" and rule.l7 is not None and rule.l7.kind in ("dns", "mixed")
    ]


def _finding(context: Context, peer: Peer, name: str, left: int) -> Draft:
    who = words.workloads(context.workloads(left)) if left else "the pods that this policy selects"
    message = f"no policy sends lookups of {who} through the DNS proxy: the addresses of `{name}` are never learnt"
    return Draft(RULE, ERROR if left else WARNING, peer.object, peer.path[:-1], message)


def name_of(expr: Expr) -> str | None:
    """The name or pattern of an item of `toFQDNs`."""
    return expr.key if isinstance(expr, Label) and expr.scope == FQDN else None
