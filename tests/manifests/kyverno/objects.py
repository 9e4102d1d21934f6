"""Short ways to write the objects of these tests."""

from __future__ import annotations

from typing import Any

import yaml

from bot.manifests.kyverno import generate
from bot.manifests.kyverno.model import Generated

DENY = {"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
OWN_NAME = "{{request.object.metadata.name}}"


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def config_map(name: str, namespace: str = "default", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def network_policy(name: str, namespace: str, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": DENY["spec"]}


def rule(**changes: Any) -> dict[str, Any]:
    """A default deny for every namespace, with these fields of the rule instead."""
    target = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "name": "deny", "namespace": OWN_NAME}
    return {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["Namespace"]}}]},
        "generate": {**target, "data": DENY},
        **changes,
    }


def target(**changes: Any) -> dict[str, Any]:
    """The `generate` of `rule`, with these fields instead; None takes one away."""
    fields = {**rule()["generate"], **changes}
    return {key: value for key, value in fields.items() if value is not None}


def policy(*rules: dict[str, Any], name: str = "p", kind: str = "ClusterPolicy", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name} if kind == "ClusterPolicy" else {"name": name, "namespace": "default"}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": {"rules": list(rules or [rule()]), **spec},
    }


def made(generated: Generated) -> list[str]:
    """What was generated, as kind namespace/name, with what is special about it."""
    return sorted(
        f"{each.key[1]} {each.key[2]}/{each.key[3]}"
        + (" (new)" if each.only_new else "")
        + (" (kept)" if each.kept else "")
        for each in generated.objects
    )


def namespaces_of(*objects: dict[str, Any]) -> list[str]:
    """The namespaces that something was generated for."""
    return sorted(each.key[2] for each in generate(objects).objects)


def texts(generated: Generated) -> list[tuple[str, bool]]:
    return [(note.text, note.incomplete) for note in generated.notes]


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]
