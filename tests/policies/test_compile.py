"""Both sides lowered together: what they share, named ports, where pods get their addresses from."""

from __future__ import annotations

import pytest

from bot.manifests.yaml import Reader
from bot.policies import addresses, intervals
from bot.policies.compile import lower
from bot.policies.pod_cidrs import PRIVATE
from bot.policies.terms import UNIVERSE
from bot.policies.traffic import TCP
from tests.policies.worlds import lowered, network_policy, snapshot

NAMED = network_policy("{podSelector: {}, ingress: [{ports: [{port: http}]}]}")


def pod(port: int) -> str:
    ports = f"[{{name: http, containerPort: {port}}}]"
    return f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: shop}}\nspec: {{containers: [{{name: c, ports: {ports}}}]}}\n"


def test_an_unchanged_policy_is_the_identical_one_on_both_sides():
    reader = Reader()
    same, other = network_policy("{podSelector: {}}", "a"), network_policy("{podSelector: {}}", "b")
    base = snapshot(f"{same}---\n{other}", reader)
    head = snapshot(f"{same}---\n{other.replace('podSelector: {}', 'podSelector: {}, ingress: [{}]')}", reader)
    found = lower(base, head)
    assert found.base.policies[0] is found.head.policies[0]
    assert found.base.policies[1] is not found.head.policies[1]
    assert found.base.checkpoints is found.head.checkpoints
    assert found.vocabulary.universe == UNIVERSE


def test_a_named_port_has_the_numbers_of_both_sides():
    reader = Reader()
    found = lower(snapshot(NAMED + pod(80), reader), snapshot(NAMED + pod(81), reader))
    free = found.vocabulary.free_ports[("http", TCP)]
    assert found.vocabulary.port_numbers[("http", TCP)] == tuple(sorted((80, 81, free)))
    assert len(found.base.policies[0].sections[0].rules) == 3
    assert found.base.policies[0] is found.head.policies[0]


def test_a_free_port_is_one_that_no_rule_names():
    free = lowered(NAMED).vocabulary.free_ports[("http", TCP)]
    ranges = [f"{{port: {free - 5}, endPort: {free + 5}}}", f"{{port: {free}, protocol: UDP}}"]
    taken = network_policy(f"{{podSelector: {{}}, egress: [{{ports: [{', '.join(ranges)}]}}]}}", "other")
    found = lowered(f"{NAMED}---\n{taken}")
    other = found.vocabulary.free_ports[("http", TCP)]
    assert not free - 5 <= other <= free + 5
    boxes = [box for policy in found.head.policies for section in policy.sections for rule in section.rules for box in rule.traffic]
    assert sum(box.first & 0xFFFF == other for box in boxes) == 1
    assert lowered(f"{NAMED}---\n{taken}").vocabulary.free_ports == found.vocabulary.free_ports


def test_free_ports_where_ranges_leave_none_are_still_not_named_one_by_one():
    rules = "{ports: [{port: 1, endPort: 40000}]}, {ports: [{port: 40001, endPort: 65535}]}"
    split = network_policy(f"{{podSelector: {{}}, egress: [{rules}]}}", "other")
    assert len(lowered(f"{NAMED}---\n{split}").vocabulary.free_ports) == 1


def test_free_ports_of_many_names_differ():
    items = ", ".join(f"{{port: n{i}}}" for i in range(300))
    found = lowered(network_policy(f"{{podSelector: {{}}, ingress: [{{ports: [{items}]}}]}}"))
    assert len(set(found.vocabulary.free_ports.values())) == 300


@pytest.mark.parametrize(
    ("text", "cidrs"),
    [
        (
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nnetworking: {podSubnet: '10.244.0.0/16,fd00:10::/56'}\n",
            "10.244.0.0/16 fd00:10::/56",
        ),
        ("apiVersion: kind.x-k8s.io/v1alpha4\nkind: Cluster\nnetworking: {podSubnet: 10.1.0.0/16}\n", "10.1.0.0/16"),
        (
            "apiVersion: crd.projectcalico.org/v1\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 192.168.0.0/16}\n---\n"
            "apiVersion: crd.projectcalico.org/v1\nkind: IPPool\nmetadata: {name: q}\nspec: {cidr: 192.0.2.0/24, disabled: true}\n",
            "192.168.0.0/16",
        ),
        (
            "apiVersion: operator.tigera.io/v1\nkind: Installation\nmetadata: {name: default}\n"
            "spec: {calicoNetwork: {ipPools: [{cidr: 10.2.0.0/16}, {cidr: 'fd00:2::/64'}]}}\n",
            "10.2.0.0/16 fd00:2::/64",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cilium-config, namespace: kube-system}\n"
            "data: {cluster-pool-ipv4-cidr: '10.0.0.0/8 100.64.0.0/10'}\n",
            "10.0.0.0/8 100.64.0.0/10",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-flannel-cfg, namespace: kube-system}\n"
            'data: {net-conf.json: \'{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}\'}\n',
            "10.244.0.0/16",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kubeadm-config, namespace: kube-system}\n"
            "data:\n  ClusterConfiguration: |\n    networking:\n      podSubnet: 10.3.0.0/16\n      serviceSubnet: 10.96.0.0/12\n",
            "10.3.0.0/16",
        ),
        (
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: c, namespace: k}\n"
            "spec: {values: {ipam: {operator: {clusterPoolIPv4PodCIDRList: [10.4.0.0/16]}}}}\n",
            "10.4.0.0/16",
        ),
        ("apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nspec: {podCIDR: 10.5.0.0/24, podCIDRs: [10.5.0.0/24]}\n", "10.5.0.0/24"),
        ("apiVersion: crd.projectcalico.org/v1\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 999.0.0.0/16}\n", ""),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: k}\ndata: {cluster-pool-ipv4-cidr: 10.9.0.0/16}\n", ""),
    ],
)
def test_where_pods_get_their_addresses_from(text, cidrs):
    wanted = intervals.normal(pair for cidr in cidrs.split() for pair in addresses.parse_cidr(cidr))
    assert lowered(text).vocabulary.pod_addresses == (wanted or PRIVATE)


def test_what_is_set_of_pod_addresses_holds():
    assert lowered(NAMED).vocabulary.pod_addresses == PRIVATE
    assert lowered(NAMED, pod_cidrs=None).vocabulary.pod_addresses is None
    assert lowered(NAMED, pod_cidrs=((1, 2),)).vocabulary.pod_addresses == ((1, 2),)
