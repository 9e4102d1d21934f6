"""YAML text in, small Snapshots out, made apart from the reader of manifests."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from bot.policies.traffic import PROTOCOLS

CLUSTER_WIDE = {"Namespace", "Node", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy", "ClusterNetworkPolicy", "IPPool", "Installation"}
NO_TEMPLATE = {"NetworkPolicy", "Namespace", "Node", "Service", "ConfigMap"}


class Object:
    """Compared by identity, as the reader's objects are."""

    def __init__(self, value: dict[str, Any]) -> None:
        metadata = value.get("metadata") or {}
        self.value = value
        self.api_version: str = value.get("apiVersion", "v1")
        self.kind: str = value["kind"]
        self.name: str = metadata.get("name", "")
        self.namespace: str = "" if self.kind in CLUSTER_WIDE else metadata.get("namespace") or "default"


class ContainerPort(NamedTuple):
    name: str
    protocol: int
    number: int


class Workload(NamedTuple):
    kind: str
    namespace: str
    name: str
    pod: str
    labels: dict[str, str]
    ports: tuple[ContainerPort, ...]
    host_network: bool
    service_account: str
    addresses: tuple[str, ...]
    node: str
    object: Object


class Namespace(NamedTuple):
    name: str
    labels: dict[str, str]
    object: Object | None = None


class Snapshot:
    def __init__(self, objects: list[Object]) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.workloads: list[Workload] = []
        self.namespaces: dict[str, Namespace] = {}
        for obj in objects:
            workload = None if obj.kind in NO_TEMPLATE else _workload(obj)
            if workload is not None:
                self.workloads.append(workload)
            else:
                self.objects[(obj.kind, obj.namespace, obj.name)] = obj
            if obj.kind == "Namespace":
                labels = {**(obj.value["metadata"].get("labels") or {}), "kubernetes.io/metadata.name": obj.name}
                self.namespaces[obj.name] = Namespace(obj.name, labels, obj)
        for obj in objects:
            if obj.namespace and obj.namespace not in self.namespaces:
                self.namespaces[obj.namespace] = Namespace(obj.namespace, {"kubernetes.io/metadata.name": obj.namespace})

    def by_kind(self, *kinds: str) -> list[Object]:
        return [obj for obj in self.objects.values() if obj.kind in kinds]


def objects(text: str) -> list[Object]:
    """Each document of a YAML text."""
    return [Object(value) for value in yaml.safe_load_all(text) if value]


def snapshot(text: str) -> Any:
    """The Snapshot of a YAML text."""
    return Snapshot(objects(text))


def _workload(obj: Object) -> Workload | None:
    spec = obj.value.get("spec") or {}
    template = obj.value if obj.kind == "Pod" else spec.get("template")
    if not isinstance(template, dict):
        return None
    inner, status = template.get("spec") or {}, obj.value.get("status") or {}
    ports = tuple(
        ContainerPort(port.get("name", ""), PROTOCOLS[port.get("protocol", "TCP")], port["containerPort"])
        for container in inner.get("containers") or []
        for port in container.get("ports") or []
    )
    known = [item["ip"] for item in status.get("podIPs") or []] or ([status["podIP"]] if "podIP" in status else [])
    labels = (template.get("metadata") or {}).get("labels") or {}
    pod = obj.name if obj.kind == "Pod" else ""
    host = bool(inner.get("hostNetwork"))
    return Workload(obj.kind, obj.namespace, obj.name, pod, labels, ports, host, "default", tuple(known), inner.get("nodeName", ""), obj)
