"""A Snapshot's Node objects in; labels and addresses out, and the addresses of the nodes that a selector selects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.policies import addresses, intervals
from bot.policies.intervals import Intervals
from bot.policies.model import And, Everything, Expr, Label, Not

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot


class Node(NamedTuple):
    """One Node: its labels and the addresses in its status (`InternalIP`, `ExternalIP`)."""

    name: str
    labels: Mapping[str, str]
    addresses: Intervals


Nodes = tuple[Node, ...]


def read_nodes(snapshot: Snapshot) -> Nodes:
    """The Node objects of one side, by name. What is malformed in one is left out."""
    found = []
    for obj in snapshot.by_kind("Node"):
        if obj.api_version == "v1":
            metadata, status = obj.value.get("metadata"), obj.value.get("status")
            labels = metadata.get("labels") if isinstance(metadata, dict) else None
            known = status.get("addresses") if isinstance(status, dict) else None
            pairs = [pair for item in (known if isinstance(known, list) else ()) for pair in _address(item)]
            texts = {str(k): str(v) for k, v in labels.items()} if isinstance(labels, dict) else {}
            found.append(Node(obj.name, texts, intervals.normal(pairs)))
    return tuple(sorted(found, key=lambda node: node.name))


def node_addresses(nodes: Nodes, selector: Expr) -> Intervals:
    """Where the nodes are that a selector over scope `node` selects."""
    return intervals.normal(pair for node in nodes if _selects(selector, node.labels) for pair in node.addresses)


def _address(item: object) -> Intervals:
    if isinstance(item, dict) and str(item.get("type")).endswith("IP") and isinstance(item.get("address"), str):
        try:
            return addresses.parse_cidr(item["address"])
        except ValueError:
            return ()
    return ()


def _selects(selector: Expr, labels: Mapping[str, str]) -> bool:
    if isinstance(selector, And):
        return all(_selects(part, labels) for part in selector.parts)
    if isinstance(selector, Not):
        return not _selects(selector.inner, labels)
    if isinstance(selector, Label):
        value = labels.get(selector.key)
        return value is not None and (selector.operator == "exists" or value in selector.values)
    return isinstance(selector, Everything)
