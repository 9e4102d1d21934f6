"""What each CNI enforces, as a table."""

from __future__ import annotations

from typing import NamedTuple

VENDORS = frozenset({"Cilium", "Calico", "Antrea", "OVN-Kubernetes", "AWS", "GKE"})


class Profile(NamedTuple):
    """One CNI: its name in settings, what people call it, and the families of policies that it enforces."""

    name: str
    title: str
    enforces: frozenset[str]


def _profile(name: str, title: str, *enforces: str) -> Profile:
    return Profile(name, title, frozenset(enforces))


PROFILES = {
    profile.name: profile
    for profile in (
        _profile("kubernetes", "plain Kubernetes", "NetworkPolicy", "AdminNetworkPolicy", "ClusterNetworkPolicy"),
        _profile("cilium", "Cilium", "NetworkPolicy", "ClusterNetworkPolicy", "Cilium"),
        _profile("calico", "Calico", "NetworkPolicy", "AdminNetworkPolicy", "ClusterNetworkPolicy", "Calico"),
        _profile("antrea", "Antrea", "NetworkPolicy", "AdminNetworkPolicy", "Antrea"),
        _profile("ovn-kubernetes", "OVN-Kubernetes", "NetworkPolicy", "AdminNetworkPolicy", "OVN-Kubernetes"),
        _profile("kube-network-policies", "kube-network-policies", "NetworkPolicy", "AdminNetworkPolicy", "ClusterNetworkPolicy"),
        _profile("kube-router", "kube-router", "NetworkPolicy"),
        _profile("aws-vpc-cni", "AWS VPC CNI", "NetworkPolicy", "AWS"),
        _profile("azure", "Azure Network Policy Manager", "NetworkPolicy"),
        _profile("gke", "GKE Dataplane V2", "NetworkPolicy", "Cilium", "GKE"),
        _profile("weave", "Weave Net", "NetworkPolicy"),
        _profile("kindnet", "kindnet", "NetworkPolicy"),
        _profile("flannel", "Flannel alone"),
        _profile("kubenet", "kubenet"),
        _profile("none", "a cluster without a network policy controller"),
    )
}
