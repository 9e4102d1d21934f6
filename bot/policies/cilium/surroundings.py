"""One side's Snapshot in, what Cilium policies are resolved through out: Services and their addresses, CIDR groups, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bot.policies import addresses, intervals
from bot.policies.cilium import blocks
from bot.policies.intervals import Intervals

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object, Snapshot


class Service(NamedTuple):
    """One Service. `addresses`: of its EndpointSlices and Endpoints; used only where it has no selector."""

    namespace: str
    name: str
    labels: tuple[tuple[str, str], ...]
    selector: tuple[tuple[str, str], ...]
    addresses: Intervals


class Group(NamedTuple):
    """One CiliumCIDRGroup."""

    name: str
    labels: tuple[tuple[str, str], ...]
    blocks: tuple[Intervals, ...]


class Surroundings(NamedTuple):
    """Equal for two sides where every policy resolves alike."""

    services: tuple[Service, ...] = ()
    groups: tuple[Group, ...] = ()


def read(snapshot: Snapshot) -> Surroundings:
    """The Services and CIDR groups of one side, by namespace and name. What is malformed is left out."""
    backends = _backends(snapshot)
    services = tuple(
        Service(
            obj.namespace,
            obj.name,
            _texts(_at(obj.value, "metadata", "labels")),
            _texts(_at(obj.value, "spec", "selector")),
            intervals.normal(backends.get((obj.namespace, obj.name), ())),
        )
        for obj in snapshot.by_kind("Service")
        if obj.api_version == "v1" and _at(obj.value, "spec", "type") != "ExternalName"
    )
    groups = tuple(
        Group(obj.name, _texts(_at(obj.value, "metadata", "labels")), _group(obj))
        for obj in snapshot.by_kind("CiliumCIDRGroup")
        if obj.api_version.startswith("cilium.io/")
    )
    return Surroundings(services, groups)


def setting(snapshots: tuple[Snapshot, ...], key: str, *path: str) -> str | None:
    """A setting of the agent: from ConfigMap cilium-config, else from a Helm release's values at `path`; the last side wins."""
    found = None
    for snapshot in snapshots:
        for obj in snapshot.by_kind("ConfigMap", "HelmRelease"):
            value = None
            if obj.kind == "ConfigMap" and obj.name == "cilium-config":
                value = _at(obj.value, "data", key)
            elif obj.kind == "HelmRelease" and _at(obj.value, "spec", "chart", "spec", "chart") == "cilium":
                value = _at(obj.value, "spec", "values", *path)
            if isinstance(value, (str, bool)):
                found = str(value).lower() if isinstance(value, bool) else value
    return found


def _backends(snapshot: Snapshot) -> dict[tuple[str, str], list[tuple[int, int]]]:
    out: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for obj in snapshot.by_kind("EndpointSlice"):
        name = _at(obj.value, "metadata", "labels", "kubernetes.io/service-name")
        if isinstance(name, str):
            points = out.setdefault((obj.namespace, name), [])
            for endpoint in _list(obj.value.get("endpoints")):
                points.extend(_points(_list(_at(endpoint, "addresses"))))
    for obj in snapshot.by_kind("Endpoints"):
        points = out.setdefault((obj.namespace, obj.name), [])
        for subset in _list(obj.value.get("subsets")):
            points.extend(_points([_at(address, "ip") for address in _list(_at(subset, "addresses"))]))
    return out


def _points(texts: list[object]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for text in texts:
        if isinstance(text, str):
            try:
                out.extend(addresses.parse_cidr(text.partition("/")[0]))
            except ValueError:
                continue
    return out


def _group(obj: Object) -> tuple[Intervals, ...]:
    listed = _list(_at(obj.value, "spec", "externalCIDRs"))
    found = [blocks.parse(text) for text in listed if isinstance(text, str)]
    return tuple(block for block in found if block is not None)


def _at(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(k), str(v)) for k, v in value.items())) if isinstance(value, dict) else ()
