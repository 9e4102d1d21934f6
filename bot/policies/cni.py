"""The objects of both sides, or a name, in; the CNI whose rules hold out, with the kinds of policy it ignores and what to say of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from bot.errors import UsageError
from bot.policies.cni_profiles import PROFILES, VENDORS, Profile, Version

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object, Snapshot

_FAMILIES = {
    ("NetworkPolicy", "networking.k8s.io"): "NetworkPolicy",
    ("NetworkPolicy", "extensions"): "NetworkPolicy",
    ("AdminNetworkPolicy", "policy.networking.k8s.io"): "AdminNetworkPolicy",
    ("BaselineAdminNetworkPolicy", "policy.networking.k8s.io"): "AdminNetworkPolicy",
    ("ClusterNetworkPolicy", "policy.networking.k8s.io"): "ClusterNetworkPolicy",
    ("CiliumNetworkPolicy", "cilium.io"): "Cilium",
    ("CiliumClusterwideNetworkPolicy", "cilium.io"): "Cilium",
    ("ClusterNetworkPolicy", "crd.antrea.io"): "Antrea",
    ("NetworkPolicy", "crd.antrea.io"): "Antrea",
    ("EgressFirewall", "k8s.ovn.org"): "OVN-Kubernetes",
    ("ApplicationNetworkPolicy", "networking.k8s.aws"): "AWS",
    ("ClusterNetworkPolicy", "networking.k8s.aws"): "AWS",
    ("FQDNNetworkPolicy", "networking.gke.io"): "GKE",
}
_CALICO = ("projectcalico.org", "crd.projectcalico.org")
_CALICO_POLICIES = (
    "NetworkPolicy",
    "GlobalNetworkPolicy",
    "StagedNetworkPolicy",
    "StagedGlobalNetworkPolicy",
    "StagedKubernetesNetworkPolicy",
)
# Policies of something else: where traffic goes or what address it has, and not whether it may.
_NO_POLICIES = {
    "CiliumBGPPeeringPolicy",
    "CiliumEgressGatewayPolicy",
    "CiliumL2AnnouncementPolicy",
    "CiliumLocalRedirectPolicy",
    "EgressGatewayPolicy",
}
_POLICY_KINDS = sorted({*_CALICO_POLICIES, *(kind for kind, _ in _FAMILIES)})
# Controllers by the name of what runs them.
_CONTROLLERS = {
    "cilium": "cilium",
    "calico-node": "calico",
    "canal": "calico",
    "antrea-agent": "antrea",
    "ovnkube-node": "ovn-kubernetes",
    "kube-ovn-cni": "kube-ovn",
    "anetd": "gke",
    "kube-network-policies": "kube-network-policies",
    "kube-router": "kube-router",
    "azure-npm": "azure",
    "weave-net": "weave",
    "kindnet": "kindnet",
    "aws-node": "aws-vpc-cni",
    "kube-flannel-ds": "flannel",
    "kube-flannel": "flannel",
}
_CHARTS = {
    "cilium": "cilium",
    "tigera-operator": "calico",
    "calico": "calico",
    "rke2-cilium": "cilium",
    "rke2-calico": "calico",
    "rke2-canal": "calico",
    "antrea": "antrea",
    "ovn-kubernetes": "ovn-kubernetes",
    "kube-ovn": "kube-ovn",
    "kube-network-policies": "kube-network-policies",
    "kube-router": "kube-router",
    "aws-vpc-cni": "aws-vpc-cni",
    "flannel": "flannel",
}
# Of several, whoever enforces policies for another's network comes first (Calico for flannel is Canal).
_PRECEDENCE = (
    *("gke", "cilium", "calico", "antrea", "ovn-kubernetes", "kube-ovn", "kube-network-policies", "kube-router"),
    *("azure", "weave", "kindnet", "aws-vpc-cni", "none", "flannel"),
)
_IMAGES = {"calico": "calico/node", "cilium": "cilium/cilium", "antrea": "antrea/", "aws-vpc-cni": "amazon-k8s-cni"}
_OFF = {"aws-vpc-cni": "--enable-network-policy=false", "kube-router": "--run-firewall=false"}
_TAG = r":v?(\d{1,4})\.(\d{1,4})\b"
_INSTALLERS = ("Installation", "ConfigMap", "HelmRelease", "HelmChart", "HelmChartConfig", "Application", "Network")
_CONFIG_MAPS = {
    "cilium-config": "cilium",
    "calico-config": "calico",
    "canal-config": "calico",
    "antrea-config": "antrea",
    "kube-flannel-cfg": "flannel",
}
# What an OpenShift cluster is told to run: operator.openshift.io and config.openshift.io, kind Network.
_OPENSHIFT = {"OVNKubernetes": "ovn-kubernetes", "Calico": "calico", "Cilium": "cilium"}
_ANALYSED = frozenset({"Calico", "Cilium"})
_OF_VENDOR = {
    "Cilium": "cilium",
    "Calico": "calico",
    "Antrea": "antrea",
    "OVN-Kubernetes": "ovn-kubernetes",
    "AWS": "aws-vpc-cni",
    "GKE": "gke",
}


_BOTH = (
    "AdminNetworkPolicy and ClusterNetworkPolicy stand side by side, and what comes first is not defined: they are read as one tier, by"
    " priority."
)


class Choice(NamedTuple):
    """The CNI of a run. `how`: who says so; `version`: of the CNI, where an image tells; `mixed`: several vendors' policies
    stand side by side, so that none can be said to be ignored.
    """

    profile: Profile
    how: str = ""
    version: Version | None = None
    mixed: bool = False

    def enforces(self, family: str) -> bool:
        """Whether policies of a family have an effect."""
        cell = self.profile.apis.get(family)
        return cell is not None and cell.at(self.version)

    def unanalysed(self, family: str | None) -> bool:
        """Whether policies of a family count, and this version cannot say what they do."""
        return family in VENDORS and (self.mixed or (family not in _ANALYSED and self.enforces(str(family))))

    def ignores(self, family: str) -> str | None:
        """Why policies of a family have no effect here, or are not analysed; None: they are evaluated."""
        if self.unanalysed(family):
            return f"{family} policies are not analysed yet by this version"
        if self.enforces(family):
            return None
        of = f"{family} policies" if family in VENDORS else family
        version = "" if self.version is None else f" {self.version[0]}.{self.version[1]}"
        return f"no effect: {self.profile.title}{version} does not enforce {of if self.enforced else 'network policies'}"

    @property
    def cidr_meets_pods(self) -> bool:
        """Whether an ipBlock matches pods by their addresses."""
        cell = self.profile.features.get("ipBlock of pods")
        return cell is None or cell.enforced

    @property
    def enforced(self) -> bool:
        """Whether anything is enforced at all."""
        return any(cell.enforced for cell in self.profile.apis.values())

    def notes(self, families: Iterable[str], conditions: bool = True) -> tuple[str, ...]:
        """What a reader must know of the CNI before anything else, given the families of policies that there are.

        `conditions`: say what their enforcement hangs on, where what reads the policies does not.
        """
        if not self.enforced:
            return (f"Everything is open: {self.profile.title} ({self.how}) enforces no network policies.",)
        out = []
        present = list(families)
        if {"AdminNetworkPolicy", "ClusterNetworkPolicy"} <= {one for one in present if self.enforces(one)}:
            out.append(_BOTH)
        for family in present:
            cell = self.profile.apis.get(family)
            condition = cell.condition(self.version) if cell is not None and cell.at(self.version) else ""
            if conditions and condition and family not in VENDORS:
                out.append(f"{self.profile.title} ({self.how}) enforces {family} {condition}; it is taken to do so here.")
        return tuple(out)


def family(kind: str, api_version: str) -> str | None:
    """Which policy API a kind belongs to; None: it is no policy that decides about traffic."""
    group = api_version.partition("/")[0] if "/" in api_version else ""
    if group in _CALICO:
        return "Calico" if kind in _CALICO_POLICIES else None
    return _FAMILIES.get((kind, group))


def is_unknown_policy(kind: str, api_version: str) -> bool:
    """Whether a kind is of a group of policy APIs, and looks like a policy, and is none that is known."""
    group = api_version.partition("/")[0] if "/" in api_version else ""
    if group == "policy.networking.k8s.io":
        return family(kind, api_version) is None
    policies = group == "networking.k8s.io" or group == "cilium.io" or group in _CALICO
    return policies and kind.endswith("Policy") and kind not in _NO_POLICIES and family(kind, api_version) is None


def families(base: Snapshot, head: Snapshot) -> list[str]:
    """The policy APIs that either side has objects of, in alphabetical order."""
    kinds = {(obj.kind, obj.api_version) for side in (base, head) for obj in side.by_kind(*_POLICY_KINDS)}
    return sorted({found for found in (family(*kind) for kind in kinds) if found is not None})


def choose(base: Snapshot, head: Snapshot, name: str | None) -> Choice:
    """The CNI of this name, or what the objects show, or plain Kubernetes. Raises UsageError for a name that is not known."""
    if name is not None:
        if name not in PROFILES:
            raise UsageError(f"unknown CNI {name!r}; known are {', '.join(PROFILES)}")
        return Choice(PROFILES[name], "as set")
    found = _detect(base, head)
    if found is not None:
        return found
    present = [found for found in families(base, head) if found in VENDORS]
    if len(present) == 1:
        return Choice(PROFILES[_OF_VENDOR[present[0]]], f"found by its {present[0]} policies")
    return Choice(PROFILES["kubernetes"], "by default", None, bool(present))


def _detect(base: Snapshot, head: Snapshot) -> Choice | None:
    """What the workloads, Helm releases and operator objects of either side install; of several, who enforces policies."""
    found: dict[str, Choice] = {}
    for side in (head, base):
        controllers = {workload.name for workload in side.workloads} & _CONTROLLERS.keys()
        for workload in side.workloads if controllers else ():
            if workload.name in controllers and workload.kind in ("DaemonSet", "Deployment"):
                containers = _containers(workload.object)
                name = _enforcer(_CONTROLLERS[workload.name], containers)
                how = f"found by {workload.kind} {workload.namespace}/{workload.name}"
                found.setdefault(name, Choice(PROFILES[name], how, _version(name, containers)))
        for obj in side.by_kind(*_INSTALLERS):
            installed = _installed(obj)
            if installed is not None:
                found.setdefault(installed, Choice(PROFILES[installed], f"found by {obj.kind} {obj.name}"))
    return next((found[name] for name in _PRECEDENCE if name in found), None)


def _installed(obj: Object) -> str | None:
    spec = obj.value.get("spec")
    if obj.kind == "Installation" and obj.api_version.startswith("operator.tigera.io/"):
        return "calico"
    if obj.kind == "ConfigMap":
        # Older releases of Antrea have a digest behind the name.
        return _CONFIG_MAPS.get(re.sub(r"^antrea-config-\w{10}$", "antrea-config", obj.name))
    if obj.kind == "HelmChartConfig":
        return _CHARTS.get(obj.name) if obj.api_version.startswith("helm.cattle.io/") else None
    if not isinstance(spec, dict):
        return None
    if obj.kind == "HelmRelease":
        return _CHARTS.get(str(_at(spec, "chart", "spec", "chart")))
    if obj.kind == "HelmChart" and obj.api_version.startswith("helm.cattle.io/"):
        return _CHARTS.get(str(spec.get("chart")).rpartition("/")[2])
    if obj.kind == "Application" and obj.api_version.startswith("argoproj.io/"):
        listed = spec.get("sources")
        sources = [spec.get("source"), *(listed if isinstance(listed, list) else ())]
        return next((_CHARTS[chart] for source in sources if (chart := str(_at(source, "chart"))) in _CHARTS), None)
    if obj.kind == "Network" and obj.api_version.partition("/")[0].endswith(".openshift.io"):
        return _OPENSHIFT.get(str(_at(spec, "defaultNetwork", "type") or _at(spec, "networkType")))
    return None


def _containers(obj: Object) -> list[tuple[str, list[str]]]:
    """(image, arguments) of each container of a workload."""
    listed = _at(obj.value, "spec", "template", "spec", "containers")
    out = []
    for container in listed if isinstance(listed, list) else ():
        if isinstance(container, dict):
            arguments = [item for key in ("command", "args") if isinstance(container.get(key), list) for item in container[key]]
            out.append((str(container.get("image")), [str(argument) for argument in arguments]))
    return out


def _enforcer(name: str, containers: list[tuple[str, list[str]]]) -> str:
    """Flannel's own add-on runs kube-network-policies in its pod; AWS' agent and kube-router can be told not to enforce."""
    if name == "flannel" and any("kube-network-policies" in image for image, _ in containers):
        return "kube-network-policies"
    return "none" if any(_OFF.get(name) in arguments for _, arguments in containers) else name


def _version(name: str, containers: list[tuple[str, list[str]]]) -> Version | None:
    """The version in the tag of the image that enforces."""
    for image, _ in containers:
        found = re.search(_TAG, image)
        if found is not None and _IMAGES.get(name, "?") in image:
            return int(found[1]), int(found[2])
    return None


def _at(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
