"""Which CNI there is, what of the policies it ignores, and what a reader is told of it."""

from __future__ import annotations

import pytest

from bot.errors import UsageError
from bot.policies.cni_profiles import PROFILES, Cell
from tests.policies.worlds import lowered, network_policy, problems

NP = network_policy("{podSelector: {}}") + "---\n"
ANP = (
    "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: a}\n"
    "spec: {priority: 1, subject: {namespaces: {}}}\n---\n"
)
CNP = (
    "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: c}\n"
    "spec: {tier: Admin, priority: 1, subject: {namespaces: {}}}\n---\n"
)
CILIUM = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: c, namespace: shop}\nspec: {endpointSelector: {}}\n---\n"
CALICO = "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: k, namespace: shop}\nspec: {selector: all()}\n---\n"
ANTREA = (
    "apiVersion: crd.antrea.io/v1beta1\nkind: ClusterNetworkPolicy\nmetadata: {name: deny}\nspec: {priority: 1}\n---\n"
)
IN_OPS = "metadata: {name: network, namespace: ops}"


def daemon_set(name: str, image: str = "x", args: str = "[]") -> str:
    container = f"{{name: c, image: '{image}', args: {args}}}"
    spec = f"{{selector: {{}}, template: {{metadata: {{labels: {{k: v}}}}, spec: {{containers: [{container}]}}}}}}"
    return (
        f"apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: {name}, namespace: kube-system}}\nspec: {spec}\n---\n"
    )


def cni(text: str) -> str:
    return lowered(NP + text).vocabulary.cni


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "kubernetes"),
        (CILIUM, "cilium"),
        (CALICO, "calico"),
        (ANTREA, "antrea"),
        (CILIUM + CALICO, "kubernetes"),
        (daemon_set("kube-flannel-ds"), "flannel"),
        (daemon_set("kube-flannel-ds") + daemon_set("calico-node"), "calico"),
        (
            daemon_set("kube-flannel-ds", "registry.k8s.io/networking/kube-network-policies:v0.7.0"),
            "kube-network-policies",
        ),
        (daemon_set("kube-flannel-ds") + daemon_set("kube-router"), "kube-router"),
        (daemon_set("kube-router", args="[--run-firewall=false]"), "none"),
        (daemon_set("aws-node"), "aws-vpc-cni"),
        (daemon_set("aws-node", args="[--enable-network-policy=false]"), "none"),
        (daemon_set("anetd"), "gke"),
        ("apiVersion: operator.tigera.io/v1\nkind: Installation\nmetadata: {name: default}\nspec: {}\n", "calico"),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cilium-config, namespace: kube-system}\ndata: {a: b}\n",
            "cilium",
        ),
        (
            f"apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n{IN_OPS}\nspec: {{chart: {{spec: {{chart: antrea}}}}}}\n",
            "antrea",
        ),
        (f"apiVersion: helm.cattle.io/v1\nkind: HelmChart\n{IN_OPS}\nspec: {{chart: repo/kube-ovn}}\n", "kube-ovn"),
        (
            f"apiVersion: argoproj.io/v1alpha1\nkind: Application\n{IN_OPS}\nspec: {{source: {{chart: cilium}}}}\n",
            "cilium",
        ),
        (
            f"apiVersion: argoproj.io/v1alpha1\nkind: Application\n{IN_OPS}\nspec: {{sources: [{{ref: x}}, {{chart: cilium}}]}}\n",
            "cilium",
        ),
        (daemon_set("canal"), "calico"),
        (
            f"apiVersion: helm.cattle.io/v1\nkind: HelmChartConfig\n{IN_OPS.replace('network', 'rke2-canal')}\nspec: {{}}\n",
            "calico",
        ),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: canal-config}\ndata: {a: b}\n", "calico"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: antrea-config-8b5g2dmkhd}\ndata: {a: b}\n", "antrea"),
        (
            "apiVersion: operator.openshift.io/v1\nkind: Network\nmetadata: {name: cluster}\n"
            "spec: {defaultNetwork: {type: OVNKubernetes}}\n",
            "ovn-kubernetes",
        ),
        (
            "apiVersion: config.openshift.io/v1\nkind: Network\nmetadata: {name: cluster}\nspec: {networkType: Calico}\n",
            "calico",
        ),
    ],
)
def test_the_cni_is_found(text, expected):
    assert cni(text) == expected


def test_a_name_that_is_set_wins_and_an_unknown_one_is_wrong_use():
    assert lowered(NP + CILIUM, cni="antrea").vocabulary.cni == "antrea"
    with pytest.raises(UsageError, match="unknown CNI 'celium'; known are kubernetes, cilium"):
        lowered(NP, cni="celium")


def test_a_kind_that_the_cni_ignores_has_no_effect_and_is_named():
    found = lowered(NP + CILIUM + ANP, cni="kube-router")
    assert [policy.title for policy in found.head.policies] == ["NetworkPolicy shop/p"]
    assert sorted((p.object.name, p.reason, p.refused) for p in found.problems_head) == [
        ("a", "no effect: kube-router does not enforce AdminNetworkPolicy", False),
        ("c", "no effect: kube-router does not enforce Cilium policies", False),
    ]


@pytest.mark.parametrize("name", ["flannel", "kubenet", "none"])
def test_where_nothing_is_enforced_everything_is_open_and_the_first_note_says_so(name):
    found = lowered(NP, cni=name)
    assert found.head.policies == ()
    assert found.notes[0].startswith("Everything is open: ")
    assert [(p.reason.partition(":")[0], p.refused) for p in found.problems_head] == [("no effect", False)]


@pytest.mark.parametrize(("text", "count"), [(ANTREA, 1), (CILIUM + CALICO, 2)])
def test_policies_that_count_and_are_not_analysed_make_the_review_incomplete(text, count):
    found = problems(NP + text)
    assert [(reason.partition(" policies ")[2], refused) for _, reason, refused in found] == [
        ("are not analysed yet by this version", True)
    ] * count


def titles(found):
    return [policy.title for policy in found.head.policies if policy.object is not None]


def test_the_version_of_an_image_decides_where_it_is_known():
    old, new = (
        daemon_set("calico-node", "docker.io/calico/node:v3.31.2"),
        daemon_set("calico-node", "calico/node:v3.32.0"),
    )
    assert titles(lowered(ANP + CNP + old)) == ["AdminNetworkPolicy a (priority 1)"]
    assert titles(lowered(ANP + CNP + new)) == ["ClusterNetworkPolicy c (Admin, priority 1)"]
    unknown = lowered(ANP + CNP + daemon_set("calico-node"))
    assert len(titles(unknown)) == 2
    assert sum("from version 3." in note for note in unknown.notes) == 2


def test_what_a_cni_enforces_on_a_condition_is_said():
    (note,) = lowered(NP + daemon_set("aws-node")).notes
    assert "where the network policy controller is enabled" in note


def test_cidrs_do_not_meet_pods_under_cilium():
    assert not lowered(NP, cni="cilium").vocabulary.cidr_meets_pods
    assert lowered(NP).vocabulary.cidr_meets_pods


def test_every_cell_has_a_source_and_every_cni_says_what_it_does_with_network_policy():
    for name, profile in PROFILES.items():
        assert (profile.name, "NetworkPolicy" in profile.apis) == (name, True)
        for cell in (*profile.apis.values(), *profile.features.values()):
            assert cell.source.startswith("https://")


def test_versions_of_a_cell():
    cell = Cell(True, "https://example.org", since=(3, 29), until=(3, 31))
    assert [cell.at(version) for version in ((3, 28), (3, 29), (3, 31), (3, 32), None)] == [
        False,
        True,
        True,
        False,
        True,
    ]
    assert cell.condition(None) == "from version 3.29 to 3.31"
    assert cell.condition((3, 30)) == ""


@pytest.mark.parametrize(
    "kind",
    ["CiliumEgressGatewayPolicy", "CiliumLocalRedirectPolicy", "CiliumBGPPeeringPolicy", "CiliumL2AnnouncementPolicy"],
)
def test_policies_about_something_else_are_none(kind):
    found = lowered(NP + f"apiVersion: cilium.io/v2\nkind: {kind}\nmetadata: {{name: p}}\nspec: {{}}\n", cni="cilium")
    assert found.problems_head == ()


def test_two_admin_apis_side_by_side_are_said_to_have_no_order():
    old = "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {name: a}\n"
    new = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: b}\n"
    spec = "spec: {priority: 1, subject: {namespaces: {}}}\n---\n"
    both = old + spec + new + spec.replace("{priority", "{tier: Admin, priority")
    assert "what comes first is not defined" in lowered(both).notes[0]
    assert lowered(old + spec).notes == ()
