"""Manifests as plain dicts in; pods, namespaces, nodes and policies out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

Manifest = dict[str, Any]


class Port(NamedTuple):
    """A declared container port: `name` may be empty."""

    name: str
    protocol: str
    number: int


class Pod(NamedTuple):
    """One pod, or what a workload's template makes. `addresses` are the known ones, primary first; none: unknown."""

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    ports: tuple[Port, ...] = ()
    addresses: tuple[str, ...] = ()
    host_network: bool = False
    node: str = ""


class Cluster(NamedTuple):
    """Everything that a verdict depends on. `admin` and `baseline`: groups of one priority, in order, without an order inside."""

    pods: tuple[Pod, ...]
    namespaces: Mapping[str, Mapping[str, str]]
    nodes: Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]]
    network_policies: tuple[Manifest, ...]
    admin: tuple[tuple[Manifest, ...], ...]
    baseline: tuple[tuple[Manifest, ...], ...]


def read(manifests: Iterable[Manifest]) -> Cluster:
    """The cluster that these objects make: a later object of one identity replaces an earlier one."""
    latest: dict[tuple[str, str, str], Manifest] = {}
    for manifest in manifests:
        metadata = manifest["metadata"]
        kind = manifest["kind"]
        latest[kind, "" if kind in ("Namespace", "Node") else namespace_of(manifest), metadata["name"]] = manifest
    pods = tuple(pod for manifest in latest.values() for pod in _pods(manifest))
    names = {pod.namespace for pod in pods}
    names |= {namespace_of(m) for m in latest.values() if m["kind"] == "NetworkPolicy"}
    namespaces: dict[str, dict[str, str]] = {name: {} for name in names}
    nodes = {}
    for manifest in latest.values():
        name, labels = manifest["metadata"]["name"], manifest["metadata"].get("labels") or {}
        if manifest["kind"] == "Namespace":
            namespaces[name] = labels
        if manifest["kind"] == "Node":
            addresses = (manifest.get("status") or {}).get("addresses") or []
            nodes[name] = (labels, tuple(a["address"] for a in addresses if a["type"].endswith("IP")))
    return Cluster(
        pods,
        {name: {**labels, "kubernetes.io/metadata.name": name} for name, labels in namespaces.items()},
        nodes,
        tuple(m for m in latest.values() if m["kind"] == "NetworkPolicy"),
        _by_priority(latest.values(), "Admin"),
        _by_priority(latest.values(), "Baseline"),
    )


def _by_priority(manifests: Iterable[Manifest], tier: str) -> tuple[tuple[Manifest, ...], ...]:
    groups: dict[int, list[Manifest]] = {}
    for manifest in manifests:
        kind = manifest["kind"]
        if kind == "AdminNetworkPolicy" and tier == "Admin":
            groups.setdefault(manifest["spec"]["priority"], []).append(manifest)
        if kind == "BaselineAdminNetworkPolicy" and tier == "Baseline":
            groups.setdefault(0, []).append(manifest)
        if kind == "ClusterNetworkPolicy" and tier == manifest["spec"]["tier"]:
            groups.setdefault(manifest["spec"]["priority"], []).append(manifest)
    return tuple(tuple(groups[priority]) for priority in sorted(groups))


def namespace_of(manifest: Manifest) -> str:
    """The namespace an object is applied to."""
    return manifest["metadata"].get("namespace") or "default"


def _pods(manifest: Manifest) -> list[Pod]:
    kind, spec, status = manifest["kind"], manifest.get("spec") or {}, manifest.get("status") or {}
    if kind == "Pod":
        template = manifest
    elif kind == "CronJob":
        template = spec["jobTemplate"]["spec"]["template"]
    elif "template" in spec:
        template = spec["template"]
    else:
        return []
    inner = template.get("spec") or {}
    containers = [c for c in inner.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    containers += inner.get("containers") or []
    addresses = [ip["ip"] for ip in status.get("podIPs") or []] or ([status["podIP"]] if "podIP" in status else [])
    return [
        Pod(
            kind,
            namespace_of(manifest),
            manifest["metadata"]["name"],
            (template.get("metadata") or {}).get("labels") or {},
            tuple(
                Port(port.get("name", ""), port.get("protocol", "TCP"), port["containerPort"])
                for container in containers
                for port in container.get("ports") or []
            ),
            tuple(addresses) if kind == "Pod" else (),
            bool(inner.get("hostNetwork")),
            inner.get("nodeName", ""),
        )
    ]
