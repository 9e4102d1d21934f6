"""NetworkPolicy: each clause of section 3 of the semantics by its number, and what the API server refuses."""

from __future__ import annotations

import pytest

from bot.policies import addresses
from bot.policies.model import EVERYTHING, PODS, And, HasPort, InAddresses, InNamespace, Isolation, Label, Origin, Rule
from bot.policies.terms import UNIVERSE
from bot.policies.traffic import TCP, UDP, ports
from tests.policies.worlds import lowered, network_policy, path, policy, problems, rules, words

SHOP = InNamespace("shop")
WEB = And((SHOP, Label("pod", "app", "in", ("web",))))
DEPLOYMENT = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: c, ports: [{ports}]}}]}}
"""


def isolations(spec: str) -> dict[str, tuple[Isolation, ...]]:
    return {section.checkpoint: section.isolates for section in policy(network_policy(spec)).sections}


def cidr(*texts: str) -> InAddresses:
    return InAddresses(tuple(pair for text in texts for pair in addresses.parse_cidr(text)))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{podSelector: {}}", ["ingress"]),
        ("{podSelector: {}, policyTypes: []}", ["ingress"]),
        ("{podSelector: {}, policyTypes: null}", ["ingress"]),
        ("{podSelector: {}, egress: []}", ["ingress"]),
        ("{podSelector: {}, egress: null}", ["ingress"]),
        ("{podSelector: {}, egress: [{}]}", ["egress", "ingress"]),
        ("{podSelector: {}, policyTypes: [Egress]}", ["egress"]),
        ("{podSelector: {}, policyTypes: [Ingress], egress: [{}]}", ["ingress"]),
        ("{podSelector: {}, policyTypes: [Egress, Ingress]}", ["egress", "ingress"]),
        ("{podSelector: {}, policyTypes: [Ingress, Ingress]}", ["ingress"]),
    ],
)
def test_3_1_to_3_3_isolation_is_per_direction_and_by_policy_types(spec, expected):
    assert list(isolations(spec)) == expected


def test_3_1_what_isolates():
    lowered_policy = policy(network_policy("{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}"))
    origin = Origin(lowered_policy.object, ("spec", "policyTypes"))
    egress, ingress = lowered_policy.sections
    assert egress[:4] == ("egress", "NetworkPolicy", (), ())
    assert egress.isolates == (Isolation(WEB, EVERYTHING, origin),)
    assert ingress.isolates == (Isolation(EVERYTHING, WEB, origin),)


@pytest.mark.parametrize("spec", ["{}", "null", "{podSelector: null}", "{podSelector: {}}", "{podSelector: {matchLabels: {}}}"])
def test_3_4_an_absent_pod_selector_is_the_whole_namespace(spec):
    assert isolations(spec)["ingress"][0].destination == SHOP


@pytest.mark.parametrize("value", ["[]", "null"])
def test_3_5_no_rules_allow_nothing(value):
    assert rules(network_policy(f"{{podSelector: {{}}, ingress: {value}}}")) == ()


@pytest.mark.parametrize("rule", ["{}", "{from: []}", "{from: null}", "{ports: []}", "{from: [], ports: null}"])
def test_3_5_to_3_7_an_empty_rule_allows_everything(rule):
    text = network_policy(f"{{podSelector: {{}}, ingress: [{rule}]}}")
    (found,) = rules(text)
    assert found[:4] == ("allow", EVERYTHING, SHOP, UNIVERSE)
    assert found.origin.path == ("spec", "ingress", 0)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("[{}]", ["TCP 1-65535"]),
        ("[{port: 80}]", ["TCP 80"]),
        ("[{protocol: UDP}]", ["UDP 1-65535"]),
        ("[{protocol: SCTP, port: 7}]", ["SCTP 7"]),
        ("[{port: 80, endPort: 80}]", ["TCP 80"]),
        ("[{port: 8000, endPort: 8010}, {port: 8011}]", ["TCP 8000-8011"]),
        ("[{port: 53, protocol: UDP}, {port: 53}]", ["TCP 53", "UDP 53"]),
        ("[{port: null, protocol: null}]", ["TCP 1-65535"]),
    ],
)
def test_3_7_and_3_8_ports(items, expected):
    (found,) = rules(network_policy(f"{{podSelector: {{}}, ingress: [{{ports: {items}}}]}}"))
    assert words(found.traffic) == expected


def test_3_9_a_named_port_is_looked_up_at_the_destination():
    text = network_policy("{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: http}]}]}")
    two = "{name: http, containerPort: 8080}, {name: http, protocol: UDP, containerPort: 5}"
    text += DEPLOYMENT.format(name="web", namespace="shop", ports=two)
    text += DEPLOYMENT.format(name="api", namespace="shop", ports="{name: http, containerPort: 80}")
    text += DEPLOYMENT.format(name="far", namespace="other", ports="{name: http, containerPort: 9999}")
    found = lowered(text)
    free = found.vocabulary.free_ports[("http", TCP)]
    (only,) = found.head.policies
    got = {rule.destination: words(rule.traffic) for rule in only.sections[0].rules}
    assert got == {And((*WEB.parts, HasPort("http", TCP, n))): [f"TCP {n}"] for n in (80, 8080, free)}
    assert found.vocabulary.port_numbers[("http", TCP)] == tuple(sorted((80, 8080, 9999, free)))
    assert found.vocabulary.port_numbers[("http", UDP)] == (5,)


def test_3_9_a_name_never_matches_an_address_and_still_isolates():
    rule = "{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: dns, protocol: UDP}]}"
    text = network_policy(f"{{podSelector: {{}}, policyTypes: [Egress], egress: [{rule}]}}")
    (section,) = policy(text).sections
    assert len(section.isolates) == 1
    (found,) = section.rules
    assert isinstance(found.destination, And)
    assert found.destination.parts[0] == cidr("10.0.0.0/8")
    assert isinstance(found.destination.parts[1], HasPort)


def test_3_9_host_network_pods_have_no_named_ports():
    text = network_policy("{podSelector: {}, ingress: [{ports: [{port: http}]}]}")
    text += DEPLOYMENT.format(name="web", namespace="shop", ports="{name: http, containerPort: 80}").replace(
        "{containers", "{hostNetwork: true, containers"
    )
    found = lowered(text)
    assert found.vocabulary.port_numbers == {("http", TCP): (found.vocabulary.free_ports[("http", TCP)],)}


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("{podSelector: {matchLabels: {app: web}}}", WEB),
        ("{podSelector: {}}", SHOP),
        ("{namespaceSelector: {}}", PODS),
        ("{namespaceSelector: {matchLabels: {env: prod}}}", And((PODS, Label("namespace", "env", "in", ("prod",))))),
        (
            "{namespaceSelector: {matchLabels: {env: prod}}, podSelector: {matchLabels: {app: web}}}",
            And((PODS, Label("namespace", "env", "in", ("prod",)), Label("pod", "app", "in", ("web",)))),
        ),
        ("{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}, podSelector: {matchLabels: {app: web}}}", WEB),
        ("{namespaceSelector: null, podSelector: {}}", SHOP),
    ],
)
def test_3_10_peers(peer, expected):
    (found,) = rules(network_policy(f"{{podSelector: {{}}, ingress: [{{from: [{peer}]}}]}}"))
    assert found.source == expected
    assert found.origin.path == ("spec", "ingress", 0, "from", 0)


def test_3_10_two_items_are_either_and_egress_is_the_other_way_round():
    rule = "{to: [{podSelector: {}}, {namespaceSelector: {}}], ports: [{port: 80}]}"
    text = network_policy(f"{{podSelector: {{matchLabels: {{app: web}}}}, egress: [{rule}]}}")
    only = policy(text)
    origin = [Origin(only.object, ("spec", "egress", 0, "to", i)) for i in range(2)]
    http = ports(TCP, 80, 80)
    expected = (Rule("allow", WEB, SHOP, http, origin[0]), Rule("allow", WEB, PODS, http, origin[1]))
    assert only.sections[0].rules == expected


def test_3_11_and_3_12_ip_blocks_match_pods_and_except_cuts_its_own_item():
    peers = "{ipBlock: {cidr: 10.0.0.0/30, except: [10.0.0.0/32, 10.0.0.3/32]}}, {ipBlock: {cidr: '::/0'}}"
    first, second = rules(network_policy(f"{{podSelector: {{}}, ingress: [{{from: [{peers}]}}]}}"))
    assert first.source == InAddresses(((0x0A000001, 0x0A000002),), pods=True)
    assert second.source == InAddresses(addresses.ALL_V6)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("10.0.1.7/24", "10.0.1.0/24"),
        ("010.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/08", "10.0.0.0/8"),
        ("'::ffff:10.0.0.0/104'", "10.0.0.0/8"),
        ("'fd00::1/64'", "fd00::/64"),
    ],
)
def test_3_13_old_forms_of_a_cidr_are_evaluated_and_named(text, read):
    found = lowered(network_policy(f"{{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: {text}}}}}]}}]}}"))
    ((where, refused),) = [(path(p), p.refused) for p in found.problems_head]
    assert (where, refused) == ("spec.ingress[0].from[0].ipBlock.cidr", False)
    assert found.head.policies[0].sections[0].rules[0].source == cidr(read)



def block(value: str, where: str, reason: str) -> list[tuple[str, str, str]]:
    """A row of the table below, for an ipBlock."""
    place = "spec.ingress[0].from[0].ipBlock"
    return [(f"{{ingress: [{{from: [{{ipBlock: {value}}}]}}]}}", f"{place}.{where}".rstrip("."), reason)]


REFUSED = [
    ("{podSelectors: {}}", "spec.podSelectors", "unknown field"),
    ("[]", "spec", "must be a mapping"),
    ("{podSelector: web}", "spec.podSelector", "must be a label selector"),
    ("{policyTypes: Ingress}", "spec.policyTypes", "must be a list"),
    ("{policyTypes: [ingress]}", "spec.policyTypes[0]", "must be Ingress or Egress"),
    ("{policyTypes: [Ingress, Egress, Ingress]}", "spec.policyTypes", "no more than two"),
    ("{ingress: {}}", "spec.ingress", "must be a list"),
    ("{ingress: [[]]}", "spec.ingress[0]", "must be a mapping"),
    ("{ingress: [{to: []}]}", "spec.ingress[0].to", "unknown field"),
    ("{egress: [{from: []}]}", "spec.egress[0].from", "unknown field"),
    ("{ingress: [{from: {podSelector: {}}}]}", "spec.ingress[0].from", "must be a list"),
    ("{ingress: [{from: [{}]}]}", "spec.ingress[0].from[0]", "a peer must have"),
    ("{ingress: [{from: [null]}]}", "spec.ingress[0].from[0]", "a peer must have"),
    ("{ingress: [{from: [{podSelector: null}]}]}", "spec.ingress[0].from[0]", "a peer must have"),
    ("{ingress: [{from: [{podselector: {}}]}]}", "spec.ingress[0].from[0].podselector", "unknown field"),
    ("{ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}", "spec.ingress[0].from[0]", "stand alone"),
    *block("{}", "", "a CIDR is required"),
    *block("{cidr: 10}", "cidr", "a CIDR is required"),
    *block("{cidr: 10.0.0.1}", "cidr", "not an IPv4"),
    *block("{cidr: 10.0.0.0/33}", "cidr", "prefix length"),
    *block("{cidr: 10.0.0/8}", "cidr", "not an IPv4"),
    *block("{cidr: 'fe80::1%eth0/64'}", "cidr", "not an IPv4"),
    *block("{cidr: '::ffff:10.0.0.0/64'}", "cidr", "prefix length"),
    *block("{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}", "except[0]", "strict part"),
    *block("{cidr: 10.0.0.0/8, except: [10.0.0.0/8]}", "except[0]", "strict part"),
    *block("{cidr: 10.0.0.0/8, except: [0.0.0.0/0]}", "except[0]", "strict part"),
    *block("{cidr: 10.0.0.0/8, except: ['fd00::/64']}", "except[0]", "strict part"),
    *block("{cidr: 10.0.0.0/8, except: [10]}", "except[0]", "must be text"),
    *block("{cidr: 10.0.0.0/8, excepts: []}", "excepts", "unknown field"),
    ("{ingress: [{ports: {port: 80}}]}", "spec.ingress[0].ports", "must be a list"),
    ("{ingress: [{ports: [80]}]}", "spec.ingress[0].ports[0]", "must be a mapping"),
    ("{ingress: [{ports: [{ports: 80}]}]}", "spec.ingress[0].ports[0].ports", "unknown field"),
    ("{ingress: [{ports: [{port: '80'}]}]}", "spec.ingress[0].ports[0].port", "no port name"),
    ("{ingress: [{ports: [{port: HTTP}]}]}", "spec.ingress[0].ports[0].port", "no port name"),
    ("{ingress: [{ports: [{port: a--b}]}]}", "spec.ingress[0].ports[0].port", "no port name"),
    ("{ingress: [{ports: [{port: a-name-far-too-long}]}]}", "spec.ingress[0].ports[0].port", "no port name"),
    ("{ingress: [{ports: [{port: 0}]}]}", "spec.ingress[0].ports[0].port", "no port number"),
    ("{ingress: [{ports: [{port: 65536}]}]}", "spec.ingress[0].ports[0].port", "no port number"),
    ("{ingress: [{ports: [{port: true}]}]}", "spec.ingress[0].ports[0].port", "no port number"),
    ("{ingress: [{ports: [{port: 80.5}]}]}", "spec.ingress[0].ports[0].port", "no port number"),
    ("{ingress: [{ports: [{port: 80, protocol: tcp}]}]}", "spec.ingress[0].ports[0].protocol", "must be TCP, UDP or SCTP"),
    ("{ingress: [{ports: [{port: 80, protocol: ICMP}]}]}", "spec.ingress[0].ports[0].protocol", "must be TCP, UDP or SCTP"),
    ("{ingress: [{ports: [{port: 80, protocol: 6}]}]}", "spec.ingress[0].ports[0].protocol", "must be TCP, UDP or SCTP"),
    ("{ingress: [{ports: [{port: 80, endPort: 79}]}]}", "spec.ingress[0].ports[0].endPort", "below port"),
    ("{ingress: [{ports: [{endPort: 79}]}]}", "spec.ingress[0].ports[0].endPort", "needs a port"),
    ("{ingress: [{ports: [{port: http, endPort: 79}]}]}", "spec.ingress[0].ports[0].endPort", "numeric port"),
    ("{ingress: [{ports: [{port: 80, endPort: 70000}]}]}", "spec.ingress[0].ports[0].endPort", "no port number"),
    ("{policyTypes: [Ingress], egress: [{to: [{}]}]}", "spec.egress[0].to[0]", "a peer must have"),
]


@pytest.mark.parametrize(("spec", "where", "reason"), REFUSED)
def test_what_the_api_server_refuses_is_absent(spec, where, reason):
    found = lowered(network_policy(spec))
    assert found.head.policies == ()
    problem = found.problems_head[0]
    assert (path(problem), problem.refused) == (where, True)
    assert reason in problem.reason


def test_unknown_fields_beside_the_spec_are_refused():
    ((where, reason, refused),) = problems(network_policy("{}") + "podSelector: {}\n")
    assert (where, refused) == ("podSelector", True)
    assert "unknown field" in reason


@pytest.mark.parametrize(
    ("spec", "where", "expected"),
    [
        ("{ingress: [{ports: [{port: 80, protocol: ''}]}]}", "spec.ingress[0].ports[0].protocol", ["TCP 80"]),
        ("{ingress: [null]}", "spec.ingress[0]", words(UNIVERSE)),
    ],
)
def test_what_has_a_plain_meaning_is_evaluated_and_named(spec, where, expected):
    found = lowered(network_policy(spec))
    ((at, refused),) = [(path(p), p.refused) for p in found.problems_head]
    assert (at, refused) == (where, False)
    assert words(found.head.policies[0].sections[0].rules[0].traffic) == expected


def test_the_old_api_version_is_evaluated_and_named():
    found = lowered(network_policy("{podSelector: {}}").replace("networking.k8s.io/v1", "extensions/v1beta1"))
    assert len(found.head.policies) == 1
    assert [(path(p), p.refused) for p in found.problems_head] == [("apiVersion", False)]


def test_a_flaw_does_not_hide_behind_an_equal_one():
    text = network_policy("{ingress: [{ports: [{port: 1}]}, {ports: [{port: true}]}, {ports: [{port: true}]}]}")
    assert [where for where, _, _ in problems(text)] == ["spec.ingress[1].ports[0].port", "spec.ingress[2].ports[0].port"]


def test_hostile_numbers():
    text = network_policy(f"{{ingress: [{{ports: [{{port: 0x{'f' * 6000}}}]}}]}}")
    assert [refused for _, _, refused in problems(text)] == [True]
