"""One side in; the rules of its NetworkPolicies that name ports out, each with the pods whose ports they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from bot.lint.context import Context, Item, Peer, View
    from bot.lint.finding import Path
    from bot.manifests.snapshot import Object, Workload

PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}


class PortRule(NamedTuple):
    """A rule with ports. `pods`: who listens on them, as far as they are in Git; `ports`: each with its path.

    `whole`: no more than these pods can be meant: every peer asks for labels, and has a match.
    """

    object: Object
    view: View
    item: Item
    pods: tuple[Workload, ...]
    ports: tuple[tuple[Path, dict[str, Any]], ...]
    whole: bool


def rules_with_ports(context: Context) -> tuple[PortRule, ...]:
    """Every rule of a NetworkPolicy that counts and names ports."""
    return context.once("rules_with_ports", lambda: tuple(_rules(context)))  # type: ignore[no-any-return]


def _rules(context: Context) -> Iterator[PortRule]:
    by_item: dict[tuple[int, Path], list[Peer]] = {}
    for peer in context.peers:
        if peer.direction == "egress" and peer.object.kind == "NetworkPolicy":
            by_item.setdefault((id(peer.policy), peer.path[:3]), []).append(peer)
    for view in context.views:
        subject = context.subject(view.policy)
        own = tuple(context.selected(subject)) if subject is not None else ()
        for item in view.items:
            if not item.ports or item.direction not in view.types:
                continue
            listed = tuple(
                ((*item.path, "ports", at), port) for at, port in enumerate(item.value["ports"]) if type(port) is dict
            )
            if item.direction == "ingress":
                yield PortRule(view.object, view, item, own, listed, True)
                continue
            peers = by_item.get((id(view.policy), item.path), [])
            found = [context.selected(peer.other) for peer in peers]
            narrow = all(_is_narrow(item, peer) for peer in peers) and bool(item.peers)
            pods = tuple({id(pod): pod for some in found for pod in some}.values()) if narrow else ()
            yield PortRule(view.object, view, item, pods, listed, narrow and all(found))


def _is_narrow(item: Item, peer: Peer) -> bool:
    """Whether the peer is pods by a label: for all pods of a namespace, nobody can tell whose port is meant."""
    at = peer.path[-1]
    value = item.value["to"][at] if isinstance(at, int) and len(peer.path) > 3 else None
    return type(value) is dict and bool(value.get("podSelector"))


def numbers_of(pods: Sequence[Workload], name: str, protocol: int) -> list[int]:
    """What the name of a port stands for among these pods."""
    return sorted({port.number for pod in pods for port in pod.ports if (port.name, port.protocol) == (name, protocol)})


def declares(pod: Workload, port: str | int, protocol: int) -> bool:
    """Whether a container of the pod has the port, by its name or number."""
    return any(own.protocol == protocol and port in (own.name, own.number) for own in pod.ports)


class Target(NamedTuple):
    """A port of a Service, and where it leads for one pod: its number there, 0 where nothing is known."""

    service: Object
    port: int
    protocol: int
    number: int


def targets(context: Context, pod: Workload) -> tuple[Target, ...]:
    """The ports of the Services that select a pod."""
    known = context.once("targets", dict)
    found = known.get(id(pod))
    if found is None:
        found = known[id(pod)] = (pod, tuple(_targets(context, pod)))
    return found[1]  # type: ignore[no-any-return]


def _targets(context: Context, pod: Workload) -> Iterator[Target]:
    for service, selector, ports in services(context).get(pod.namespace, ()):
        if all(pod.labels.get(key) == value for key, value in selector.items()):
            for port in ports:
                number, protocol = port.get("port"), PROTOCOLS.get(str(port.get("protocol") or "TCP"))
                target: int | str = port.get("targetPort") or number or 0
                if type(number) is not int or protocol is None:
                    continue
                if type(target) is str and not target.isdigit():
                    at = numbers_of((pod,), target, protocol)
                    yield Target(service, number, protocol, at[0] if at else 0)
                else:
                    yield Target(service, number, protocol, int(target) if str(target).isdigit() else 0)


def services(context: Context) -> dict[str, list[tuple[Object, dict[str, Any], list[dict[str, Any]]]]]:
    """Namespace -> its Services that select pods, each with its selector and its ports."""

    def make() -> dict[str, list[tuple[Object, dict[str, Any], list[dict[str, Any]]]]]:
        out: dict[str, list[tuple[Object, dict[str, Any], list[dict[str, Any]]]]] = {}
        for obj in context.snapshot.by_kind("Service"):
            spec = obj.value.get("spec") if "/" not in obj.api_version else None
            selector = spec.get("selector") if type(spec) is dict else None
            ports = spec.get("ports") if type(spec) is dict else None
            if type(selector) is dict and selector and type(ports) is list:
                out.setdefault(obj.namespace, []).append(
                    (obj, selector, [port for port in ports if type(port) is dict])
                )
        return out

    return context.once("services", make)  # type: ignore[no-any-return]
