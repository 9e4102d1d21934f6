"""Small random clusters as manifests, and random changes of them: Hypothesis strategies for every test that needs a world.

A world is a list of plain manifests, valid to the API server. Alphabets are small so that selectors, names and CIDRs meet.
`text` and `files` write a world as the product reads it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hypothesis import strategies as st

Manifest = dict[str, Any]
World = list[Manifest]

DECLARED = ("alpha", "beta")
NAMESPACES = (*DECLARED, "gamma")  # gamma is only ever implied
POD_LABELS = {"app": ("web", "db", ""), "tier": ("fe", "be")}
NAMESPACE_LABELS = {"env": ("prod", "dev"), "team": ("a",)}
WORKLOADS = ("w0", "w1", "w2")
SERVICES = ("s0", "s1")
PORT_NAMES = ("http", "dns")
PROTOCOLS = ("TCP", "UDP", "SCTP")
PORTS = (1, 53, 80, 81, 8080, 65535)
POD_IPS = ("10.1.2.3", "10.1.2.4", "10.2.0.1", "fd00:1::1", "fd00:1::2")
CIDRS: dict[str, tuple[str, ...]] = {  # a CIDR and what can be cut out of it
    "0.0.0.0/0": ("10.0.0.0/8", "203.0.113.0/24", "10.1.2.3/32"),
    "10.0.0.0/8": ("10.1.0.0/16", "10.1.2.0/24", "10.2.0.1/32"),
    "10.1.2.0/24": ("10.1.2.3/32", "10.1.2.128/25"),
    "203.0.113.0/24": ("203.0.113.128/25", "203.0.113.7/32"),
    "203.0.113.64/26": (),
    "::/0": ("fd00::/8", "2001:db8::/32"),
    "fd00::/8": ("fd00:1::/64", "fd00:1::1/128"),
    "2001:db8::/32": (),
}
LISTENERS = st.lists(
    st.tuples(st.sampled_from(("", *PORT_NAMES)), st.sampled_from(PROTOCOLS), st.sampled_from((53, 80, 8080))),
    max_size=2,
    unique_by=lambda port: port[1:],
)


def _labels(alphabet: dict[str, tuple[str, ...]]) -> st.SearchStrategy[dict[str, str]]:
    return st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in alphabet.items()})


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


@st.composite
def selectors(draw: st.DrawFn, alphabet: dict[str, tuple[str, ...]]) -> Manifest:
    """A label selector over an alphabet, with every operator; often empty."""
    out: Manifest = {}
    if draw(st.integers(0, 2)) == 0:
        out["matchLabels"] = draw(_labels(alphabet))
    if draw(st.integers(0, 2)) == 0:
        out["matchExpressions"] = draw(st.lists(_requirement(alphabet), max_size=2))
    return out


@st.composite
def _requirement(draw: st.DrawFn, alphabet: dict[str, tuple[str, ...]]) -> Manifest:
    key = draw(
        st.sampled_from([*alphabet, "kubernetes.io/metadata.name"] if alphabet is NAMESPACE_LABELS else [*alphabet])
    )
    operator = draw(st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist")))
    out: Manifest = {"key": key, "operator": operator}
    if operator in ("In", "NotIn"):
        values = alphabet.get(key, NAMESPACES)
        out["values"] = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))
    return out


def namespaces(name: str) -> st.SearchStrategy[Manifest]:
    """A Namespace of this name."""
    return _labels(NAMESPACE_LABELS).map(lambda labels: _object("v1", "Namespace", name, labels=labels))


def _object(version: str, kind: str, name: str, namespace: str = "", labels: Any = None, **rest: Any) -> Manifest:
    metadata: Manifest = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels is not None:
        metadata["labels"] = labels
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


@st.composite
def workloads(draw: st.DrawFn, namespace: str, name: str, kinds: Sequence[str] = ("Deployment", "Pod")) -> Manifest:
    """A Deployment or Pod of this identity. A Pod knows its addresses (one family or both); one in eight is on the host network.

    Some know their node."""
    spec: Manifest = {"containers": [{"name": "c", "image": "i"}]}
    ports = []
    for label, protocol, number in draw(LISTENERS):
        ports.append({"containerPort": number, **({"name": label} if label else {})})
        if protocol != "TCP" or draw(st.booleans()):
            ports[-1]["protocol"] = protocol
    if ports:
        spec["containers"][0]["ports"] = ports
    labels = draw(_labels(POD_LABELS))
    kind = draw(st.sampled_from(kinds))
    if kind == "Pod":
        host = draw(st.integers(0, 7)) == 0
        at = (NAMESPACES.index(namespace) * len(WORKLOADS) + WORKLOADS.index(name)) if host else 0
        ips = [f"172.18.0.{at + 1}"] if host else draw(st.lists(st.sampled_from(POD_IPS), min_size=1, max_size=1))
        status = {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
        node = draw(st.sampled_from(("", "", "node-0", "node-1")))
        return _object(
            "v1",
            "Pod",
            name,
            namespace,
            labels,
            spec={**spec, **({"hostNetwork": True} if host else {}), **({"nodeName": node} if node else {})},
            status=status,
        )
    template = {"metadata": {"labels": labels}, "spec": spec}
    return _object("apps/v1", kind, name, namespace, spec={"selector": {}, "template": template})


@st.composite
def ip_blocks(draw: st.DrawFn) -> Manifest:
    """An ipBlock; each `except` lies strictly inside."""
    cidr = draw(st.sampled_from(sorted(CIDRS)))
    out: Manifest = {"cidr": cidr}
    if draw(st.booleans()):
        out["except"] = draw(st.lists(st.sampled_from(CIDRS[cidr]), max_size=2, unique=True)) if CIDRS[cidr] else []
    return out


@st.composite
def _peers(draw: st.DrawFn) -> Manifest:
    form = draw(st.sampled_from(("pod", "namespace", "both", "block")))
    if form == "block":
        return {"ipBlock": draw(ip_blocks())}
    out: Manifest = {}
    if form != "namespace":
        out["podSelector"] = draw(selectors(POD_LABELS))
    if form != "pod":
        out["namespaceSelector"] = draw(selectors(NAMESPACE_LABELS))
    return out


@st.composite
def _port_items(draw: st.DrawFn) -> Manifest:
    out: Manifest = {}
    protocol = draw(_maybe(st.sampled_from(PROTOCOLS)))
    if protocol:
        out["protocol"] = protocol
    form = draw(st.sampled_from(("none", "number", "number", "range", "name", "name")))
    if form == "name":
        out["port"] = draw(st.sampled_from(PORT_NAMES))
    elif form != "none":
        out["port"] = draw(st.sampled_from(PORTS))
        if form == "range":
            out["endPort"] = draw(st.sampled_from([port for port in PORTS if port >= out["port"]]))
    return out


@st.composite
def _rules(draw: st.DrawFn, side: str) -> Manifest:
    out: Manifest = {}
    if draw(st.integers(0, 3)):
        out[side] = draw(st.lists(_peers(), max_size=2))
    if draw(st.booleans()):
        out["ports"] = draw(st.lists(_port_items(), max_size=2))
    return out


@st.composite
def network_policies(draw: st.DrawFn, namespace: str, name: str) -> Manifest:
    """A NetworkPolicy of this identity: every form of selector, peer, port, and of policyTypes (rules without their type too)."""
    spec: Manifest = {"podSelector": draw(selectors(POD_LABELS))}
    types = draw(st.sampled_from((None, [], ["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Ingress", "Egress"])))
    if types is not None:
        spec["policyTypes"] = types
    for direction, side in (("ingress", "from"), ("egress", "to")):
        if draw(st.integers(0, 2)):
            spec[direction] = draw(st.lists(_rules(side), max_size=2))
    return _object("networking.k8s.io/v1", "NetworkPolicy", name, namespace, spec=spec)


# --- Admin policies ---


@st.composite
def _subjects(draw: st.DrawFn) -> Manifest:
    if draw(st.booleans()):
        return {"namespaces": draw(selectors(NAMESPACE_LABELS))}
    return {
        "pods": {"namespaceSelector": draw(selectors(NAMESPACE_LABELS)), "podSelector": draw(selectors(POD_LABELS))}
    }


@st.composite
def _admin_rules(draw: st.DrawFn, side: str, actions: Sequence[str], modern: bool) -> Manifest:
    peers = st.one_of(_subjects(), _networks()) if side == "to" else _subjects()
    out: Manifest = {"action": draw(st.sampled_from(actions)), side: draw(st.lists(peers, min_size=1, max_size=2))}
    named = not any("networks" in peer for peer in out[side])
    if draw(st.booleans()):
        items = draw(st.lists(_admin_ports(modern, named), min_size=1, max_size=2))
        out["protocols" if modern else "ports"] = items
    return out


def _networks() -> st.SearchStrategy[Manifest]:
    return st.lists(st.sampled_from(sorted(CIDRS)), min_size=1, max_size=2, unique=True).map(
        lambda cidrs: {"networks": cidrs}
    )


@st.composite
def _admin_ports(draw: st.DrawFn, modern: bool, named: bool) -> Manifest:
    form = draw(st.sampled_from(("number", "range", "name") if named else ("number", "range")))
    if form == "name":
        return {"destinationNamedPort" if modern else "namedPort": draw(st.sampled_from(PORT_NAMES))}
    protocol, first = draw(st.sampled_from(PROTOCOLS)), draw(st.sampled_from(PORTS[:-1]))
    last = draw(st.sampled_from([port for port in PORTS if port > first]))
    if modern:
        port = {"number": first} if form == "number" else {"range": {"start": first, "end": last}}
        return {protocol.lower(): {"destinationPort": port}}
    if form == "number":
        return {"portNumber": {"protocol": protocol, "port": first}}
    return {"portRange": {"protocol": protocol, "start": first, "end": last}}


@st.composite
def admin_policies(draw: st.DrawFn, name: str, priority: int, modern: bool) -> Manifest:
    """An AdminNetworkPolicy or its baseline, or (`modern`) a ClusterNetworkPolicy, of this name and priority."""
    baseline = draw(st.booleans())
    if modern:
        actions: Sequence[str] = ("Accept", "Deny", "Pass")
        spec: Manifest = {"tier": "Baseline" if baseline else "Admin", "priority": priority}
        version, kind = "policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"
    else:
        actions = ("Allow", "Deny") if baseline else ("Allow", "Deny", "Pass")
        spec = {} if baseline else {"priority": priority}
        version = "policy.networking.k8s.io/v1alpha1"
        kind, name = ("BaselineAdminNetworkPolicy", "default") if baseline else ("AdminNetworkPolicy", name)
    spec["subject"] = draw(_subjects())
    for direction, side in (("ingress", "from"), ("egress", "to")):
        if draw(st.booleans()):
            spec[direction] = draw(st.lists(_admin_rules(side, actions, modern), min_size=1, max_size=2))
    return _object(version, kind, name, spec=spec)


# --- What exposes workloads ---


@st.composite
def services(draw: st.DrawFn, namespace: str, name: str) -> Manifest:
    """A Service of this identity: any type, target ports by number, by name and by default."""
    port: Manifest = {"port": 80}
    target = draw(st.sampled_from((None, 8080, *PORT_NAMES)))
    if target is not None:
        port["targetPort"] = target
    protocol = draw(st.sampled_from((None, None, "UDP")))
    if protocol:
        port["protocol"] = protocol
    spec: Manifest = {"selector": draw(_labels(POD_LABELS)), "ports": [port]}
    kind = draw(st.sampled_from((None, "LoadBalancer", "NodePort")))
    if kind:
        spec["type"] = kind
    if kind and draw(st.booleans()):
        spec["externalTrafficPolicy"] = "Local"
    return _object("v1", "Service", name, namespace, spec=spec)


@st.composite
def ingresses(draw: st.DrawFn, namespace: str, name: str) -> Manifest:
    """An Ingress of this identity to a Service that may be there."""
    backend = {"service": {"name": draw(st.sampled_from(SERVICES)), "port": {"number": 80}}}
    if draw(st.booleans()):
        return _object("networking.k8s.io/v1", "Ingress", name, namespace, spec={"defaultBackend": backend})
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    return _object("networking.k8s.io/v1", "Ingress", name, namespace, spec={"rules": [{"http": {"paths": paths}}]})


# --- Worlds and changes of them ---

Slot = Callable[[], st.SearchStrategy[Manifest]]


def _slots(kinds: Sequence[str], modern: bool, exposed: bool, admin: bool) -> dict[str, list[Slot]]:
    """Every identity that an object of a world may have, with the strategy of its content."""
    slots: dict[str, list[Slot]] = {
        "namespace": [partial(namespaces, n) for n in DECLARED],
        "workload": [partial(workloads, n, w, kinds) for n in NAMESPACES for w in WORKLOADS],
        "policy": [partial(network_policies, n, p) for n in NAMESPACES for p in ("p0", "p1")],
    }
    if admin:
        slots["admin"] = [partial(admin_policies, f"a{i}", i, modern) for i in (1, 2, 3)]
    if exposed:
        slots["service"] = [partial(services, n, s) for n in DECLARED for s in SERVICES]
        slots["ingress"] = [partial(ingresses, n, "i0") for n in DECLARED]
    return slots


def key(manifest: Manifest) -> tuple[str, str, str]:
    """What an object is, whatever is in it. A Pod and a Deployment of one name are two."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


@st.composite
def worlds(
    draw: st.DrawFn,
    kinds: Sequence[str] = ("Deployment", "Pod"),
    admin: bool = False,
    exposed: bool = False,
    most: int = 4,
) -> World:
    """A cluster with at most `most` workloads and `most` policies."""
    slots = _slots(kinds, draw(st.booleans()) if admin else False, exposed, admin)
    out: World = []
    for name, choices in slots.items():
        least, limit = {"workload": (2, most), "policy": (1, most), "service": (1, 3), "ingress": (1, 2)}.get(
            name, (0, 2)
        )
        picked = draw(st.lists(st.integers(0, len(choices) - 1), min_size=least, max_size=limit, unique=True))
        out += [draw(choices[i]()) for i in picked]
    return _distinct([_aimed(draw, manifest, out) for manifest in out])


def _aimed(draw: st.DrawFn, manifest: Manifest, world: World) -> Manifest:
    """A Service mostly selects by the labels of a workload that is there: at random it would reach nothing."""
    if manifest["kind"] != "Service":
        return manifest
    found = [labels_of(m) for m in world if key(m)[1] == key(manifest)[1] and labels_of(m)]
    often: bool = draw(st.sampled_from((True, True, True, False)))
    if found and often:
        manifest["spec"]["selector"] = draw(st.sampled_from(found))
    return manifest


def labels_of(manifest: Manifest) -> dict[str, str]:
    """The labels of a workload's pods; those of nothing else."""
    template = manifest if manifest["kind"] == "Pod" else manifest.get("spec", {}).get("template", {})
    return template.get("metadata", {}).get("labels") or {}


@st.composite
def changes(
    draw: st.DrawFn,
    kinds: Sequence[str] = ("Deployment", "Pod"),
    admin: bool = False,
    exposed: bool = False,
    edits: int = 3,
) -> tuple[World, World]:
    """A world and the same after one to `edits` edits: an object drawn anew, relabelled, removed or added, of every kind."""
    base = draw(worlds(kinds, admin, exposed))
    modern = any(m["kind"] == "ClusterNetworkPolicy" for m in base)
    slots = _slots(kinds, modern, exposed, admin)
    head = {key(m): copy.deepcopy(m) for m in base}
    for _ in range(draw(st.integers(1, edits))):
        edit = draw(st.sampled_from(("again", "relabel", "remove", "add")))
        if edit == "add" or not head:
            choices = slots[draw(st.sampled_from(sorted(slots)))]
            fresh = _aimed(draw, draw(choices[draw(st.integers(0, len(choices) - 1))]()), list(head.values()))
            head[key(fresh)] = fresh
            continue
        kind = draw(st.sampled_from(sorted({kind for kind, *_ in head}) + ["NetworkPolicy"]))
        at = draw(st.sampled_from(sorted(found for found in head if found[0] == kind) or sorted(head)))
        if edit == "remove":
            del head[at]
        elif edit == "relabel":
            _relabel(draw, head[at])
        else:
            head[at] = _aimed(draw, draw(_again(head[at], kinds)), list(head.values()))
    return base, _distinct(list(head.values()))


def _relabel(draw: st.DrawFn, manifest: Manifest) -> None:
    """Other labels, everything else as it was; objects whose labels mean nothing keep theirs."""
    if manifest["kind"] == "Namespace":
        manifest["metadata"]["labels"] = draw(_labels(NAMESPACE_LABELS))
    elif manifest["kind"] == "Pod":
        manifest["metadata"]["labels"] = draw(_labels(POD_LABELS))
    elif "template" in manifest["spec"]:
        manifest["spec"]["template"]["metadata"]["labels"] = draw(_labels(POD_LABELS))


def _again(manifest: Manifest, kinds: Sequence[str]) -> st.SearchStrategy[Manifest]:
    kind, namespace, name = key(manifest)
    if kind == "Namespace":
        return namespaces(name)
    if kind == "NetworkPolicy":
        return network_policies(namespace, name)
    if kind == "Service":
        return services(namespace, name)
    if kind == "Ingress":
        return ingresses(namespace, name)
    if kind.endswith("NetworkPolicy"):
        priority = manifest["spec"].get("priority", 1)
        fresh = admin_policies(name, priority, kind == "ClusterNetworkPolicy")
        return fresh.filter(lambda policy: key(policy) == key(manifest))
    return workloads(namespace, name, (kind,))


def _distinct(world: World) -> World:
    """One object an identity, and one pod an address: the API server and the network see to that."""
    out: dict[tuple[str, str, str], Manifest] = {}
    taken: set[str] = set()
    for manifest in world:
        ips = [ip["ip"] for ip in manifest.get("status", {}).get("podIPs", [])]
        if taken.isdisjoint(ips) and key(manifest) not in out:
            out[key(manifest)] = manifest
            taken.update(ips)
    return list(out.values())


def text(world: World) -> str:
    """The world as one YAML stream (JSON documents are YAML)."""
    return "\n---\n".join(json.dumps(manifest) for manifest in world) + "\n"


def files(world: World) -> dict[str, bytes]:
    """The world as files, one an object, named after it: what a repository looks like."""
    return {"-".join(part for part in key(m) if part) + ".yaml": json.dumps(m).encode() + b"\n" for m in world}
