"""Section 8 and what surrounds the policies: NetworkPolicy in Cilium's reading, nodes, names, settings, and both sides of a change."""

from __future__ import annotations

import pytest

from bot.manifests.yaml import Reader
from bot.policies.cilium.ports import UNIVERSE
from bot.policies.compile import lower
from bot.policies.model import EVERYTHING
from bot.policies.traffic import union
from bot.reachability.analysis import compare
from tests.policies.cilium.worlds import PODS, ccnp, cnp, lowered, policy, verdict
from tests.policies.worlds import network_policy, snapshot, words

WEB = "endpointSelector: {matchLabels: {app: web}}"
NODES = """
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {role: worker}}
status: {addresses: [{type: InternalIP, address: 192.168.10.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: n2, labels: {role: infra}}
status: {addresses: [{type: InternalIP, address: 192.168.10.2}]}
---
"""


def test_8_a_network_policy_without_ports_covers_icmp_too() -> None:
    found = policy(network_policy("{podSelector: {}, ingress: [{from: [{podSelector: {}}]}, {ports: [{port: 80}]}]}"))
    (section,) = found.sections
    assert (section.tier, section.rank) == ("Cilium", (1,))
    assert [rule.traffic == UNIVERSE for rule in section.rules] == [True, False]
    assert section.rules[1].source == EVERYTHING
    assert words(section.rules[1].traffic) == ["TCP 80"]


def test_8_every_port_by_protocol_is_not_icmp() -> None:
    listed = "[{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]"
    (section,) = policy(network_policy("{podSelector: {}, ingress: [{ports: " + listed + "}]}")).sections
    assert section.rules[0].traffic != UNIVERSE
    assert union(section.rules[0].traffic) == section.rules[0].traffic


@pytest.mark.parametrize(
    ("selector", "got"),
    [
        ("{matchLabels: {pod-template-hash: x}}", "deny"),
        ("{matchExpressions: [{key: pod-template-hash, operator: DoesNotExist}]}", "allow"),
        ("{matchLabels: {app: db}}", "allow"),
        ("{matchExpressions: [{key: app, operator: In, values: [db, x]}, {key: y, operator: DoesNotExist}]}", "allow"),
    ],
)
def test_8_labels_go_through_the_filter(selector: str, got: str) -> None:
    peers = "[{namespaceSelector: {}, podSelector: " + selector + "}]"
    text = PODS + network_policy("{podSelector: {}, ingress: [{from: " + peers + "}]}")
    assert verdict(text, "data/db", "shop/api") == got


def test_8_ip_blocks_never_match_pods_or_nodes() -> None:
    text = PODS + NODES + network_policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}")
    assert verdict(text, "data/db", "shop/api") == "deny"
    assert verdict(text, "ip:192.168.10.2", "shop/api") == "deny"
    assert verdict(text, "entity:world", "shop/api") == "allow"
    assert verdict(text, "entity:host", "shop/api") == "allow"


def test_8_a_network_policy_lifts_dns_rules_at_their_very_port() -> None:
    dns = "{ports: [{port: '53', protocol: UDP}], rules: {dns: [{matchName: a.io}]}}"
    limited = cnp("{" + WEB + ", egress: [{toPorts: [" + dns + "]}]}") + "---\n"
    at = "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [%s]}]}"
    for listed, got in (
        ("{port: 53, protocol: UDP}", "allow"),
        ("{port: 53, protocol: UDP}, {port: 54, protocol: UDP}", "allow"),
        ("{port: 53, endPort: 54, protocol: UDP}", "deny"),
        ("{protocol: UDP}", "deny"),
        ("{port: 53, protocol: TCP}", "deny"),
    ):
        text = PODS + limited + network_policy(at % listed).replace("name: p,", "name: q,")
        assert verdict(text, "shop/web", "ip:203.0.113.1", 53, protocol="UDP", dns="b.io") == got, listed


CLUSTER_POLICY = """
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: all}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  ingress: [{name: none, action: Deny, from: [{namespaces: {}}]}]
---
"""
SWITCH = """
apiVersion: v1
kind: ConfigMap
metadata: {name: cilium-config, namespace: kube-system}
data: {enable-k8s-cluster-network-policy: 'true', policy-cidr-match-mode: nodes, cluster-name: east}
---
"""


def test_5_cluster_network_policies_count_where_they_are_switched_on() -> None:
    assert verdict(CLUSTER_POLICY + PODS, "shop/web", "shop/api") == "allow"
    assert "enable-k8s-cluster-network-policy" in lowered(CLUSTER_POLICY + PODS).problems_head[0].reason
    assert verdict(SWITCH + CLUSTER_POLICY + PODS, "shop/web", "shop/api") == "deny"


def test_9_settings_that_change_the_reading_are_named() -> None:
    assert any("policy-cidr-match-mode to 'nodes'" in note for note in lowered(SWITCH + PODS).notes)
    text = PODS + cnp(
        "{" + WEB + ", ingress: [{fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: east}}]}]}"
    )
    assert verdict(SWITCH + text, "shop/api", "shop/web") == "allow"
    assert verdict(text, "shop/api", "shop/web") == "deny"


def test_3_8_host_policies() -> None:
    text = PODS + NODES + ccnp("{nodeSelector: {matchLabels: {role: infra}}, ingress: [{fromEntities: [remote-node]}]}")
    assert verdict(text, "ip:203.0.113.1", "node:n2") == "deny"
    assert verdict(text, "ip:203.0.113.1", "node:n1") == "allow"
    assert verdict(text, "node:n1", "node:n2") == "allow"
    assert verdict(text, "shop/web", "node:n2") == "deny"
    assert any("hostFirewall.enabled" in note for note in lowered(text).notes)


def test_3_8_a_node_stands_for_those_that_are_not_in_git() -> None:
    found = lowered(ccnp("{nodeSelector: {matchLabels: {role: infra}}, ingress: [{}]}"))
    assert [extra.id for extra in found.vocabulary.extra if extra.kind == "node"] == [
        "host:{role: infra}",
        "node:{role: infra}",
    ]


AGENT = """
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: data, labels: {app: agent}}
spec: {%s hostNetwork: true, containers: [{name: c, image: x}]}
---
"""


def test_1_8_host_network_pods_are_their_node() -> None:
    deny = cnp("{endpointSelector: {matchLabels: {app: api}}, ingress: [{}]}")
    assert verdict(AGENT % "nodeName: n1," + PODS + NODES + deny, "data/agent", "shop/api") == "allow"
    assert verdict(AGENT % "nodeName: n2," + PODS + NODES + deny, "data/agent", "shop/api") == "deny"
    unknown = AGENT % "" + PODS + NODES + deny
    assert verdict(unknown, "data/agent", "shop/api") == "possible"


def test_nodes_are_relative_to_the_pod() -> None:
    deny = PODS + NODES + cnp("{endpointSelector: {matchLabels: {app: api}}, ingress: [{}]}")
    assert [verdict(deny, f"node:{name}", "shop/api") for name in ("n1", "n2")] == ["allow", "deny"]
    assert [verdict(deny, f"host:{name}", "shop/api") for name in ("n1", "n2")] == ["allow", "deny"]
    assert [verdict(deny, f"ip:192.168.10.{n}", "shop/api") for n in (1, 2)] == ["allow", "deny"]


def test_3_3_kube_apiserver() -> None:
    deny = PODS + cnp("{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEntities: [%s]}]}")
    for entity, own, outside in (
        ("kube-apiserver", "allow", "allow"),
        ("remote-node", "allow", "deny"),
        ("world", "deny", "allow"),
        ("cluster", "allow", "allow"),
    ):
        assert verdict(deny % entity, "entity:kube-apiserver", "shop/api") == own
        assert verdict(deny % entity, "entity:kube-apiserver@203.0.113.9", "shop/api") == outside
    side = snapshot(deny % "world")
    found = lower(side, side, "cilium", apiserver="external")
    (extra,) = [extra for extra in found.vocabulary.extra if extra.id == "entity:kube-apiserver"]
    assert extra.attributes["reserved"] == {"kube-apiserver": "", "world": ""}


def test_3_7_names_are_cut_into_pieces() -> None:
    names = "{matchPattern: '*.a.io'}, {matchName: x.a.io}, {matchPattern: 'x.*.io'}, {matchName: b.io}"
    found = lowered(cnp("{endpointSelector: {}, egress: [{toFQDNs: [" + names + "]}]}"))
    pieces = {e.id: sorted(e.attributes["fqdn"]) for e in found.vocabulary.extra if e.kind == "fqdn"}
    assert pieces == {
        "fqdn:*.a.io": ["*.a.io"],
        "fqdn:x.*.io": ["x.*.io"],
        "fqdn:x.a.io": ["*.a.io", "x.*.io", "x.a.io"],
        "fqdn:b.io": ["b.io"],
    }


def test_a_change_of_what_policies_are_resolved_through_is_a_change() -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: data}\nspec: {selector: {app: %s}}\n---\n"
    egress = PODS + cnp("{" + WEB + ", egress: [{toServices: [{k8sService: {serviceName: s, namespace: data}}]}]}")
    reader = Reader()
    base, head = (snapshot(service % app + egress, reader) for app in ("db", "other"))
    found = compare(base, head, lower(base, head, "cilium"), pairs=True)
    assert [(pair.source, pair.destination) for pair in found.pairs or ()].count(("shop/web", "data/db")) == 1
    same = compare(base, base, lower(base, base, "cilium"))
    assert same.changes == ()


def test_gates_and_policies_are_read_once_for_both_sides() -> None:
    reader = Reader()
    text = PODS + cnp("{" + WEB + ", egress: [{toEntities: [all]}]}")
    base, head = snapshot(text, reader), snapshot(text, reader)
    found = lower(base, head, "cilium")
    assert found.base.policies[0] is found.head.policies[0]


def test_a_relabelled_node_is_seen_on_both_sides() -> None:
    text = PODS + NODES + ccnp("{nodeSelector: {matchLabels: {role: infra}}, ingress: [{fromEntities: [cluster]}]}")
    reader = Reader()
    base, head = snapshot(text, reader), snapshot(text.replace("role: worker", "role: infra"), reader)
    found = compare(base, head, lower(base, head, "cilium"), pairs=True)
    closed = {pair.destination for pair in found.pairs or () if pair.source == "internet" and not pair.after}
    assert closed == {"host:n1", "node:n1"}
