"""An object with a pod template (or a Pod) in, what policies can see of its pods out."""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.manifests.metadata import Malformed, is_name, labels_of, refuse_annotations, shown

if TYPE_CHECKING:
    from bot.manifests.objects import Object
    from bot.manifests.plain import Path

PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}


class ContainerPort(NamedTuple):
    """A declared port: its name ('' for none), its protocol's number, its number."""

    name: str
    protocol: int
    number: int


class Workload(NamedTuple):
    """Pods that policies take alike. `kind` and `name` are those of the controller that owns them, where one does.

    `pod` is the name of the Pod object, if it is one. `ports` are those of containers and of init containers that keep
    running. `addresses`: known pod IPs, the primary one first (of a host network pod: its node's). `phase`: a Pod's, as in
    its status.
    """

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
    phase: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Kind, namespace, name: the pods of one owner are several Workloads of one key."""
        return self.kind, self.namespace, self.name


def workload(obj: Object, value: dict[str, Any], template_path: tuple[str, ...]) -> Workload:
    """The Workload of an object whose pod template is at `template_path` (() for a Pod). Raises Malformed."""
    template = value
    for at, step in enumerate(template_path):
        inner = template.get(step)
        if type(inner) is not dict:
            raise Malformed(template_path[:at], f"{'.'.join(template_path[: at + 1])} is missing")
        template = inner
    metadata = template.get("metadata")
    if metadata is None:
        metadata = {}
    elif type(metadata) is not dict:
        raise Malformed((*template_path, "metadata"), "metadata is no map")
    labels = metadata.get("labels")
    if template_path:
        labels = labels_of(labels, (*template_path, "metadata", "labels"))
        if "annotations" in metadata:
            refuse_annotations(metadata["annotations"], (*template_path, "metadata", "annotations"))
    labels = {intern(key): intern(text) for key, text in labels.items()} if labels else {}
    _add_controller_labels(labels, obj)
    spec = template.get("spec")
    spec_path = (*template_path, "spec")
    if spec is None:
        spec = {}
    elif type(spec) is not dict:
        raise Malformed(spec_path, "the pod's spec is no map")
    host_network = _flag(spec, "hostNetwork", spec_path)
    kind, name, pod = obj.kind, obj.name, ""
    addresses: tuple[str, ...] = ()
    phase = ""
    if not template_path:
        pod = obj.name
        addresses, phase = _of_status(value.get("status"), host_network)
    if not template_path or kind == "ReplicaSet":
        kind, name = _owner(value["metadata"], kind, name)
    return Workload(
        kind,
        obj.namespace,
        name,
        pod,
        labels,
        _ports(spec, spec_path),
        host_network,
        _text(spec, "serviceAccountName", spec_path) or _text(spec, "serviceAccount", spec_path) or "default",
        addresses,
        _text(spec, "nodeName", spec_path),
        obj,
        phase,
    )


def borrowed_template(value: dict[str, Any], kind: str, namespace: str) -> tuple[str, str, str] | None:
    """The (kind, namespace, name) whose template an Argo Rollout runs by its `workloadRef`, if it has no own."""
    spec = value.get("spec")
    if kind != "Rollout" or type(spec) is not dict or spec.get("template") is not None:
        return None
    ref = spec.get("workloadRef")
    if type(ref) is not dict or type(ref.get("kind")) is not str or not is_name(ref.get("name")):
        return None
    return ref["kind"], namespace, ref["name"]


def parts_that_matter(value: dict[str, Any], template_path: tuple[str, ...]) -> dict[str, Any]:
    """What of a workload's manifest has a part in reachability, in its place: no image, no command, no volume."""
    out: dict[str, Any] = {"metadata": value.get("metadata")}
    inner: Any = value
    place = out
    for step in template_path:
        inner = inner.get(step) if type(inner) is dict else None
        place[step] = {}
        place = place[step]
    if type(inner) is not dict:
        return out
    place["metadata"] = inner.get("metadata")
    spec = inner.get("spec")
    if type(spec) is not dict:
        return out
    kept = place["spec"] = {
        key: spec[key] for key in ("hostNetwork", "serviceAccountName", "serviceAccount", "nodeName") if key in spec
    }
    for key, fields in (("containers", ("ports",)), ("initContainers", ("ports", "restartPolicy"))):
        containers = spec.get(key)
        if type(containers) is list:
            kept[key] = [
                {field: item[field] for field in fields if field in item} if type(item) is dict else item
                for item in containers
            ]
    return out


def _add_controller_labels(labels: dict[str, str], obj: Object) -> None:
    """Labels that a controller gives its pods, as far as the manifest tells their values."""
    if obj.kind == "Job":
        # https://kubernetes.io/docs/reference/labels-annotations-taints/#batch-kubernetes-io-job-name
        if len(obj.name) <= 63:
            labels.setdefault("batch.kubernetes.io/job-name", obj.name)
            labels.setdefault("job-name", obj.name)
    elif obj.kind == "Service" and len(obj.name) <= 63:
        # https://knative.dev/docs/serving/services/: the revision's pods carry the service's name
        labels.setdefault("serving.knative.dev/service", obj.name)


def _owner(metadata: dict[str, Any], kind: str, name: str) -> tuple[str, str]:
    """Kind and name of the controller: the owner that says so, or the only one. A Node owns its static pods' mirrors only."""
    owners = metadata.get("ownerReferences")
    if type(owners) is not list:
        return kind, name
    known = [owner for owner in owners if type(owner) is dict]
    controllers = [owner for owner in known if owner.get("controller") is True]
    if not controllers and len(known) == 1 and known[0].get("controller") is None:
        controllers = known
    if not controllers:
        return kind, name
    owner_kind = controllers[0].get("kind") or "Pod"
    owner_name = controllers[0].get("name")
    if owner_kind == "Node" or not is_name(owner_kind) or not is_name(owner_name):
        return kind, name
    return owner_kind, owner_name


def _ports(spec: dict[str, Any], path: Path) -> tuple[ContainerPort, ...]:
    """The declared ports of all containers that run beside each other, each once, in their order. Raises Malformed."""
    found: list[ContainerPort] = []
    for key in ("containers", "initContainers"):
        containers = spec.get(key)
        if containers is None:
            continue
        if type(containers) is not list:
            raise Malformed((*path, key), f"{key} is no list")
        for at, container in enumerate(containers):
            if type(container) is not dict:
                raise Malformed((*path, key, at), "a container that is no map")
            ports = container.get("ports")
            # https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
            if not ports or (key == "initContainers" and container.get("restartPolicy") != "Always"):
                continue
            here = (*path, key, at, "ports")
            if type(ports) is not list:
                raise Malformed(here, "ports is no list")
            for number, port in enumerate(ports):
                found.append(_port(port, here, number))
    return tuple(found) if len(found) < 2 else tuple(dict.fromkeys(found))


def _port(port: Any, path: Path, at: int) -> ContainerPort:
    if type(port) is not dict:
        raise Malformed((*path, at), "a port that is no map")
    number = port.get("containerPort")
    if type(number) is not int or not 1 <= number <= 65535:
        what = "is missing" if number is None else f"{shown(str(number))} is no number from 1 to 65535"
        raise Malformed((*path, at), f"containerPort {what}")
    protocol = port.get("protocol") or "TCP"
    if type(protocol) is not str or protocol not in PROTOCOLS:
        raise Malformed((*path, at, "protocol"), f"protocol {shown(str(protocol))} is none of TCP, UDP and SCTP")
    name = port.get("name")
    if name is None:
        name = ""
    elif type(name) is not str or (name and not is_name(name)):
        raise Malformed((*path, at, "name"), "the name of a port is no name")
    return ContainerPort(intern(name), PROTOCOLS[protocol], number)


def _flag(spec: dict[str, Any], key: str, path: Path) -> bool:
    value = spec.get(key)
    if value is None or type(value) is bool:
        return bool(value)
    raise Malformed((*path, key), f"{key} is neither true nor false")


def _text(spec: dict[str, Any], key: str, path: Path) -> str:
    value = spec.get(key)
    if value is None:
        return ""
    if type(value) is not str or (value and not is_name(value)):
        raise Malformed((*path, key), f"{key} is no name")
    return value


def _of_status(status: Any, host_network: bool) -> tuple[tuple[str, ...], str]:
    """Known addresses and the phase. Nobody validates a status in Git, so what is no address there is left out."""
    if type(status) is not dict:
        return (), ""
    found = _ips(status, "podIP", "podIPs")
    if not found and host_network:
        found = _ips(status, "hostIP", "hostIPs")
    phase = status.get("phase")
    return found, phase if type(phase) is str else ""


def _ips(status: dict[str, Any], one: str, many: str) -> tuple[str, ...]:
    from ipaddress import ip_address

    several = status.get(many)
    items = several if type(several) is list else []
    candidates = [status.get(one), *(item.get("ip") for item in items if type(item) is dict)]
    found: dict[str, None] = {}
    for text in candidates:
        if type(text) is str and "%" not in text:
            try:
                found[str(ip_address(text))] = None
            except ValueError:
                continue
    return tuple(found)
