"""What each Kubernetes kind is to netreach: skipped, cluster-scoped, looked at, or with a pod template (and where)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

SKIPPED = frozenset(
    {
        "Secret", "SealedSecret", "ExternalSecret", "SecretStore", "ClusterSecretStore", "CustomResourceDefinition",
        "Role", "ClusterRole", "PersistentVolume", "PersistentVolumeClaim",
        "StorageClass", "VolumeSnapshot", "VolumeSnapshotClass", "CSIDriver", "PodDisruptionBudget",
        "HorizontalPodAutoscaler", "VerticalPodAutoscaler", "ScaledObject", "PriorityClass", "RuntimeClass",
        "ResourceQuota", "LimitRange", "Lease", "Event", "PrometheusRule", "Issuer",
        "ClusterIssuer", "Certificate", "CertificateRequest", "PodSecurityPolicy", "GrafanaDashboard", "ImageStream",
        "BuildConfig", "SecurityContextConstraints", "ConfigMap",
    }
)  # fmt: skip
"""Kinds that no part of netreach reads: their documents are not even parsed (but for small ConfigMaps, and Roles to make pods)."""

BESIDE = frozenset(
    {
        "ConfigMap", "Role", "RoleBinding", "ClusterRoleBinding", "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration", "APIService", "ServiceMonitor", "PodMonitor", "Prometheus", "Alertmanager",
    }
)  # fmt: skip
"""Kinds that only lint looks at: one that cannot be read leaves no gap."""

_SMALL = 20_000
_OF_PODS = re.compile(r"(?<![\w/-])pods(?![\w/-])")
_SETTINGS_OF_A_CNI = re.compile(r"cilium|calico|canal|antrea|flannel|kubeadm|[cC][nN][iI]|podSubnet|cluster-pool")

CLUSTER_SCOPED = frozenset(
    {
        "Namespace", "Node", "PersistentVolume", "StorageClass", "PriorityClass", "RuntimeClass", "CSIDriver",
        "ClusterRole", "ClusterRoleBinding", "IngressClass", "GatewayClass", "CustomResourceDefinition", "APIService",
        "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
        "CertificateSigningRequest", "FlowSchema", "PriorityLevelConfiguration", "ServiceCIDR", "IPAddress",
        "AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy",
        "CiliumClusterwideNetworkPolicy", "CiliumClusterwideEnvoyConfig", "CiliumCIDRGroup", "CiliumNode",
        "CiliumIdentity", "CiliumPodIPPool", "CiliumLoadBalancerIPPool", "CiliumEgressGatewayPolicy",
        "GlobalNetworkPolicy", "StagedGlobalNetworkPolicy", "GlobalNetworkSet", "Tier", "HostEndpoint", "IPPool",
        "IPReservation", "Profile", "BGPConfiguration", "BGPPeer", "BGPFilter", "FelixConfiguration",
        "ClusterInformation", "KubeControllersConfiguration", "Installation",
        "ClusterPolicy", "GeneratingPolicy", "ClusterCleanupPolicy", "GlobalContextEntry", "ClusterIssuer",
        "Project", "Network", "ClusterVersion",
    }
)  # fmt: skip
"""Kinds without a namespace; whatever is not named here is taken to be namespaced."""

_READ = frozenset(
    {
        "NetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy", "Namespace",
        "Service", "Endpoints", "EndpointSlice", "Ingress", "Node", "ServiceAccount",
        "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute", "ReferenceGrant", "Route",
    }
)  # fmt: skip
_READ_GROUPS = frozenset({"cilium.io", "projectcalico.org"})

OUTSIDE_FIELDS = frozenset({"host", "hosts", "hostname", "hostnames", "tls", "path", "matches", "parentRefs"})
"""Fields of Ingresses and routes that say where requests come in, and nothing of which pods they reach."""

EXPOSING = frozenset({"Ingress", "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute", "Route"})

_NAMELESS_GROUPS = frozenset({"kubeadm.k8s.io", "kind.x-k8s.io", "k3d.io", "kubeproxy.config.k8s.io"})
"""Groups of configuration files, whose objects have no name and may tell where pods get their addresses from."""

_POD: tuple[str, ...] = ()
_TEMPLATE = ("spec", "template")
_JOB_TEMPLATE = ("spec", "jobTemplate", "spec", "template")
_WORKLOADS: dict[tuple[str, str], tuple[str, ...]] = {
    ("Pod", ""): _POD,
    ("ReplicationController", ""): _TEMPLATE,
    ("CronJob", "batch"): _JOB_TEMPLATE,
    ("Job", "batch"): _TEMPLATE,
    ("DeploymentConfig", "apps.openshift.io"): _TEMPLATE,
    ("DeploymentConfig", ""): _TEMPLATE,
    ("Rollout", "argoproj.io"): _TEMPLATE,
    ("Service", "serving.knative.dev"): _TEMPLATE,
}
_WORKLOADS |= {
    (kind, group): _TEMPLATE
    for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
    for group in ("apps", "extensions")
}
_KINDS = frozenset(kind for kind, _ in _WORKLOADS)


@lru_cache(maxsize=1024)
def group_of(api_version: str) -> str:
    """The API group of an apiVersion ('' for the core group); both of Calico's are projectcalico.org."""
    group = api_version.rpartition("/")[0]
    return "projectcalico.org" if group == "crd.projectcalico.org" else group


@lru_cache(maxsize=1024)
def kind_group(kind: str, api_version: str) -> str:
    """What tells objects of one namespace and name apart: `Service`, `NetworkPolicy.networking.k8s.io`."""
    group = group_of(api_version)
    return f"{kind}.{group}" if group else kind


class Traits(NamedTuple):
    """A kind of one API group. `template`: where its pod template is, () for a Pod, None where it is not known to have one.

    `read`: it has a part in reachability, so that one which cannot be read leaves a gap. `nameless`: a configuration file.
    """

    template: tuple[str, ...] | None
    read: bool
    cluster_scoped: bool
    nameless: bool


@lru_cache(maxsize=1024)
def traits(kind: str, api_version: str) -> Traits:
    """What objects of a kind are to netreach."""
    group = group_of(api_version)
    template = _WORKLOADS.get((kind, group))
    read = template is None and (kind in _READ or group in _READ_GROUPS)
    return Traits(template, read, kind in CLUSTER_SCOPED, group in _NAMELESS_GROUPS)


def is_familiar(kind: str) -> bool:
    """Whether a kind, whatever its group, is one that netreach looks at."""
    return kind in _READ or kind in _KINDS


_KIND = re.compile(r"kind:[ \t]*([A-Za-z]+)[ \t]*\n")
_FIRST_LINE = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*[A-Za-z]\w*:[ \n]")
_UNUSUAL_LINE = re.compile("\n(?![ \t\n#]|[A-Za-z]\\w*:[ \n]|- )|[\x85\u2028\u2029]")


def is_skipped(text: str) -> bool:
    """Whether a document, unparsed, surely is one object of a skipped kind."""
    kind = _only_kind(text, SKIPPED)
    if kind == "ConfigMap" and (len(text) <= _SMALL or _SETTINGS_OF_A_CNI.search(text)):
        return False
    return bool(kind) and not (kind == "Role" and ("create" in text or "*" in text) and _OF_PODS.search(text))


def is_beside(text: str) -> bool:
    """Whether a document, unparsed, surely is one object of a kind that only lint looks at."""
    return bool(_only_kind(text, BESIDE))


def _only_kind(text: str, kinds: frozenset[str]) -> str:
    """The kind of the only object of a document, where that is sure, and one of these; else nothing.

    Sure means a block mapping at column 0 of which every line there begins with a plain key, and one of them is `kind`:
    neither a quoted string nor a flow mapping (nor a line break that only YAML knows) can then hide another kind.
    """
    at = 0 if text.startswith("kind:") else text.find("\nkind:") + 1
    found = _KIND.match(text, at)
    if found is None or found[1] not in kinds or text.find("\nkind:", at) >= 0:
        return ""
    sure = _FIRST_LINE.match(text) is not None and _UNUSUAL_LINE.search(text, 0, len(text) - 1) is None
    return found[1] if sure else ""
