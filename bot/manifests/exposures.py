"""A Snapshot in; its Ingresses, routes, load balancers and node ports out, with the pods and ports that each of them reaches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing import TypeGuard

    from bot.manifests.snapshot import Object, Snapshot

ROUTES = {"HTTPRoute": "TCP", "GRPCRoute": "TCP", "TLSRoute": "TCP", "TCPRoute": "TCP", "UDPRoute": "UDP"}
_GATEWAY_GROUP = "gateway.networking.k8s.io"
_PROTOCOLS = ("TCP", "UDP", "SCTP")


class Backend(NamedTuple):
    """Where an exposure sends traffic: pods of `namespace` that `selector` selects, or `addresses` where a Service has no selector.

    `port` is the port of the pod, by number or by the name of a container port; `protocol` is TCP, UDP or SCTP.
    """

    namespace: str
    selector: dict[str, str]
    port: int | str
    protocol: str
    service: Object | None
    addresses: tuple[str, ...] = ()


class Exposure(NamedTuple):
    """A source of traffic from outside the cluster.

    `local`: pods see the client's own address (`externalTrafficPolicy: Local`). `notes`: what it refers to and is not there.
    """

    kind: str
    namespace: str
    name: str
    object: Object
    backends: tuple[Backend, ...]
    local: bool = False
    notes: tuple[str, ...] = ()


def exposures(snapshot: Snapshot) -> list[Exposure]:
    """Every exposure of a side, by kind, namespace and name. What the API server would refuse in one is left out of it."""
    services = _Services(snapshot)
    out: list[Exposure] = []
    for obj in snapshot.by_kind("Ingress", *ROUTES, "Route", "Service"):
        group = obj.api_version.rpartition("/")[0]
        spec = _map(obj.value.get("spec"))
        if obj.kind == "Ingress" and group in ("networking.k8s.io", "extensions"):
            out.append(_of_ingress(obj, spec, services))
        elif obj.kind in ROUTES and group == _GATEWAY_GROUP:
            out.append(_of_gateway_route(obj, spec, services))
        elif obj.kind == "Route" and group in ("route.openshift.io", ""):
            out.append(_of_openshift_route(obj, spec, services))
        elif obj.kind == "Service" and not group and spec.get("type") in ("LoadBalancer", "NodePort"):
            out.append(_of_service(obj, spec, services))
    out.sort(key=lambda exposure: (exposure.kind, exposure.namespace, exposure.name))
    return out


def _exposure(obj: Object, backends: Iterable[Backend], notes: Iterable[str], local: bool = False) -> Exposure:
    distinct: list[Backend] = []
    for backend in backends:
        if backend not in distinct:
            distinct.append(backend)
    return Exposure(obj.kind, obj.namespace, obj.name, obj, tuple(distinct), local, tuple(dict.fromkeys(notes)))


# --- Ingress: https://kubernetes.io/docs/concepts/services-networking/ingress/ ---


def _of_ingress(obj: Object, spec: dict[str, Any], services: _Services) -> Exposure:
    wanted = [_map(spec.get("defaultBackend")), _map(spec.get("backend"))]
    for rule in _maps(spec.get("rules")):
        wanted += [_map(path.get("backend")) for path in _maps(_map(rule.get("http")).get("paths"))]
    backends: list[Backend] = []
    notes: list[str] = []
    for backend in wanted:
        service = _map(backend.get("service"))
        port = _map(service.get("port"))
        name = service.get("name") or backend.get("serviceName")
        number = port.get("number") or port.get("name") or backend.get("servicePort")
        if isinstance(name, str):
            backends += services.reach(obj.namespace, name, ("TCP",), number, notes)
    return _exposure(obj, backends, notes)


# --- Gateway API: https://gateway-api.sigs.k8s.io/reference/spec/ ---


def _of_gateway_route(obj: Object, spec: dict[str, Any], services: _Services) -> Exposure:
    backends: list[Backend] = []
    notes: list[str] = []
    for ref in _gateway_refs(spec):
        name, port = ref.get("name"), ref.get("port")
        namespace = ref.get("namespace") or obj.namespace
        if ref.get("group") or ref.get("kind") not in (None, "", "Service"):
            notes.append(f"its backend {ref.get('kind')} {name} is no Service")
        elif isinstance(name, str) and isinstance(namespace, str):
            backends += services.reach(namespace, name, (ROUTES[obj.kind],), port, notes)
            if namespace != obj.namespace and not services.is_granted(obj, namespace, name):
                notes.append(f"no ReferenceGrant in {namespace} for its backend Service {namespace}/{name}")
    return _exposure(obj, backends, notes)


def _gateway_refs(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for rule in _maps(spec.get("rules")):
        holders = [rule]
        for ref in _maps(rule.get("backendRefs")):
            yield ref
            holders.append(ref)
        for holder in holders:
            for item in _maps(holder.get("filters")):
                mirror = _map(_map(item.get("requestMirror")).get("backendRef"))
                if mirror:
                    yield mirror


# --- OpenShift: https://docs.redhat.com/en/documentation/openshift_container_platform (Route, route.openshift.io/v1) ---


def _of_openshift_route(obj: Object, spec: dict[str, Any], services: _Services) -> Exposure:
    target = _map(spec.get("port")).get("targetPort")
    backends: list[Backend] = []
    notes: list[str] = []
    for to in [_map(spec.get("to")), *_maps(spec.get("alternateBackends"))]:
        name = to.get("name")
        if isinstance(name, str) and to.get("kind") in (None, "", "Service"):
            backends += services.reach_endpoints(obj.namespace, name, target, notes)
    return _exposure(obj, backends, notes)


# --- Services: https://kubernetes.io/docs/concepts/services-networking/service/ ---


def _of_service(obj: Object, spec: dict[str, Any], services: _Services) -> Exposure:
    notes: list[str] = []
    backends = services.reach(obj.namespace, obj.name, _PROTOCOLS, None, notes)
    return _exposure(obj, backends, notes, spec.get("externalTrafficPolicy") == "Local")


class _Port(NamedTuple):
    """A port of a Service: what it is called, its number, and the port of the pod behind it."""

    name: str
    number: int
    target: int | str
    protocol: str


class _Services:
    """The Services of a side, and the addresses of those without a selector."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._services = {
            (obj.namespace, obj.name): obj for obj in snapshot.by_kind("Service") if "/" not in obj.api_version
        }
        self._slices: dict[tuple[str, str], list[Object]] = {}
        for obj in snapshot.by_kind("EndpointSlice"):
            owner = _map(_map(obj.value.get("metadata")).get("labels")).get("kubernetes.io/service-name")
            if isinstance(owner, str):
                self._slices.setdefault((obj.namespace, owner), []).append(obj)
        self._endpoints = {(obj.namespace, obj.name): obj for obj in snapshot.by_kind("Endpoints")}
        self._grants = snapshot.by_kind("ReferenceGrant")

    def reach(
        self, namespace: str, name: str, protocols: tuple[str, ...], wanted: object, notes: list[str]
    ) -> list[Backend]:
        """What the port `wanted` of a Service (its number or name; None: every port) leads to, for these protocols."""
        ports = [port for port in self._ports(namespace, name, notes) if port.protocol in protocols]
        found = [port for port in ports if _is_wanted(port, wanted)]
        if ports and not found:
            # ingress-nginx also takes a target port (internal/ingress/controller, serviceEndpoints)
            found = [port for port in ports if str(port.target) == str(wanted)]
            which = (
                f"port {wanted}, only the target port of another" if found else f"{'/'.join(protocols)} port {wanted}"
            )
            notes.append(f"Service {namespace}/{name} has no {which}")
        return [backend for port in found for backend in self._backends(namespace, name, port, notes)]

    def reach_endpoints(self, namespace: str, name: str, target: object, notes: list[str]) -> list[Backend]:
        """What OpenShift's router reaches: a Service's endpoints at the port of this name or target number (None: at all)."""
        ports = [port for port in self._ports(namespace, name, notes) if port.protocol == "TCP"]
        if isinstance(target, str) and target.isdecimal():
            target = int(target)
        if target in (None, ""):
            found = ports
        elif isinstance(target, int):
            found = [
                port._replace(target=target) for port in ports if isinstance(port.target, str) or port.target == target
            ]
        else:
            found = [port for port in ports if target in (port.name, port.target)]
        if ports and not found:
            notes.append(f"Service {namespace}/{name} has no port with the target {target}")
        return [backend for port in found for backend in self._backends(namespace, name, port, notes)]

    def is_granted(self, route: Object, namespace: str, name: str) -> bool:
        """Whether a ReferenceGrant lets a route of another namespace refer to a Service."""
        group = route.api_version.rpartition("/")[0]
        for grant in self._grants:
            spec = _map(grant.value.get("spec"))
            if grant.namespace != namespace:
                continue
            for_route = any(
                (of.get("group"), of.get("kind"), of.get("namespace")) == (group, route.kind, route.namespace)
                for of in _maps(spec.get("from"))
            )
            to_service = any(
                not to.get("group") and to.get("kind") == "Service" and to.get("name") in (None, "", name)
                for to in _maps(spec.get("to"))
            )
            if for_route and to_service:
                return True
        return False

    def _ports(self, namespace: str, name: str, notes: list[str]) -> list[_Port]:
        service = self._services.get((namespace, name))
        if service is None:
            notes.append(f"Service {namespace}/{name} is not there")
            return []
        spec = _map(service.value.get("spec"))
        if spec.get("type") == "ExternalName":
            notes.append(f"Service {namespace}/{name} is of type ExternalName: it leads to a DNS name, not to pods")
            return []
        out: list[_Port] = []
        for port in _maps(spec.get("ports")):
            number = port.get("port")
            if not _is_port(number):
                continue
            target: object = port.get("targetPort")
            if target in (None, "", 0):
                target = number
            elif isinstance(target, str) and target.isdecimal():
                target = int(target)
            called = port.get("name")
            protocol = port.get("protocol") or "TCP"
            if (isinstance(target, str) or _is_port(target)) and protocol in _PROTOCOLS:
                out.append(_Port(called if isinstance(called, str) else "", number, target, protocol))
        return out

    def _backends(self, namespace: str, name: str, port: _Port, notes: list[str]) -> list[Backend]:
        service = self._services[(namespace, name)]
        selector = _map(service.value["spec"].get("selector"))
        if selector:
            if not all(isinstance(value, str) for value in selector.values()):
                notes.append(f"Service {namespace}/{name} has a selector that is no map of strings")
                return []
            return [Backend(namespace, selector, port.target, port.protocol, service)]
        by_port: dict[int, dict[str, None]] = {}
        for number, address in self._addresses(namespace, name, port):
            by_port.setdefault(number, {})[address] = None
        if not by_port:
            notes.append(f"Service {namespace}/{name} has no selector, and no endpoints for it are there")
        return [
            Backend(namespace, {}, number, port.protocol, service, tuple(sorted(addresses)))
            for number, addresses in sorted(by_port.items())
        ]

    def _addresses(self, namespace: str, name: str, port: _Port) -> Iterator[tuple[int, str]]:
        """Port and address of the endpoints that are written down for a Service without a selector."""
        groups: list[tuple[list[dict[str, Any]], list[str]]] = []
        for slice_ in self._slices.get((namespace, name), ()):
            if slice_.value.get("addressType") != "FQDN":
                ips = [
                    ip for endpoint in _maps(slice_.value.get("endpoints")) for ip in _texts(endpoint.get("addresses"))
                ]
                groups.append((_maps(slice_.value.get("ports")), ips))
        endpoints = self._endpoints.get((namespace, name))
        if endpoints is not None:
            for subset in _maps(endpoints.value.get("subsets")):
                ips = [ip for item in _maps(subset.get("addresses")) for ip in _texts([item.get("ip")])]
                groups.append((_maps(subset.get("ports")), ips))
        for ports, ips in groups:
            for item in ports:
                number = item.get("port")
                same = (item.get("name") or "") == port.name and (item.get("protocol") or "TCP") == port.protocol
                if same and _is_port(number):
                    for ip in ips:
                        if _is_address(ip):
                            yield number, ip


def _is_wanted(port: _Port, wanted: object) -> bool:
    if wanted is None:
        return True
    return wanted in (port.name, port.number, str(port.number)) and wanted != ""


def _is_port(value: object) -> TypeGuard[int]:
    return type(value) is int and 1 <= value <= 65535


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    try:
        return "%" not in text and bool(ip_address(text))
    except ValueError:
        return False


def _map(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _maps(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if type(item) is dict] if type(value) is list else []


def _texts(value: Any) -> list[str]:
    return [item for item in value if type(item) is str] if type(value) is list else []
