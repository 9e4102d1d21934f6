"""One side in; out, everything that Calico policies are resolved through: sets, host endpoints, tiers, accounts, services.

Labels: libcalico-go, updateprocessors `networksetprocessor.go`, `hostendpointprocessor.go`; conversion.go `NamespaceToProfile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.policies import addresses, intervals
from bot.policies.calico import validation
from bot.policies.calico.ports import protocol_number
from bot.policies.intervals import Intervals
from bot.policies.model import Expr, InAddresses, InNamespace, Label, conjunction
from bot.policies.nodes import Nodes, read_nodes
from bot.policies.own_node import on_every_node
from bot.policies.traffic import PROTOCOLS

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object, Snapshot

NAMESPACE, ORCHESTRATOR, ACCOUNT = (
    "projectcalico.org/namespace",
    "projectcalico.org/orchestrator",
    "projectcalico.org/serviceaccount",
)
NAME = "projectcalico.org/name"
PER_NAMESPACE, PER_ACCOUNT = "pcns.", "pcsa."
ALLOW_ALL = "projectcalico-default-allow"
DEFAULT = "default"
Account = tuple[str, str]
_GROUPS = ("projectcalico.org/", "crd.projectcalico.org/")


class Addressed(NamedTuple):
    """An object with labels that stands for addresses: a network set, or a host endpoint by its `expectedIPs`.

    `ports`: a host endpoint's named ports, (name, protocol, number).
    """

    labels: Mapping[str, str]
    addresses: Intervals
    ports: tuple[tuple[str, int, int], ...] = ()


class Host(NamedTuple):
    """A host endpoint. `interface` is '*' for all of them, '' where the expected addresses tell which; `profiles` in order."""

    name: str
    node: str
    interface: str
    addresses: Intervals
    labels: Mapping[str, str]
    profiles: tuple[str, ...]
    object: Object


class TierSpec(NamedTuple):
    """A tier: its order (None stands last) and whether unmatched traffic ends there or goes on: `deny` or `pass`."""

    order: float | None
    end: str


class Backend(NamedTuple):
    """Endpoints of a Service with their ports, (protocol, number or name)."""

    expr: Expr
    ports: tuple[tuple[int, int | str], ...]


class Service(NamedTuple):
    """The endpoints of a Service; none for one that is not there."""

    backends: tuple[Backend, ...]


class Surroundings(NamedTuple):
    """Everything of one side that policies are resolved through; equal ones resolve every policy alike.

    `host_network`: the nodes of pods of the host network ('' where it is not known). `everywhere`: the identities of those that
    run on every node.
    """

    sets: tuple[Addressed, ...]
    hosts: tuple[Host, ...]
    tiers: Mapping[str, TierSpec]
    profiles: Mapping[str, Object]
    accounts: Mapping[Account, Mapping[str, str]]
    services: Mapping[Account, Service]
    nodes: Nodes
    host_network: tuple[str, ...]
    everywhere: tuple[tuple[str, ...], ...]


# names.KubeAdminTierName and its like, and the tiers that Calico 3.29 to 3.31 made for AdminNetworkPolicy.
BUILT_IN_TIERS: Mapping[str, TierSpec] = {
    "kube-admin": TierSpec(1000.0, "pass"),
    "adminnetworkpolicy": TierSpec(1000.0, "pass"),
    DEFAULT: TierSpec(1000000.0, "deny"),
    "kube-baseline": TierSpec(10000000.0, "pass"),
    "baselineadminnetworkpolicy": TierSpec(10000000.0, "pass"),
}


def read(side: Snapshot) -> Surroundings:
    """What one side has; objects that Calico would refuse are not there."""
    profiles = {obj.name: obj for obj in side.by_kind("Profile") if _is_calico(obj)}
    sets: list[Addressed] = []
    for obj in side.by_kind("GlobalNetworkSet", "NetworkSet"):
        if _is_calico(obj) and not validation.refused(obj):
            labels = _labels(obj)
            if obj.kind == "NetworkSet":
                namespace = side.namespaces.get(obj.namespace)
                inherited = {**(namespace.labels if namespace is not None else {}), NAME: obj.namespace}
                labels = {
                    **{PER_NAMESPACE + key: value for key, value in inherited.items()},
                    **labels,
                    NAMESPACE: obj.namespace,
                }
            sets.append(Addressed(labels, _networks(_spec(obj).get("nets"))))
    hosts = tuple(
        _host(obj, profiles) for obj in side.by_kind("HostEndpoint") if _is_calico(obj) and not validation.refused(obj)
    )
    sets += [Addressed(host.labels, host.addresses, _host_ports(host.object)) for host in hosts]
    tiers = dict(BUILT_IN_TIERS)
    for obj in side.by_kind("Tier"):
        if _is_calico(obj) and not validation.refused(obj):
            tiers[obj.name] = _tier(obj)
    accounts = {(obj.namespace, obj.name): _labels(obj) for obj in side.by_kind("ServiceAccount")}
    return Surroundings(
        tuple(sets),
        hosts,
        tiers,
        profiles,
        {key: labels for key, labels in accounts.items() if labels},
        _services(side),
        read_nodes(side),
        tuple(sorted({workload.node for workload in side.workloads if workload.host_network})),
        on_every_node(side.workloads),
    )


def _is_calico(obj: Object) -> bool:
    return obj.api_version.startswith(_GROUPS)


def _spec(obj: Object) -> dict[str, object]:
    spec = obj.value.get("spec")
    return spec if isinstance(spec, dict) else {}


def _labels(obj: Object) -> dict[str, str]:
    metadata = obj.value.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return {str(key): str(value) for key, value in labels.items()} if isinstance(labels, dict) else {}


def _networks(nets: object) -> Intervals:
    """Network sets take bare addresses and CIDRs with host bits."""
    pairs: list[tuple[int, int]] = []
    for text in nets if isinstance(nets, list) else ():
        try:
            pairs.extend(addresses.parse_cidr(str(text)))
        except ValueError:
            continue
    return intervals.normal(pairs)


def _host(obj: Object, profiles: Mapping[str, Object]) -> Host:
    spec = _spec(obj)
    named = spec.get("profiles")
    names = tuple(str(name) for name in named) if isinstance(named, list) else ()
    labels: dict[str, str] = {}
    for name in reversed(names):
        applied = _spec(profiles[name]).get("labelsToApply") if name in profiles else None
        if isinstance(applied, dict):
            labels.update((str(key), str(value)) for key, value in applied.items())
    labels.update(_labels(obj))
    interface = spec.get("interfaceName")
    return Host(
        obj.name,
        str(spec.get("node") or ""),
        interface if isinstance(interface, str) else "",
        _networks(spec.get("expectedIPs")),
        labels,
        names,
        obj,
    )


def _host_ports(obj: Object) -> tuple[tuple[str, int, int], ...]:
    found = []
    ports = _spec(obj).get("ports")
    for port in ports if isinstance(ports, list) else ():
        if isinstance(port, dict) and isinstance(port.get("port"), int):
            number = protocol_number(port.get("protocol"))
            if number is not None:
                found.append((str(port.get("name")), number, port["port"]))
    return tuple(found)


def _tier(obj: Object) -> TierSpec:
    spec = _spec(obj)
    order = spec.get("order")
    own = BUILT_IN_TIERS.get(obj.name)
    number = float(order) if isinstance(order, (int, float)) else None
    if obj.name == DEFAULT and own is not None:
        return own
    end = "pass" if spec.get("defaultAction") == "Pass" else "deny"
    return TierSpec(number if own is None or number is not None else own.order, end)


def _services(side: Snapshot) -> dict[Account, Service]:
    """Services by their EndpointSlices (felix/calc, `service_index.go`), else by the pods that they select."""
    found: dict[Account, list[Backend]] = {}
    for obj in side.by_kind("Service"):
        spec = _spec(obj)
        selector = spec.get("selector")
        if isinstance(selector, dict) and selector and obj.api_version == "v1":
            labels = [Label("pod", str(key), "in", (str(value),)) for key, value in sorted(selector.items())]
            expr = conjunction((InNamespace(obj.namespace), *labels))
            found[(obj.namespace, obj.name)] = [Backend(expr, _ports(spec.get("ports"), "targetPort"))]
    sliced: dict[Account, list[Backend]] = {}
    for obj in side.by_kind("EndpointSlice"):
        metadata = obj.value.get("metadata")
        labels_of = metadata.get("labels") if isinstance(metadata, dict) else None
        service = labels_of.get("kubernetes.io/service-name") if isinstance(labels_of, dict) else None
        if not isinstance(service, str):
            continue
        endpoints = obj.value.get("endpoints")
        networks = intervals.normal(
            pair
            for endpoint in (endpoints if isinstance(endpoints, list) else ())
            if isinstance(endpoint, dict)
            for pair in _networks(endpoint.get("addresses"))
        )
        own = sliced.setdefault((obj.namespace, service), [])
        if networks:
            own.append(Backend(InAddresses(networks), _ports(obj.value.get("ports"), "port")))
    return {key: Service(tuple(backends)) for key, backends in {**found, **sliced}.items()}


def _ports(listed: object, field: str) -> tuple[tuple[int, int | str], ...]:
    """The ports of a Service's pods; a Service port without a targetPort is at the same number."""
    out: list[tuple[int, int | str]] = []
    for port in listed if isinstance(listed, list) else ():
        if isinstance(port, dict):
            number = port.get(field) if port.get(field) is not None else port.get("port")
            protocol = PROTOCOLS.get(str(port.get("protocol") or "TCP"))
            if isinstance(number, (int, str)) and protocol is not None:
                out.append((protocol, number))
    return tuple(out)
