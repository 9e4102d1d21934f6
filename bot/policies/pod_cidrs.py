"""The objects of both sides in; the range that pods get their addresses from out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.policies import addresses, intervals
from bot.policies.intervals import Intervals

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object, Snapshot

PRIVATE: Intervals = intervals.normal(
    pair
    for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
    for pair in addresses.parse_cidr(cidr)
)
_CIDR = r"[0-9a-fA-F:.]+/\d{1,3}"
_SUBNET = r"(?m)^\s*podSubnet:\s*[\"']?([^\s\"'#]+)"
_FLANNEL = r'"(?:Network|IPv6Network)"\s*:\s*"([^"]+)"'
# Where each kind says it: the kind, how its apiVersion begins, and paths to a CIDR, a list of them, or a list of mappings.
_PLACES: tuple[tuple[str, str, tuple[tuple[str, ...], ...]], ...] = (
    ("ClusterConfiguration", "kubeadm.k8s.io/", (("networking", "podSubnet"),)),
    ("KubeProxyConfiguration", "kubeproxy.config.k8s.io/", (("clusterCIDR",),)),
    ("Cluster", "kind.x-k8s.io/", (("networking", "podSubnet"),)),
    ("Cluster", "cluster.x-k8s.io/", (("spec", "clusterNetwork", "pods", "cidrBlocks"),)),
    ("IPPool", "crd.projectcalico.org/", (("spec", "cidr"),)),
    ("IPPool", "projectcalico.org/", (("spec", "cidr"),)),
    ("Installation", "operator.tigera.io/", (("spec", "calicoNetwork", "ipPools", "cidr"),)),
    ("CiliumPodIPPool", "cilium.io/", (("spec", "ipv4", "cidrs"), ("spec", "ipv6", "cidrs"))),
    (
        "HelmRelease",
        "helm.toolkit.fluxcd.io/",
        (
            ("spec", "values", "ipam", "operator", "clusterPoolIPv4PodCIDRList"),
            ("spec", "values", "ipam", "operator", "clusterPoolIPv6PodCIDRList"),
            ("spec", "values", "installation", "calicoNetwork", "ipPools", "cidr"),
            ("spec", "values", "podCidr"),
        ),
    ),
    ("Node", "v1", (("spec", "podCIDR"), ("spec", "podCIDRs"))),
)
_CONFIG_MAPS = {
    "cilium-config": ("cluster-pool-ipv4-cidr", "cluster-pool-ipv6-cidr"),
    "kubeadm-config": ("ClusterConfiguration",),
    "kube-flannel-cfg": ("net-conf.json",),
}
_KINDS = sorted({"ConfigMap", *(kind for kind, _, _ in _PLACES)})


def pod_addresses(base: Snapshot, head: Snapshot) -> Intervals:
    """What either side says of it; where neither does, RFC 1918 and fc00::/7."""
    found: list[tuple[int, int]] = []
    for side in (base, head):
        for obj in side.by_kind(*_KINDS):
            for text in _texts(obj):
                for cidr in re.findall(_CIDR, text):
                    try:
                        found.extend(addresses.parse_cidr(cidr))
                    except ValueError:
                        continue
    return intervals.normal(found) or PRIVATE


def _texts(obj: Object) -> Iterator[str]:
    if obj.kind == "ConfigMap":
        data = obj.value.get("data")
        for key in _CONFIG_MAPS.get(obj.name, ()):
            text = data.get(key) if isinstance(data, dict) else None
            if isinstance(text, str):
                pattern = {"ClusterConfiguration": _SUBNET, "net-conf.json": _FLANNEL}.get(key)
                yield from re.findall(pattern, text) if pattern is not None else [text]
        return
    if obj.kind == "IPPool" and _disabled(obj):
        return
    for kind, prefix, paths in _PLACES:
        if obj.kind == kind and obj.api_version.startswith(prefix):
            for path in paths:
                yield from _follow(obj.value, path)


def _disabled(obj: Object) -> bool:
    spec = obj.value.get("spec")
    return isinstance(spec, dict) and spec.get("disabled") is True


def _follow(value: object, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _follow(item, path)
    elif path:
        yield from _follow(value.get(path[0]) if isinstance(value, dict) else None, path[1:])
    elif isinstance(value, str):
        yield value
