"""A generated folder in, the same with half of its NetworkPolicies written in another API, or with cluster-wide policies beside, out.

Which half is a matter of each policy's name, so that base and head of one cluster are rewritten alike.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
TIERS = ("default", "security", "app")


def _is_chosen(policy: Manifest) -> int | None:
    """Half of the policies: 0, 1 or 2 in turn."""
    number = zlib.crc32("/".join((policy["metadata"]["namespace"], policy["metadata"]["name"])).encode()) % 6
    return number if number < 3 else None


def _ends(rule: Manifest, field: str) -> list[Manifest | None]:
    return list(rule.get(field) or [None])


def _labels(selector: Manifest | None) -> dict[str, str]:
    return dict((selector or {}).get("matchLabels") or {})


def _cilium(policy: Manifest) -> Manifest | None:
    """A CiliumNetworkPolicy; every TCP port of an ingress rule between pods allows two kinds of HTTP requests alone."""
    spec = policy["spec"]
    out: Manifest = {"endpointSelector": {"matchLabels": _labels(spec.get("podSelector"))}}
    for direction, field, word in (("ingress", "from", "from"), ("egress", "to", "to")):
        if direction.capitalize() not in spec.get("policyTypes", ["Ingress"]):
            continue
        rules: list[Manifest] = []
        for rule in spec.get(direction) or []:
            for peer in _ends(rule, field):
                made: Manifest = {}
                if peer is None:
                    made[f"{word}Entities"] = ["all"]
                elif "ipBlock" in peer:
                    block = peer["ipBlock"]
                    made[f"{word}CIDRSet"] = [{"cidr": block["cidr"], "except": block.get("except", [])}]
                else:
                    labels = {
                        f"io.kubernetes.pod.namespace.labels.{key}"
                        if "/" not in key
                        else "k8s:io.kubernetes.pod.namespace": value
                        for key, value in _labels(peer.get("namespaceSelector")).items()
                    }
                    made[f"{word}Endpoints"] = [{"matchLabels": {**_labels(peer.get("podSelector")), **labels}}]
                if rule.get("ports"):
                    made["toPorts"] = [_cilium_port(port, direction, peer) for port in rule["ports"]]
                rules.append(made)
        out[direction] = rules or [{}]
    return {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": policy["metadata"], "spec": out}


def _cilium_port(port: Manifest, direction: str, peer: Manifest | None) -> Manifest:
    protocol = port.get("protocol", "TCP")
    one: Manifest = {"port": str(port["port"]), "protocol": protocol}
    if "endPort" in port:
        one["endPort"] = port["endPort"]
    made: Manifest = {"ports": [one]}
    if protocol == "TCP" and direction == "ingress" and peer is not None and "endPort" not in port:
        paths = (
            {"method": "GET", "path": f"/api/v{zlib.crc32(str(port).encode()) % 5}/.*"},
            {"method": "POST", "path": "/orders"},
        )
        made["rules"] = {"http": list(paths)}
    return made


def _selector(selector: Manifest | None) -> str:
    return " && ".join(f"{key} == '{value}'" for key, value in _labels(selector).items()) or "all()"


def _calico(policy: Manifest) -> Manifest | None:
    """A Calico NetworkPolicy in one of three tiers."""
    spec = policy["spec"]
    out: Manifest = {
        "tier": TIERS[_is_chosen(policy) or 0],
        "order": 100,
        "selector": _selector(spec.get("podSelector")),
        "types": spec.get("policyTypes", ["Ingress"]),
    }
    for direction, field, side in (("ingress", "from", "source"), ("egress", "to", "destination")):
        rules: list[Manifest] = []
        for rule in spec.get(direction) or []:
            protocols: dict[str | None, list[Any]] = {}
            for port in rule.get("ports") or []:
                number = f"{port['port']}:{port['endPort']}" if "endPort" in port else port["port"]
                protocols.setdefault(port.get("protocol", "TCP"), []).append(number)
            for peer in _ends(rule, field):
                for protocol, ports in (protocols or {None: []}).items():
                    made: Manifest = {"action": "Allow"} | ({"protocol": protocol} if protocol else {})
                    ends = {side: _calico_peer(peer)}
                    if ports:
                        ends.setdefault("destination", {})["ports"] = ports
                    rules.append(made | {name: end for name, end in ends.items() if end})
        if rules:
            out[direction] = rules
    metadata = policy["metadata"]
    return {"apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy", "metadata": metadata, "spec": out}


def _calico_peer(peer: Manifest | None) -> Manifest:
    if peer is None:
        return {}
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        return {"nets": [block["cidr"]]} | ({"notNets": block["except"]} if block.get("except") else {})
    return {
        f"{word}elector": _selector(peer[f"{kind}Selector"])
        for word, kind in (("s", "pod"), ("namespaceS", "namespace"))
        if f"{kind}Selector" in peer
    }


def _rewritten(folder: Path, change: Callable[[Manifest], Manifest | None], beside: list[Manifest]) -> Path:
    target = folder.with_name(folder.name + "-other")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for file in sorted(folder.glob("*.yaml")):
        texts = []
        for text in file.read_text().split("---\n"):
            if "kind: NetworkPolicy\n" in text:
                policy = yaml.load(text, yaml.CSafeLoader)
                made = change(policy) if _is_chosen(policy) is not None else None
                text = text if made is None else yaml.dump(made, Dumper=yaml.CSafeDumper, sort_keys=False)
            texts.append(text)
        (target / file.name).write_text("---\n".join(texts))
    if beside:
        (target / "beside.yaml").write_text("---\n".join(yaml.dump(one, sort_keys=False) for one in beside))
    return target


def cilium(folder: Path) -> Path:
    """Half of the policies as CiliumNetworkPolicies, most with HTTP rules."""
    return _rewritten(folder, _cilium, [])


def calico(folder: Path) -> Path:
    """Half of the policies as Calico NetworkPolicies in three tiers."""
    tiers = [
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "Tier",
            "metadata": {"name": name},
            "spec": {"order": order, "defaultAction": "Pass"},
        }
        for name, order in (("security", 100), ("app", 200))
    ]
    return _rewritten(folder, _calico, tiers)


def cluster_wide(folder: Path) -> Path:
    """Twenty ClusterNetworkPolicies of both tiers beside."""
    policies = [
        {
            "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": f"wide-{number:02}"},
            "spec": {
                "tier": "Admin" if number % 2 else "Baseline",
                "priority": number,
                "subject": {"namespaces": {} if number % 3 else {"matchLabels": {"team": f"team-{number % 5}"}}},
                "egress": [
                    {
                        "name": "addresses",
                        "action": "Deny",
                        "to": [{"networks": [f"203.0.113.{8 * number}/29"]}],
                    }
                ],
                "ingress": [
                    {
                        "name": "pods",
                        "action": ("Accept", "Deny", "Pass")[number % 3] if number % 2 else "Deny",
                        "from": [
                            {
                                "pods": {
                                    "namespaceSelector": {},
                                    "podSelector": {"matchLabels": {"tier": f"tier-{number}"}},
                                }
                            }
                        ],
                        "protocols": [{"tcp": {"destinationPort": {"number": 9000 + number}}}],
                    }
                ],
            },
        }
        for number in range(1, 21)
    ]
    return _rewritten(folder, lambda _: None, policies)


APIS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "half as Cilium with HTTP": (cilium, "cilium"),
    "half as Calico, three tiers": (calico, "calico"),
    "20 cluster-wide policies": (cluster_wide, ""),
}
"""What `bench/run.py --apis` measures: how a folder is rewritten, and the CNI it is read with."""
