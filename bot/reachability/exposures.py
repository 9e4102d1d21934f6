"""Ingresses, routes and load balancers of both sides in; source endpoints with a built-in policy towards their backends out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.policies import addresses as address_line
from bot.policies.intervals import Intervals
from bot.policies.model import (
    EVERYTHING,
    PODS,
    Checkpoint,
    Expr,
    HasPort,
    InAddresses,
    InNamespace,
    Is,
    Isolation,
    Label,
    Origin,
    Policy,
    Rule,
    Section,
    Tier,
    conjunction,
)
from bot.policies.traffic import ports
from bot.reachability.slots import Persona

if TYPE_CHECKING:
    from bot.manifests.exposures import Backend, Exposure
    from bot.manifests.snapshot import Snapshot

Identity = tuple[str, ...]
CHECKPOINT = Checkpoint("exposure", "source", (Tier("backends", "backends of the exposure", "deny", commutes=True),))
PROTOCOL_NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}
CONTROLLERS = {
    "ingress-nginx",
    "traefik",
    "haproxy-ingress",
    "kubernetes-ingress",
    "contour",
    "emissary-ingress",
    "kong",
    "envoy-gateway",
}


class ExposedRow(NamedTuple):
    """An exposure as an endpoint: what policies take it for on each side (None: it is not there)."""

    identity: Identity
    base: tuple[Persona, ...] | None
    head: tuple[Persona, ...] | None


class Exposed(NamedTuple):
    """Both sides' exposures and their built-in policies; an unchanged one has the identical policy on both sides."""

    rows: tuple[ExposedRow, ...]
    base: tuple[Policy, ...]
    head: tuple[Policy, ...]


def expose(
    base: Snapshot, head: Snapshot, port_numbers: Mapping[tuple[str, int], Sequence[int]], internet: Intervals
) -> Exposed:
    """`internet`: the addresses that no CIDR of a policy mentions; `port_numbers`: what container port names resolve to."""
    from bot.manifests.exposures import exposures

    sides: list[dict[Identity, tuple[Exposure, Policy]]] = []
    for snapshot in (base, head):
        found: dict[Identity, tuple[Exposure, Policy]] = {}
        for exposure in exposures(snapshot):
            identity = ("exposure", exposure.namespace, exposure.kind, exposure.name)
            known = sides[0].get(identity) if sides else None
            same = known is not None and known[0].backends == exposure.backends and known[0].object is exposure.object
            found[identity] = (
                exposure,
                known[1] if same and known is not None else _policy(identity, exposure, port_numbers),
            )
        sides.append(found)
    rows = tuple(
        ExposedRow(
            identity,
            _personas(sides[0][identity][0], base, internet) if identity in sides[0] else None,
            _personas(sides[1][identity][0], head, internet) if identity in sides[1] else None,
        )
        for identity in sorted({*sides[0], *sides[1]})
    )
    return Exposed(rows, *(tuple(policy for _, (_, policy) in sorted(side.items())) for side in sides))


def _policy(identity: Identity, exposure: Exposure, port_numbers: Mapping[tuple[str, int], Sequence[int]]) -> Policy:
    here = Is((identity,))
    origin = Origin(exposure.object)
    rules: list[Rule] = []
    for backend in exposure.backends:
        for target, number in _targets(backend, port_numbers):
            rules.append(Rule("allow", here, target, ports(PROTOCOL_NUMBERS[backend.protocol], number, number), origin))
    section = Section("exposure", "backends", (), tuple(rules), (Isolation(here, EVERYTHING, origin),))
    return Policy(
        (exposure.kind, exposure.namespace, exposure.name),
        f"{exposure.kind} {exposure.namespace}/{exposure.name}",
        exposure.object,
        (section,),
    )


def _targets(backend: Backend, port_numbers: Mapping[tuple[str, int], Sequence[int]]) -> list[tuple[Expr, int]]:
    if backend.addresses:
        reached: Expr = InAddresses(
            tuple(sorted(pair for a in backend.addresses for pair in address_line.parse_cidr(a)))
        )
    else:
        labels: list[Expr] = [Label("pod", key, "in", (value,)) for key, value in sorted(backend.selector.items())]
        reached = (
            conjunction([InNamespace(backend.namespace), *labels])
            if labels
            else conjunction([PODS, InNamespace(backend.namespace)])
        )
    if isinstance(backend.port, int):
        return [(reached, backend.port)]
    protocol = PROTOCOL_NUMBERS[backend.protocol]
    return [
        (conjunction([reached, HasPort(backend.port, protocol, number)]), number)
        for number in port_numbers.get((backend.port, protocol), ())
    ]


def _personas(exposure: Exposure, snapshot: Snapshot, internet: Intervals) -> tuple[Persona, ...]:
    """What policies see: the controller's pod where it is known, else an unlabelled pod elsewhere; a Service's client or a node."""
    if exposure.kind == "Service":
        client = Persona("address", addresses=internet)
        return (client,) if exposure.local else (client, Persona("node", addresses=None))
    for workload in snapshot.workloads:
        if workload.labels.get("app.kubernetes.io/name") in CONTROLLERS and not workload.host_network:
            namespace = snapshot.namespaces.get(workload.namespace)
            seen = {"pod": workload.labels, "namespace": namespace.labels if namespace else {}}
            return (Persona("pod", workload.namespace, seen, (), None),)
    return (Persona("pod", "\x00elsewhere", {"pod": {}, "namespace": {}}, (), None),)
