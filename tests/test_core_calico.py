"""The core alone: recorded scenarios of Calico, their policies written here as values of the model, give the recorded verdicts.

No policy of the manifests is read: what parses Calico's (or Kubernetes') policies has no part in this.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bot.gate.expectations import parse
from bot.gate.verify import check
from bot.policies import addresses, intervals
from bot.policies.model import (
    EVERYTHING,
    PLACEMENT,
    PODS,
    Chain,
    Checkpoint,
    Expr,
    ExtraEndpoint,
    InAddresses,
    InNamespace,
    Is,
    Isolation,
    Kind,
    Label,
    Lowered,
    Not,
    Origin,
    Policy,
    Rule,
    Section,
    Tier,
    Vocabulary,
    conjunction,
    disjunction,
)
from bot.policies.traffic import SCTP, TCP, UDP, Box, Traffic, ports, union
from tests.corpora import scenarios
from tests.policies.worlds import snapshot

SCENARIOS = {scenario["id"]: scenario for scenario in scenarios("calico")}
ALL = union(*(ports(protocol, 1 if protocol in (TCP, UDP, SCTP) else 0) for protocol in range(256)))
ORIGIN = Origin(None)
POD_RANGE = addresses.parse_cidr("10.244.0.0/16")
NODES = {"node1": "192.168.50.11", "node2": "192.168.50.12"}
DEFAULT = Tier("default", "default", "deny")
PODS_ALONE = (Checkpoint("egress", "source", (DEFAULT,)), Checkpoint("ingress", "destination", (DEFAULT,)))
Chained = tuple[tuple[Checkpoint, ...], list[Policy]]


def labelled(key: str, *values: str) -> Expr:
    return conjunction((PODS, Label("pod", key, "in", values) if values else Label("pod", key, "exists")))


def nets(*texts: str) -> Expr:
    return InAddresses(intervals.normal(pair for text in texts for pair in addresses.parse_cidr(text)))


def rule(action: str, source: Expr, destination: Expr, traffic: Traffic = ALL) -> Rule:
    return Rule(action, source, destination, traffic, ORIGIN)


def section(
    checkpoint: str, subject: Expr, *rules: Rule, rank: int = 0, tier: str = "default", other: Expr = EVERYTHING
) -> Section:
    source, destination = (subject, other) if "egress" in checkpoint else (other, subject)
    return Section(checkpoint, tier, (rank,), rules, (Isolation(source, destination, ORIGIN),))


def policy(name: str, *sections: Section) -> Policy:
    return Policy(("by hand", "", name), name, None, sections)


def at_node(kind: str, node: str) -> Expr:
    return conjunction((Kind(kind), Label(PLACEMENT, "node", "in", (node,))))


def forwarded_by_a_host_endpoint() -> Chained:
    """0589: a host endpoint whose policy for TCP 8080 applies to what its node forwards, and to what the node itself is sent."""
    host = disjunction((Is((("node", "node:node1"),)), at_node("host", "node1")))
    pods = at_node("pod", "node1")
    outside = Not(disjunction((host, pods)))
    eighty, failsafe = (
        ports(TCP, 8080, 8080),
        union(*(ports(TCP, n, n) for n in (22, 179, 2379, 2380, 5473, 6443, 6666, 6667)), ports(UDP, 68, 68)),
    )
    first = Tier("failsafe", "failsafe", "pass")
    on_host = Checkpoint("host ingress", "neither", (first, DEFAULT))
    own = Section(
        "ingress",
        "failsafe",
        (0,),
        tuple(
            rule("allow", disjunction((Is((("node", f"node:{n}"),)), at_node("host", n))), at_node("pod", n))
            for n in NODES
        ),
    )
    ends = [(outside, host), (outside, pods)]
    isolates = tuple(Isolation(source, destination, ORIGIN) for source, destination in ends)
    allows = tuple(rule("allow", source, destination, eighty) for source, destination in ends)
    spared = Section("host ingress", "failsafe", (0,), (rule("allow", outside, host, failsafe),))
    checkpoints = (
        PODS_ALONE[0],
        on_host,
        Checkpoint("ingress", "destination", (first, DEFAULT)),
    )
    return checkpoints, [
        policy("built in", own, spared),
        policy("g", Section("host ingress", "default", (0,), allows, isolates)),
    ]


def both_ends_restricted() -> Chained:
    """0025: an ingress rule that is about some destinations of those that its policy selects."""
    ops, nginx = InNamespace("ops"), labelled("app.kubernetes.io/name", "nginx")
    other = conjunction((PODS, Not(Label("pod", "env", "in", ("dev",)))))
    some = conjunction((nginx, nets("172.16.0.0/12", "203.0.113.128/25", "0.0.0.0/1")))
    without_role = conjunction((PODS, Not(Label("pod", "role", "exists"))))
    without_app = conjunction((PODS, Not(Label("pod", "app", "exists"))))
    return PODS_ALONE, [
        policy("b0", section("egress", ops), section("ingress", ops, rule("allow", EVERYTHING, ops))),
        policy(
            "a1",
            section(
                "ingress",
                nginx,
                rule("allow", without_role, nginx, ports(TCP)),
                rule("deny", InNamespace("data"), nginx),
                rule("deny", without_app, nginx, ports(TCP, 80, 80)),
                rule("allow", other, some),
                rank=1,
            ),
        ),
    ]


def passed_to_the_next_tier() -> Chained:
    """0407: the tutorial's policy, with Pass where it denies; nothing stands behind it."""
    escaped = conjunction((PODS, Not(Label("pod", "allow-external", "exists"))))
    private = nets("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
    rules = (
        rule("allow", escaped, private),
        rule("allow", escaped, labelled("k8s-app", "kube-dns"), ports(UDP, 53, 53)),
        rule("pass", escaped, EVERYTHING),
    )
    return PODS_ALONE, [policy("deny-external-egress", section("egress", escaped, *rules))]


def everyone_but_partners() -> Chained:
    """0471: notSelector alone: whoever has no address of a matching set, known or not."""
    subject = labelled("app", "a")
    partners = disjunction((labelled("kind", "partner"), nets("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24")))
    return PODS_ALONE, [policy("p", section("ingress", subject, rule("allow", Not(partners), subject)))]


def by_source_port() -> Chained:
    """0549: TCP from a low source port, UDP from every one but 5000."""
    subject = labelled("app", "a")
    low = (Box(TCP << 16, TCP << 16 | 0xFFFF, 1, 1023),)
    but = union((Box(UDP << 16, UDP << 16 | 0xFFFF, 0, 4999),), (Box(UDP << 16, UDP << 16 | 0xFFFF, 5001, 0xFFFF),))
    rules = [rule("allow", EVERYTHING, subject, traffic) for traffic in (low, but)]
    return PODS_ALONE, [policy("p", section("ingress", subject, *rules))]


CASES: dict[str, Callable[[], Chained]] = {
    "0589": forwarded_by_a_host_endpoint,
    "0025": both_ends_restricted,
    "0407": passed_to_the_next_tier,
    "0471": everyone_but_partners,
    "0549": by_source_port,
}


def by_hand(checkpoints: tuple[Checkpoint, ...], policies: list[Policy], cni: str = "calico") -> Lowered:
    nodes = tuple(
        ExtraEndpoint("node", f"node:{name}", {PLACEMENT: {"node": name}}, addresses.parse_cidr(address))
        for name, address in NODES.items()
    )
    vocabulary = Vocabulary(cni, ALL, POD_RANGE, True, {}, {}, extra=nodes)
    chain = Chain(checkpoints, tuple(policies))
    return Lowered(chain, chain, vocabulary, (), ())


def failed(manifests: str, expectations: list[dict[str, Any]], lowered: Lowered) -> list[tuple[object, str, str]]:
    asked = parse("expectations", json.dumps({"expectations": expectations}).encode())
    answers = check(asked, snapshot(manifests), lowered)
    assert answers.unmatched == ()
    assert len(answers.answers) == len(expectations)
    return [(a.expectation.written, a.got, a.why) for a in answers.answers if not a.held]


@pytest.mark.parametrize("scenario", CASES)
def test_the_recorded_verdicts(scenario: str) -> None:
    recorded = SCENARIOS[scenario]
    assert failed(recorded["manifests"], recorded["expectations"], by_hand(*CASES[scenario]())) == []


# --- Kubernetes: the same core, other tiers ---

KUBERNETES = tuple(
    Checkpoint(
        name, subject, (Tier("admin", "admin tier", "pass"), Tier("NetworkPolicy", "NetworkPolicy", "deny", True))
    )
    for name, subject in (("egress", "source"), ("ingress", "destination"))
)
PODS_WITH_ADDRESSES = "\n---\n".join(
    f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\n"
    f"spec: {{containers: [{{name: c}}]}}\nstatus: {{podIP: {address}}}"
    for name, address in (("web", "10.244.1.7"), ("db", "10.244.2.7"))
)


def admin(name: str, priority: int, action: str, destination: Expr) -> Policy:
    subject = InNamespace("shop")
    rules = (rule(action, subject, destination, ports(TCP, 1)),)
    return Policy(("by hand", "", name), name, None, (Section("egress", "admin", (float(priority),), rules),))


def asked(to: str, verdict: str) -> dict[str, Any]:
    return {"from": "shop/web", "to": to, "port": 80, "expect": verdict}


def test_a_network_of_an_admin_policy_meets_a_pod_by_its_address() -> None:
    denied = admin("no-db", 10, "deny", nets("10.244.2.0/24"))
    expectations = [asked("shop/db", "deny"), asked("ip:10.244.2.9", "deny"), asked("ip:10.244.3.9", "allow")]
    assert failed(PODS_WITH_ADDRESSES, expectations, by_hand(KUBERNETES, [denied], "kubernetes")) == []


def test_two_admin_policies_of_one_priority_that_disagree_leave_it_open() -> None:
    world = [admin("yes", 5, "allow", labelled("app", "db")), admin("no", 5, "deny", InNamespace("shop"))]
    found = failed(PODS_WITH_ADDRESSES, [asked("shop/db", "deny")], by_hand(KUBERNETES, world, "kubernetes"))
    assert [got for _, got, _ in found] == ["possible"]
    world[1] = admin("no", 6, "deny", InNamespace("shop"))
    assert failed(PODS_WITH_ADDRESSES, [asked("shop/db", "allow")], by_hand(KUBERNETES, world, "kubernetes")) == []
