"""The core alone: recorded scenarios of Cilium, their policies written here as values of the model, give the recorded verdicts.

No policy of the manifests is read: what parses Cilium's objects has no part in this.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bot.gate.expectations import parse
from bot.gate.verify import check
from bot.policies import addresses, intervals, l7
from bot.policies.dns_rules import DnsRule
from bot.policies.http_rules import HttpRule
from bot.policies.model import (
    EVERYTHING,
    PODS,
    And,
    Chain,
    Checkpoint,
    Expr,
    ExtraEndpoint,
    HasPort,
    InAddresses,
    InNamespace,
    Isolation,
    Kind,
    Label,
    Lowered,
    Not,
    Or,
    Origin,
    Policy,
    Rule,
    Section,
    Tier,
    Vocabulary,
)
from bot.policies.traffic import ICMP, ICMPV6, SCTP, TCP, UDP, Traffic, ports, union
from tests.corpora import scenarios
from tests.policies.worlds import snapshot

SCENARIOS = {scenario["id"]: scenario for scenario in scenarios("cilium")}
ALL = union(*(ports(protocol, 1) for protocol in (TCP, UDP, SCTP)), ports(ICMP), ports(ICMPV6))
TIER = Tier("Cilium", "Cilium", "deny", commutes=True)
CHECKPOINTS = (Checkpoint("egress", "source", (TIER,)), Checkpoint("ingress", "destination", (TIER,)))
DENY, ALLOW = (0,), (1,)
ORIGIN = Origin(None)
HOST = Label("reserved", "host", "exists")
WORLD = Or((Kind("address"), Label("reserved", "world", "exists")))
HTTP = ports(TCP, 80, 80)


def entity(name: str, *labels: str) -> ExtraEndpoint:
    return ExtraEndpoint("entity", f"entity:{name}", {"reserved": dict.fromkeys(labels or (name,), "")}, ())


ENTITIES = tuple(map(entity, ("health", "host", "ingress", "init", "remote-node", "unmanaged", "world")))
APISERVER = entity("kube-apiserver", "kube-apiserver", "remote-node")
OUTSIDE = ExtraEndpoint(
    "entity",
    "entity:kube-apiserver@203.0.113.99",
    {"reserved": {"kube-apiserver": "", "world": ""}},
    addresses.parse_cidr("203.0.113.99"),
)
EXTRA = (*ENTITIES, APISERVER, OUTSIDE)
OWN, OTHER = EXTRA[1], EXTRA[4]


def ask(text: str, other_node: str) -> tuple[ExtraEndpoint, ...] | None:
    """A node is the other end's own one, or another."""
    scheme, _, name = text.partition(":")
    if scheme == "node":
        return (OWN,) if name == other_node else (OTHER,)
    return next(((extra,) for extra in EXTRA if extra.id == text), None)


def app(namespace: str, name: str) -> Expr:
    return And((InNamespace(namespace), Label("pod", "app", "in", (name,))))


def policy(name: str, *sections: Section) -> Policy:
    return Policy(("by hand", "", name), name, None, sections)


def ingress(
    subject: Expr, *rules: Rule, rank: tuple[int, ...] = ALLOW, isolates: bool = True, checkpoint: str = "ingress"
) -> Section:
    source, destination = (EVERYTHING, subject) if checkpoint == "ingress" else (subject, EVERYTHING)
    return Section(checkpoint, "Cilium", rank, rules, (Isolation(source, destination, ORIGIN),) if isolates else ())


def rule(
    action: str,
    source: Expr,
    destination: Expr,
    traffic: Traffic = ALL,
    limit: l7.L7 | None = None,
    exact: bool = False,
) -> Rule:
    return Rule(action, source, destination, traffic, ORIGIN, limit, exact)


ALLOW_LOCALHOST = policy("allow-localhost", ingress(PODS, rule("allow", HOST, PODS), isolates=False))
API, WEB, DB = app("shop", "api"), app("shop", "web"), app("shop", "db")


def default_deny_by_another_policy() -> list[Policy]:
    """0205: enableDefaultDeny false, and an HTTP rule that restricts because of a default deny elsewhere."""
    get = l7.http([HttpRule("GET", "/x")])
    return [
        policy("p", ingress(API, rule("allow", WEB, API, HTTP, get), isolates=False)),
        policy("q", ingress(API)),
    ]


def deny_without_default_deny() -> list[Policy]:
    """0207: a deny that turns no default deny on, beside a NetworkPolicy that does."""
    return [
        policy("p", ingress(API, rule("deny", WEB, API), rank=DENY, isolates=False)),
        policy("netpol", ingress(API, rule("allow", InNamespace("shop"), API))),
    ]


def own_node_is_let_in() -> list[Policy]:
    """0157: default deny, and two nodes, each of them own to some pods."""
    return [policy("p", ingress(API))]


def dns_rule_beside_an_l3_allow() -> list[Policy]:
    """0297: only what names the very port lifts a DNS rule."""
    servers = And((InNamespace("kube-system"), Label("pod", "k8s-app", "in", ("kube-dns",))))
    names, queries = (
        l7.dns([DnsRule("*.example.com")]),
        union(ports(TCP, 53, 53), ports(UDP, 53, 53), ports(SCTP, 53, 53)),
    )
    rules = [rule("allow", WEB, servers, queries, names), rule("allow", WEB, servers)]
    return [policy("p", ingress(WEB, *rules, checkpoint="egress"))]


def dns_rule_beside_its_own_port() -> list[Policy]:
    """0295: an allow of that port and protocol lifts it."""
    servers = And((InNamespace("kube-system"), Label("pod", "k8s-app", "in", ("kube-dns",))))
    queries = union(ports(TCP, 53, 53), ports(UDP, 53, 53), ports(SCTP, 53, 53))
    names = l7.dns([DnsRule("*.example.com")])
    rules = [rule("allow", WEB, servers, queries, names), rule("allow", WEB, servers, queries, exact=True)]
    return [policy("p", ingress(WEB, *rules, checkpoint="egress"))]


def l4_allow_lifts_http() -> list[Policy]:
    """0209: HTTP rules and a plain allow of one peer and port."""
    get = l7.http([HttpRule("GET", "/x")])
    return [policy("p", ingress(API, rule("allow", WEB, API, HTTP, get), rule("allow", WEB, API, HTTP)))]


def http_rule_for_everyone() -> list[Policy]:
    """0161: the own node is let in at L7 too."""
    return [policy("p", ingress(API, rule("allow", EVERYTHING, API, HTTP, l7.http([HttpRule("GET")]))))]


def cidr(text: str, *holes: str) -> Expr:
    cut = intervals.normal(pair for hole in holes for pair in addresses.parse_cidr(hole))
    return InAddresses(intervals.subtract(addresses.parse_cidr(text), cut), pods=False)


def except_in_a_deny() -> list[Policy]:
    """0764: enableDefaultDeny false, denies by label, by named port and by a CIDR with a hole in it."""
    dev = app("dev", "web")
    echo = ports(ICMP, 8 << 8, 8 << 8 | 0xFF)
    untracked = And((InNamespace("dev"), Not(Label("pod", "tier", "exists"))))
    allows = (
        rule("allow", InNamespace("dev"), dev, echo),
        rule("allow", app("dev", "db"), dev),
        rule("allow", And((InNamespace("shop"), Label("pod", "tier", "in", ("front",)))), dev),
    )
    elsewhere = And((PODS, Not(InNamespace("shop")), Not(Label("pod", "tier", "exists"))))
    named = And((InNamespace("dev"), Label("pod", "app", "in", ("web",)), HasPort("http", TCP, 8080)))
    denies = [
        rule("deny", peer, to, traffic)
        for peer in (InNamespace("dev"), untracked, elsewhere)
        for to, traffic in ((named, ports(TCP, 8080, 8080)), (dev, ports(TCP, 5432, 5432)))
    ]
    denies.append(rule("deny", cidr("192.168.0.0/16", "192.168.77.0/24"), dev))
    return [
        policy("np-0", ingress(InNamespace("pay"))),
        policy("p-1", ingress(dev, *denies, rank=DENY, isolates=False), ingress(dev, *allows, isolates=False)),
    ]


CASES: dict[str, Callable[[], list[Policy]]] = {
    "0157": own_node_is_let_in,
    "0161": http_rule_for_everyone,
    "0205": default_deny_by_another_policy,
    "0207": deny_without_default_deny,
    "0209": l4_allow_lifts_http,
    "0295": dns_rule_beside_its_own_port,
    "0297": dns_rule_beside_an_l3_allow,
    "0764": except_in_a_deny,
}


def lowered_by_hand(policies: list[Policy]) -> Lowered:
    hosts = (OWN.attributes, OTHER.attributes)
    vocabulary = Vocabulary("cilium", ALL, None, False, {}, {}, extra=EXTRA, ask=ask, hosts=lambda _: hosts)
    chain = Chain(CHECKPOINTS, (*policies, ALLOW_LOCALHOST))
    return Lowered(chain, chain, vocabulary, (), ())


@pytest.mark.parametrize("scenario", CASES)
def test_the_recorded_verdicts(scenario: str) -> None:
    recorded = SCENARIOS[scenario]
    asked = parse("expectations", json.dumps({"expectations": recorded["expectations"]}).encode())
    answers = check(asked, snapshot(recorded["manifests"]), lowered_by_hand(CASES[scenario]()))
    assert answers.unmatched == ()
    assert [(a.expectation.written, a.got, a.why) for a in answers.answers if not a.held] == []
    assert len(answers.answers) == len(recorded["expectations"])


def test_a_hole_in_a_deny_denies_nothing() -> None:
    rows = [
        {"from": f"ip:{address}", "to": "dev/web-4", "port": 22, "expect": verdict}
        for address, verdict in (("192.168.78.1", "deny"), ("192.168.77.1", "allow"), ("203.0.113.7", "allow"))
    ]
    asked = parse("expectations", json.dumps({"expectations": rows}).encode())
    answers = check(asked, snapshot(SCENARIOS["0764"]["manifests"]), lowered_by_hand(except_in_a_deny()))
    assert [answer.got for answer in answers.answers] == ["deny", "allow", "allow"]
