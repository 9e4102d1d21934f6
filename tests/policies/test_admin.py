"""Admin policies: each clause of sections 4 to 6 of the semantics by its number, and what the API server refuses."""

from __future__ import annotations

from typing import Any

import pytest

from bot.manifests.yaml import Reader
from bot.policies import addresses, intervals
from bot.policies.compile import lower
from bot.policies.model import (
    EVERYTHING,
    NOBODY,
    PODS,
    And,
    HasPort,
    InAddresses,
    InNamespace,
    Kind,
    Label,
    Maybe,
    Or,
    Policy,
    Rule,
)
from bot.policies.terms import UNIVERSE
from bot.policies.traffic import SCTP, TCP, UDP
from tests.policies.worlds import lowered, path, policy, problems, rules, snapshot, words

GROUP = "policy.networking.k8s.io"
ALL = "{namespaces: {}}"


def anp(body: str = "", subject: str = ALL, priority: object = 10, version: str = "v1alpha1") -> str:
    """An AdminNetworkPolicy; `body` is flow text beside priority and subject."""
    spec = f"{{priority: {priority}, subject: {subject}, {body}}}"
    return f"apiVersion: {GROUP}/{version}\nkind: AdminNetworkPolicy\nmetadata: {{name: a}}\nspec: {spec}\n"


def banp(body: str = "", name: str = "default") -> str:
    spec = f"{{subject: {ALL}, {body}}}"
    return f"apiVersion: {GROUP}/v1alpha1\nkind: BaselineAdminNetworkPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def cnp(body: str = "", tier: str = "Admin", subject: str = ALL, version: str = "v1alpha2", name: str = "c") -> str:
    spec = f"{{tier: {tier}, priority: 20, subject: {subject}, {body}}}"
    return f"apiVersion: {GROUP}/{version}\nkind: ClusterNetworkPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def deny_to(peer: str, more: str = "") -> str:
    return f"egress: [{{action: Deny, to: [{peer}]{more}}}]"


def cidr(*texts: str, pods: bool = True) -> InAddresses:
    return InAddresses(intervals.normal(pair for text in texts for pair in addresses.parse_cidr(text)), pods)


def place(found: Policy) -> list[tuple[Any, ...]]:
    return [section[:3] for section in found.sections]


def test_4_1_tiers_and_ranks():
    rule = "ingress: [{action: Allow, from: [{namespaces: {}}]}]"
    assert place(policy(anp(rule))) == [("ingress", "admin", (10.0,))]
    assert place(policy(banp(rule))) == [("ingress", "baseline", (1001.0,))]
    assert place(policy(cnp(rule.replace("Allow", "Accept")))) == [("ingress", "admin", (20.0,))]
    assert place(policy(cnp(rule.replace("Allow", "Accept"), "Baseline"))) == [("ingress", "baseline", (20.0,))]
    (egress, ingress) = lowered(anp(rule)).head.checkpoints
    assert [(tier.name, tier.end, tier.commutes) for tier in egress.tiers] == [
        ("admin", "pass", False),
        ("NetworkPolicy", "deny", True),
        ("baseline", "pass", False),
    ]
    assert (egress.subject, ingress.subject, ingress.tiers) == ("source", "destination", egress.tiers)


def test_4_1_actions_in_the_order_of_the_rules():
    actions = ["Allow", "Deny", "Pass"]
    text = anp("ingress: [" + ", ".join(f"{{name: r, action: {a}, from: [{{namespaces: {{}}}}]}}" for a in actions) + "]")
    assert [rule.action for rule in rules(text)] == ["allow", "deny", "pass"]
    assert [rule.origin.path for rule in rules(text)] == [("spec", "ingress", i, "from", 0) for i in range(3)]


def test_4_3_nothing_isolates_and_no_rules_are_no_section():
    assert policy(anp()).sections == ()
    (section,) = policy(anp("egress: [], ingress: [{action: Pass, from: [{namespaces: {}}]}]")).sections
    assert section.isolates == ()


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("{namespaces: {}}", PODS),
        ("{namespaces: {matchLabels: {env: prod}}}", And((PODS, Label("namespace", "env", "in", ("prod",))))),
        ("{namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}", InNamespace("shop")),
        (
            "{namespaces: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [b, a]}]}}",
            Or((InNamespace("a"), InNamespace("b"))),
        ),
        (
            "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}",
            And((PODS, Label("pod", "app", "in", ("web",)))),
        ),
    ],
)
def test_4_5_subjects(subject, expected):
    (found,) = rules(anp("ingress: [{action: Deny, from: [{namespaces: {}}]}]", subject))
    assert found[:4] == ("deny", PODS, expected, UNIVERSE)


def test_4_6_and_4_8_networks_match_pods_and_only_egress_has_them():
    (found,) = rules(anp(deny_to("{networks: [10.0.0.0/8, 'fd00::/8']}")), "egress")
    assert found[:3] == ("deny", PODS, cidr("10.0.0.0/8", "fd00::/8"))
    ((where, reason, refused),) = problems(anp("ingress: [{action: Deny, from: [{networks: [10.0.0.0/8]}]}]"))
    assert (where, refused) == ("spec.ingress[0].from[0].networks", True)
    assert "only namespaces, pods" in reason


@pytest.mark.parametrize(("action", "expected"), [("Allow", []), ("Deny", ["deny"]), ("Pass", ["deny"])])
def test_4_7_a_peer_that_is_not_known_fails_closed(action, expected):
    text = anp(f"egress: [{{action: {action}, to: [{{namespaces: {{}}}}, {{planets: {{}}}}], ports: [{{portNumber: {{port: 80}}}}]}}]")
    found = lowered(text)
    assert [(path(p), p.refused) for p in found.problems_head] == [("spec.egress[0].to[1].planets", False)]
    got = [rule for section in found.head.policies[0].sections for rule in section.rules]
    assert [rule.action for rule in got] == expected
    assert all(rule[1:4] == (PODS, EVERYTHING, UNIVERSE) for rule in got)


NODE = """
---
apiVersion: v1
kind: Node
metadata: {{name: {name}, labels: {{pool: {pool}}}}}
status: {{addresses: [{{type: InternalIP, address: {address}}}, {{type: Hostname, address: x}}, {{type: ExternalIP, address: nonsense}}]}}
"""


def test_4_9_nodes_are_the_addresses_of_the_nodes():
    text = anp(deny_to("{nodes: {matchLabels: {pool: a}}}"))
    text += NODE.format(name="n1", pool="a", address="192.0.2.1") + NODE.format(name="n2", pool="b", address="192.0.2.2")
    assert rules(text, "egress")[0].destination == cidr("192.0.2.1/32", pods=False)
    expressions = "[{key: pool, operator: NotIn, values: [a]}, {key: x, operator: DoesNotExist}]"
    negative = text.replace("{matchLabels: {pool: a}}", f"{{matchExpressions: {expressions}}}")
    assert rules(negative, "egress")[0].destination == cidr("192.0.2.2/32", pods=False)
    every = rules(text.replace("{matchLabels: {pool: a}}", "{}"), "egress")
    assert every[0].destination == cidr("192.0.2.1/32", "192.0.2.2/32", pods=False)


def test_4_9_without_nodes_it_matches_nothing():
    text = anp(deny_to("{nodes: {}}"))
    (policy,) = lowered(text).head.policies
    assert policy.sections[0].rules[0].destination == NOBODY
    assert problems(text) == [
        ("spec.egress[0].to[0].nodes", "no Node is among the manifests, so that this matches nothing", False)
    ]


def test_4_9_nodes_of_each_side():
    reader = Reader()
    text = anp(deny_to("{nodes: {}}")) + "---\n" + cnp("egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}]}]")
    base = snapshot(text + NODE.format(name="n1", pool="a", address="192.0.2.1"), reader)
    head = snapshot(text + NODE.format(name="n1", pool="a", address="192.0.2.9"), reader)
    found = lower(base, head)
    (first, shared, own), (second, same, too) = found.base.policies, found.head.policies
    assert own is too
    assert shared is same
    assert first.object is second.object
    assert first.sections[0].rules[0].destination == cidr("192.0.2.1/32", pods=False)
    assert second.sections[0].rules[0].destination == cidr("192.0.2.9/32", pods=False)
    again = lower(base, base)
    assert again.base.policies[0] is again.head.policies[0]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("[{portNumber: {port: 80}}]", ["TCP 80"]),
        ("[{portNumber: {protocol: UDP, port: 53}}, {portRange: {start: 1, end: 9}}]", ["TCP 1-9", "UDP 53"]),
        ("[{portRange: {protocol: SCTP, start: 7, end: 7}}]", ["SCTP 7"]),
    ],
)
def test_4_10_ports(items, expected):
    assert words(rules(anp(deny_to("{namespaces: {}}", f", ports: {items}")), "egress")[0].traffic) == expected


WORKLOAD = """
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop}
spec: {containers: [{name: c, ports: [{name: dns, protocol: UDP, containerPort: 5353}, {name: web, containerPort: 8080}]}]}
"""


@pytest.mark.parametrize(
    "text",
    [
        anp(deny_to("{namespaces: {}}", ", ports: [{namedPort: dns}]")),
        cnp(deny_to("{namespaces: {}}", ", protocols: [{destinationNamedPort: dns}]")),
    ],
)
def test_4_11_and_5_5_a_named_port_has_the_number_and_protocol_of_the_destination(text):
    found = lowered(text + WORKLOAD)
    free = found.vocabulary.free_ports
    got: tuple[Rule, ...] = found.head.policies[0].sections[0].rules
    expected = [("TCP", TCP, free["dns", TCP]), ("UDP", UDP, 5353), ("UDP", UDP, free["dns", UDP]), ("SCTP", SCTP, free["dns", SCTP])]
    assert [(rule.destination, words(rule.traffic)) for rule in got] == [
        (And((PODS, HasPort("dns", protocol, number))), [f"{name} {number}"]) for name, protocol, number in expected
    ]


def test_4_11_a_named_port_beside_networks_is_evaluated_and_named():
    found = lowered(anp(deny_to("{networks: [10.0.0.0/8]}", ", ports: [{namedPort: dns}]")) + WORKLOAD)
    assert [(path(p), p.refused) for p in found.problems_head] == [("spec.egress[0].to[0].networks", False)]
    assert len(found.head.policies[0].sections[0].rules) == 4


def test_4_12_domain_names_are_possible_addresses():
    text = anp("egress: [{action: Allow, to: [{domainNames: [Shop.Example., '*.cdn.example']}]}]")
    (found,) = rules(text, "egress")
    external = Kind("address")
    assert found.destination == Or((Maybe(external, "dns:shop.example"), Maybe(external, "dns:*.cdn.example")))
    assert [a.id for a in lowered(text).vocabulary.assumptions] == ["dns:shop.example", "dns:*.cdn.example"]
    assert problems(anp(deny_to("{domainNames: [shop.example]}")))[0][2] is False


NESTED = [
    (anp(deny_to("{namespaces: {namespaceSelector: {}}}")), "spec.egress[0].to[0].namespaces.namespaceSelector"),
    (anp(deny_to("{namespaces: {sameLabels: [a]}}")), "spec.egress[0].to[0].namespaces.sameLabels"),
    (anp(deny_to("{pods: {namespaces: {namespaceSelector: {}}, podSelector: {}}}")), "spec.egress[0].to[0].pods.namespaces"),
    (anp("", "{namespaces: {notSameLabels: [a]}}"), "spec.subject.namespaces.notSameLabels"),
]


@pytest.mark.parametrize(("text", "where"), NESTED)
def test_4_13_old_nested_peers_are_refused(text, where):
    found = lowered(text)
    assert found.head.policies == ()
    assert (path(found.problems_head[0]), found.problems_head[0].refused) == (where, True)
    assert "dropped in v0.1.3" in found.problems_head[0].reason


def test_5_4_protocols():
    items = ["{tcp: {destinationPort: {number: 80}}}", "{udp: {destinationPort: {range: {start: 5, end: 9}}}}"]
    (found,) = rules(cnp(deny_to("{namespaces: {}}", f", protocols: [{', '.join(items)}]")), "egress")
    assert words(found.traffic) == ["TCP 80", "UDP 5-9"]


def test_5_4_a_protocol_without_port_is_every_port_of_it():
    found = lowered(cnp(deny_to("{namespaces: {}}", ", protocols: [{tcp: {}}]")))
    assert [p.refused for p in found.problems_head] == [False]
    assert words(found.head.policies[0].sections[0].rules[0].traffic) == ["TCP 1-65535"]


def test_5_6_a_namespace_selector_may_be_absent():
    subject = "{pods: {podSelector: {matchLabels: {app: web}}}}"
    text = cnp("ingress: [{action: Deny, from: [{pods: {podSelector: {}}}]}]", subject=subject)
    (found,) = rules(text)
    assert found[1:3] == (PODS, And((PODS, Label("pod", "app", "in", ("web",)))))
    needed = lowered(anp("ingress: [{action: Deny, from: [{pods: {podSelector: {}}}]}]"))
    assert [(path(p), p.refused) for p in needed.problems_head] == [("spec.ingress[0].from[0].pods", False)]
    assert needed.head.policies[0].sections[0].rules[0].source == PODS


def test_5_7_host_bits_are_masked():
    found = lowered(cnp(deny_to("{networks: [10.0.0.5/24]}")))
    assert [p.refused for p in found.problems_head] == [False]
    assert found.head.policies[0].sections[0].rules[0].destination == cidr("10.0.0.0/24")


def test_5_8_longer_lists_than_the_schema_takes_are_evaluated_and_named():
    peers = ", ".join(["{namespaces: {}}"] * 26)
    assert [(where, refused) for where, _, refused in problems(cnp(deny_to(peers)))] == [("spec.egress[0].to", False)]
    assert problems(anp(deny_to(peers))) == []


def test_6_versions():
    rule = "ingress: [{action: Deny, from: [{namespaces: {}}]}]"
    assert problems(cnp(rule, version="v1beta1")) == []
    ((where, reason, refused),) = problems(anp(rule, version="v1beta1"))
    assert (where, refused) == ("apiVersion", False)
    assert "v1alpha1" in reason
    assert "ClusterNetworkPolicy" in reason
    assert len(lowered(anp(rule, version="v1beta1")).head.policies) == 1


PEER = "from: [{namespaces: {}}]"


def at_ports(items: str) -> str:
    return f"ingress: [{{action: Deny, {PEER}, ports: {items}}}]"


def at_protocols(items: str) -> str:
    return f"ingress: [{{action: Deny, {PEER}, protocols: {items}}}]"


REFUSED = [
    (anp("", "{}"), "spec.subject"),
    (anp("", "{namespaces: {}, pods: {}}"), "spec.subject"),
    (anp("", "{namespaces: null}"), "spec.subject"),
    (anp("", "{networks: []}"), "spec.subject"),
    (anp("", ALL, "ten"), "spec.priority"),
    (anp("", ALL, 1001), "spec.priority"),
    (anp("", ALL, -1), "spec.priority"),
    (anp("", ALL, "true"), "spec.priority"),
    (anp("rules: []"), "spec.rules"),
    (anp("tier: Admin"), "spec.tier"),
    (anp("ingress: [null]"), "spec.ingress[0]"),
    (anp(f"ingress: [{{action: Accept, {PEER}}}]"), "spec.ingress[0].action"),
    (anp(f"ingress: [{{{PEER}}}]"), "spec.ingress[0]"),
    (anp("ingress: [{action: Deny}]"), "spec.ingress[0]"),
    (anp("ingress: [{action: Deny, from: []}]"), "spec.ingress[0].from"),
    (anp("ingress: [{action: Deny, from: [{}]}]"), "spec.ingress[0].from[0]"),
    (anp("ingress: [{action: Deny, from: [{namespaces: {}, pods: {podSelector: {}, namespaceSelector: {}}}]}]"), "spec.ingress[0].from[0]"),
    (anp("ingress: [{action: Deny, from: [{namespaceSelector: {}}]}]"), "spec.ingress[0].from[0].namespaceSelector"),
    (anp("ingress: [{action: Deny, from: [{pods: {podselector: {}}}]}]"), "spec.ingress[0].from[0].pods.podselector"),
    (anp(f"ingress: [{{action: Deny, name: 7, {PEER}}}]"), "spec.ingress[0].name"),
    (anp(f"ingress: [{{action: Deny, {PEER}, protocols: []}}]"), "spec.ingress[0].protocols"),
    (anp(at_ports("[]")), "spec.ingress[0].ports"),
    (anp(at_ports("[{}]")), "spec.ingress[0].ports[0]"),
    (anp(at_ports("[{port: 80}]")), "spec.ingress[0].ports[0].port"),
    (anp(at_ports("[{portNumber: {}}]")), "spec.ingress[0].ports[0].portNumber"),
    (anp(at_ports("[{portNumber: {port: 0}}]")), "spec.ingress[0].ports[0].portNumber.port"),
    (anp(at_ports("[{portNumber: {protocol: ICMP, port: 1}}]")), "spec.ingress[0].ports[0].portNumber.protocol"),
    (anp(at_ports("[{namedPort: 80}]")), "spec.ingress[0].ports[0].namedPort"),
    (anp(deny_to("{networks: []}")), "spec.egress[0].to[0].networks"),
    (anp(deny_to("{networks: [10.0.0.1]}")), "spec.egress[0].to[0].networks[0]"),
    (anp(deny_to("{domainNames: ['*']}")), "spec.egress[0].to[0].domainNames[0]"),
    (anp(deny_to("{domainNames: ['a.*.b']}")), "spec.egress[0].to[0].domainNames[0]"),
    (banp(name="other"), "metadata.name"),
    (banp("priority: 5"), "spec.priority"),
    (banp(f"ingress: [{{action: Pass, {PEER}}}]"), "spec.ingress[0].action"),
    (banp(deny_to("{domainNames: [a.example]}")), "spec.egress[0].to[0].domainNames"),
    (cnp("", "admin"), "spec.tier"),
    (cnp(f"ingress: [{{action: Allow, {PEER}}}]"), "spec.ingress[0].action"),
    (cnp(f"ingress: [{{action: Deny, {PEER}, ports: []}}]"), "spec.ingress[0].ports"),
    (cnp(at_protocols("[{icmp: {}}]")), "spec.ingress[0].protocols[0].icmp"),
    (cnp(at_protocols("[{tcp: {port: 80}}]")), "spec.ingress[0].protocols[0].tcp.port"),
    (cnp(at_protocols("[{tcp: {destinationPort: {}}}]")), "spec.ingress[0].protocols[0].tcp.destinationPort"),
    (
        cnp(at_protocols("[{tcp: {destinationPort: {range: {start: 9, end: 5}}}}]")),
        "spec.ingress[0].protocols[0].tcp.destinationPort.range.end",
    ),
]


@pytest.mark.parametrize(("text", "where"), REFUSED)
def test_what_the_api_server_refuses_is_absent(text, where):
    found = lowered(text)
    assert found.head.policies == ()
    assert where in [path(problem) for problem in found.problems_head if problem.refused]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (anp(deny_to("{namespaces: {}}", ", ports: [{portNumber: {protocol: '', port: 80}}]")), ["TCP 80"]),
        (cnp(deny_to("{namespaces: {}}", ", protocols: [{udp: {destinationPort: {range: {start: 5, end: 5}}}}]")), ["UDP 5"]),
    ],
)
def test_what_has_a_plain_meaning_is_evaluated_and_named(text, expected):
    found = lowered(text)
    assert [p.refused for p in found.problems_head] == [False]
    assert words(found.head.policies[0].sections[0].rules[0].traffic) == expected


def test_a_range_that_ends_before_it_starts_matches_nothing():
    found = lowered(anp(deny_to("{namespaces: {}}", ", ports: [{portRange: {start: 9, end: 5}}]")))
    assert [p.refused for p in found.problems_head] == [False]
    assert found.head.policies[0].sections == ()


def test_titles():
    rule = "ingress: [{action: Deny, from: [{namespaces: {}}]}]"
    texts = [anp(rule), banp(rule), cnp(rule)]
    assert [policy(text).title for text in texts] == [
        "AdminNetworkPolicy a (priority 10)",
        "BaselineAdminNetworkPolicy default",
        "ClusterNetworkPolicy c (Admin, priority 20)",
    ]
