"""The objects of both sides, or a name, in; the CNI whose rules hold out, with the kinds of policy it ignores and what to say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bot.errors import UsageError
from bot.policies.cni_profiles import PROFILES, VENDORS, Profile

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
_CALICO_POLICIES = ("NetworkPolicy", "GlobalNetworkPolicy")
_POLICY_KINDS = sorted({*_CALICO_POLICIES, *(kind for kind, _ in _FAMILIES)})
# Controllers by the name of what runs them, the most telling first: whoever enforces policies beside flannel comes before it.
_CONTROLLERS = {
    "cilium": "cilium",
    "calico-node": "calico",
    "antrea-agent": "antrea",
    "ovnkube-node": "ovn-kubernetes",
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
    "antrea": "antrea",
    "ovn-kubernetes": "ovn-kubernetes",
    "kube-network-policies": "kube-network-policies",
    "kube-router": "kube-router",
    "aws-vpc-cni": "aws-vpc-cni",
    "flannel": "flannel",
}
_INSTALLERS = ("Installation", "ConfigMap", "HelmRelease", "HelmChart", "Application")
_OF_VENDOR = {
    "Cilium": "cilium",
    "Calico": "calico",
    "Antrea": "antrea",
    "OVN-Kubernetes": "ovn-kubernetes",
    "AWS": "aws-vpc-cni",
    "GKE": "gke",
}


class Choice(NamedTuple):
    """The CNI of a run. `mixed`: several vendors' policies stand side by side, so that none can be said to be ignored."""

    profile: Profile
    notes: tuple[str, ...] = ()
    mixed: bool = False

    def ignores(self, family: str) -> str | None:
        """Why policies of a family have no effect here, or are not analysed; None: they are evaluated."""
        if self.unanalysed(family):
            return f"{family} policies are not analysed yet by this version"
        if family in self.profile.enforces:
            return None
        return f"no effect: {self.profile.title} does not enforce {self._words(family)}"

    def unanalysed(self, family: str | None) -> bool:
        """Whether policies of a family count, and this version cannot say what they do."""
        return family in VENDORS and (self.mixed or family in self.profile.enforces)

    def _words(self, family: str) -> str:
        if not self.profile.enforces:
            return "network policies"
        return f"policies of {family}" if family in VENDORS else family


def family(kind: str, api_version: str) -> str | None:
    """Which policy API a kind belongs to; None: it is no policy that decides about traffic."""
    group = api_version.partition("/")[0] if "/" in api_version else ""
    if group in _CALICO:
        return "Calico" if kind in _CALICO_POLICIES else None
    return _FAMILIES.get((kind, group))


def choose(base: Snapshot, head: Snapshot, name: str | None) -> Choice:
    """The CNI of this name, or what the objects show, or plain Kubernetes. Raises UsageError for a name that is not known."""
    if name is not None:
        profile = PROFILES.get(name)
        if profile is None:
            raise UsageError(f"unknown CNI {name!r}; known are {', '.join(PROFILES)}")
        return Choice(profile, _notes(profile, "set"))
    found, how = _detect(base, head)
    if found is not None:
        return Choice(PROFILES[found], _notes(PROFILES[found], how))
    kinds = {(obj.kind, obj.api_version) for side in (base, head) for obj in side.by_kind(*_POLICY_KINDS)}
    present = sorted({vendor for vendor in (family(*kind) for kind in kinds) if vendor in VENDORS})
    if len(present) == 1:
        profile = PROFILES[_OF_VENDOR[present[0]]]
        return Choice(profile, _notes(profile, f"found by {present[0]} policies"))
    return Choice(PROFILES["kubernetes"], (), bool(present))


def _notes(profile: Profile, how: str) -> tuple[str, ...]:
    if profile.enforces:
        return ()
    return (f"Everything is open: {profile.title} ({how}) enforces no network policies.",)


def _detect(base: Snapshot, head: Snapshot) -> tuple[str | None, str]:
    """What the workloads, Helm releases and operator objects of either side install."""
    found: dict[str, str] = {}
    for side in (head, base):
        controllers = {workload.name for workload in side.workloads} & _CONTROLLERS.keys()
        for workload in side.workloads if controllers else ():
            if workload.name in controllers and workload.kind in ("DaemonSet", "Deployment"):
                name = _CONTROLLERS[workload.name]
                found.setdefault(_with_addon(name, workload.object), f"{workload.kind} {workload.namespace}/{workload.name}")
        for obj in side.by_kind(*_INSTALLERS):
            installed = _installed(obj)
            if installed is not None:
                found.setdefault(installed, f"{obj.kind} {obj.name}")
    for name in dict.fromkeys(_CONTROLLERS.values()):
        if name in found:
            return name, f"found by {found[name]}"
    return None, ""


def _installed(obj: Object) -> str | None:
    spec = obj.value.get("spec")
    if obj.kind == "Installation" and obj.api_version.startswith("operator.tigera.io/"):
        return "calico"
    if obj.kind == "ConfigMap":
        return {"cilium-config": "cilium", "calico-config": "calico", "kube-flannel-cfg": "flannel"}.get(obj.name)
    if not isinstance(spec, dict):
        return None
    if obj.kind == "HelmRelease":
        return _CHARTS.get(str(_at(spec, "chart", "spec", "chart")))
    if obj.kind == "HelmChart" and obj.api_version.startswith("helm.cattle.io/"):
        return _CHARTS.get(str(spec.get("chart")).rpartition("/")[2])
    if obj.kind == "Application" and obj.api_version.startswith("argoproj.io/"):
        return _CHARTS.get(str(_at(spec, "source", "chart")))
    return None


def _with_addon(name: str, obj: Object) -> str:
    """Flannel's own add-on runs kube-network-policies in the same pod (its chart: `netpol.enabled`)."""
    containers = _at(obj.value, "spec", "template", "spec", "containers")
    if name == "flannel" and isinstance(containers, list):
        images = [str(container.get("image")) for container in containers if isinstance(container, dict)]
        if any("kube-network-policies" in image for image in images):
            return "kube-network-policies"
    return name


def _at(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
