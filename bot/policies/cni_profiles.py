"""What each CNI enforces of each policy API and feature, as a table, with the source of each cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Version = tuple[int, int]
VENDORS = frozenset({"Cilium", "Calico", "Antrea", "OVN-Kubernetes", "AWS", "GKE"})

_NP = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"
_API = "https://network-policy-api.sigs.k8s.io/"
_LIST = "https://network-policy-api.sigs.k8s.io/implementations/"
_CILIUM = "https://docs.cilium.io/en/stable/network/kubernetes/policy/"
_CALICO = "https://docs.tigera.io/calico/latest/network-policy/"
_ANTREA = "https://antrea.io/docs/main/docs/admin-network-policy/"
_OVN = "https://docs.redhat.com/en/documentation/openshift_container_platform/4.18/html/network_security/network-policy-apis"
_KNP = "https://kube-network-policies.sigs.k8s.io/"
_KUBE_ROUTER = "https://github.com/cloudnativelabs/kube-router"
_EKS = "https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html"
_AKS = "https://learn.microsoft.com/en-us/azure/aks/use-network-policies"
_GKE = "https://cloud.google.com/kubernetes-engine/docs/concepts/dataplane-v2"
_WEAVE = "https://github.com/weaveworks/weave/blob/master/site/kubernetes/kube-addon.md"
_KIND = "https://github.com/kubernetes-sigs/kind/issues/842"
_FLANNEL = "https://github.com/flannel-io/flannel/blob/master/README.md"


class Cell(NamedTuple):
    """Whether something is enforced, by which source; `since` and `until`: the first and the last version; `if_`: on what condition."""

    enforced: bool
    source: str
    since: Version | None = None
    until: Version | None = None
    if_: str = ""

    def at(self, version: Version | None) -> bool:
        """Whether it is enforced in a version; in one that is not known it is taken to be, and `condition` says so."""
        if not self.enforced or version is None:
            return self.enforced
        return (self.since is None or version >= self.since) and (self.until is None or version <= self.until)

    def condition(self, version: Version | None) -> str:
        """What it hangs on that is not known, in words."""
        words = []
        if version is None and self.since is not None:
            words.append(f"from version {_words(self.since)}" + (f" to {_words(self.until)}" if self.until else ""))
        if self.if_:
            words.append(self.if_)
        return ", ".join(words)


def _words(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


class Profile(NamedTuple):
    """One CNI: its name in settings, what people call it, the policy APIs it enforces, and features of NetworkPolicy.

    An API that is not in `apis` is not enforced; of a feature that is not in `features` nothing is known.
    """

    name: str
    title: str
    apis: Mapping[str, Cell]
    features: Mapping[str, Cell]


def _yes(source: str, since: Version | None = None, until: Version | None = None, if_: str = "") -> Cell:
    return Cell(True, source, since, until, if_)


def _no(source: str) -> Cell:
    return Cell(False, source)


_ALL = (
    Profile(
        "kubernetes",
        "plain Kubernetes",
        {"NetworkPolicy": _yes(_NP), "AdminNetworkPolicy": _yes(_API), "ClusterNetworkPolicy": _yes(_API)},
        {"endPort": _yes(_NP), "SCTP": _yes(_NP), "namedPort": _yes(_NP), "ipBlock of pods": _yes(_NP)},
    ),
    Profile(
        "cilium",
        "Cilium",
        {
            "NetworkPolicy": _yes(_CILIUM),
            "AdminNetworkPolicy": _no(_LIST),
            "ClusterNetworkPolicy": _yes(
                "https://github.com/cilium/cilium/issues/23380", if_="where enable-k8s-cluster-network-policy is set"
            ),
            "Cilium": _yes(_CILIUM),
        },
        {
            "endPort": _yes("https://github.com/cilium/cilium/pull/33389", since=(1, 16)),
            "SCTP": _yes("https://docs.cilium.io/en/stable/configuration/sctp/", if_="where sctp.enabled is set"),
            "ipBlock of pods": _no("https://github.com/cilium/cilium/issues/9209"),
        },
    ),
    Profile(
        "calico",
        "Calico",
        {
            "NetworkPolicy": _yes(_CALICO),
            "AdminNetworkPolicy": _yes(_LIST, since=(3, 29), until=(3, 31)),
            "ClusterNetworkPolicy": _yes(_LIST, since=(3, 32)),
            "Calico": _yes(_CALICO),
        },
        {
            "endPort": _yes("https://github.com/projectcalico/libcalico-go/pull/1357"),
            "SCTP": _yes("https://github.com/projectcalico/libcalico-go/pull/1182"),
            "namedPort": _yes(_CALICO),
            "ipBlock of pods": _yes(_CALICO),
        },
    ),
    Profile(
        "antrea",
        "Antrea",
        {
            "NetworkPolicy": _yes("https://antrea.io/docs/main/docs/antrea-network-policy/"),
            "AdminNetworkPolicy": _yes(_ANTREA, since=(1, 13), if_="where the feature gate AdminNetworkPolicy is on"),
            "ClusterNetworkPolicy": _no(_LIST),
            "Antrea": _yes("https://antrea.io/docs/main/docs/antrea-network-policy/"),
        },
        {},
    ),
    Profile(
        "ovn-kubernetes",
        "OVN-Kubernetes",
        {
            "NetworkPolicy": _yes(_OVN),
            "AdminNetworkPolicy": _yes(_OVN),
            "ClusterNetworkPolicy": _no(_LIST),
            "OVN-Kubernetes": _yes("https://ovn-kubernetes.io/features/network-security-controls/egress-firewall/"),
        },
        {},
    ),
    Profile(
        "kube-ovn",
        "Kube-OVN",
        {"NetworkPolicy": _yes(_LIST), "AdminNetworkPolicy": _yes(_LIST), "ClusterNetworkPolicy": _yes(_LIST)},
        {},
    ),
    Profile(
        "kube-network-policies",
        "kube-network-policies",
        {
            "NetworkPolicy": _yes(_KNP),
            "AdminNetworkPolicy": _yes(_LIST, if_="in the build for it (install-anp.yaml)"),
            "ClusterNetworkPolicy": _yes(_LIST, if_="in the build for it"),
        },
        {"endPort": _yes(_KNP), "SCTP": _yes(_KNP), "namedPort": _yes(_KNP), "ipBlock of pods": _yes(_KNP)},
    ),
    Profile(
        "kube-router",
        "kube-router",
        {"NetworkPolicy": _yes(_KUBE_ROUTER), "AdminNetworkPolicy": _no(_LIST), "ClusterNetworkPolicy": _no(_LIST)},
        {"endPort": _yes(f"{_KUBE_ROUTER}/pull/1080"), "SCTP": _no(f"{_KUBE_ROUTER}/issues/1019")},
    ),
    Profile(
        "aws-vpc-cni",
        "AWS VPC CNI",
        {
            "NetworkPolicy": _yes(_EKS, since=(1, 14), if_="where the network policy controller is enabled"),
            "AdminNetworkPolicy": _no(_LIST),
            "ClusterNetworkPolicy": _no(_LIST),
            "AWS": _yes("https://docs.aws.amazon.com/eks/latest/userguide/auto-net-pol.html"),
        },
        {},
    ),
    Profile(
        "azure",
        "Azure Network Policy Manager",
        {"NetworkPolicy": _yes(_AKS), "AdminNetworkPolicy": _no(_LIST), "ClusterNetworkPolicy": _no(_LIST)},
        {},
    ),
    Profile(
        "gke",
        "GKE Dataplane V2",
        {
            "NetworkPolicy": _yes(_GKE),
            "AdminNetworkPolicy": _no(_LIST),
            "ClusterNetworkPolicy": _no(_LIST),
            "Cilium": _yes("https://cloud.google.com/kubernetes-engine/docs/how-to/configure-cilium-network-policy"),
            "GKE": _yes("https://cloud.google.com/kubernetes-engine/docs/how-to/fqdn-network-policies"),
        },
        {"ipBlock of pods": _no("https://github.com/cilium/cilium/issues/9209")},
    ),
    Profile(
        "weave",
        "Weave Net",
        {"NetworkPolicy": _yes(_WEAVE), "AdminNetworkPolicy": _no(_LIST), "ClusterNetworkPolicy": _no(_LIST)},
        {"namedPort": _no("https://github.com/weaveworks/weave/issues/3032")},
    ),
    Profile(
        "kindnet",
        "kindnet",
        {
            "NetworkPolicy": _yes(_KIND, if_="from kind 0.24"),
            "AdminNetworkPolicy": _no(_LIST),
            "ClusterNetworkPolicy": _no(_LIST),
        },
        {},
    ),
    Profile("flannel", "Flannel alone", {"NetworkPolicy": _no(_FLANNEL)}, {}),
    Profile("kubenet", "kubenet", {"NetworkPolicy": _no(_AKS)}, {}),
    Profile("none", "a cluster without a network policy controller", {"NetworkPolicy": _no(_NP)}, {}),
)
PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in _ALL}
