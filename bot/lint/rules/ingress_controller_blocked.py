"""NP009: backends of an Ingress that the ingress controller may not reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import ERROR, Draft, Rule
from bot.lint.ports import PROTOCOLS
from bot.lint.reaching import admits, controllers, isolator, numbers, slots_of

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.exposures import Backend, Exposure

RULE = Rule(
    id="NP009",
    name="ingress-controller-blocked",
    severity=ERROR,
    detects="A backend of an Ingress whose pods do not admit the ingress controller on the port that it sends to. "
    "Controllers are known by their label `app.kubernetes.io/name` (ingress-nginx, traefik, contour, ...); one "
    "on the host network is not looked at.",
    why="The controller is the client of the pods: what it may not reach answers 502 or 504.",
    bad="""\
kind: NetworkPolicy
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{podSelector: {}}]   # the controller is in ingress-nginx
""",
    fix="Admit the namespace of the controller.",
    good="""\
kind: NetworkPolicy
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress-nginx}}}]
      ports: [{port: 8080}]
""",
)


def check(context: Context) -> Iterator[Draft]:
    """One finding for each Ingress and port that is blocked."""
    for exposure in context.exposures:
        if exposure.kind == "Ingress" and controllers(context):
            for backend in exposure.backends:
                if backend.selector and any(
                    context.is_told(obj) for obj in (exposure.object, backend.service) if obj is not None
                ):
                    yield from _backend(context, exposure, backend)


def _backend(context: Context, exposure: Exposure, backend: Backend) -> Iterator[Draft]:
    protocol = PROTOCOLS[backend.protocol]
    callers = controllers(context)
    if any(context.by_slot[slot].host_network for slot in _indices(callers)):
        return
    blocked = []
    for slot, workload in slots_of(context, backend.namespace, backend.selector):
        points = [protocol << 16 | number for number in numbers(workload, backend.port, protocol)]
        if not points or not context.isolated("ingress") >> slot & 1 or admits(context, slot, callers, points):
            return
        blocked.append((slot, workload))
    if blocked:
        by = isolator(context, "ingress", blocked[0][0])
        caller = context.workloads(callers)[0]
        if by is not None:
            name = f"Ingress `{exposure.namespace}/{exposure.name}`"
            message = (
                f"{name} sends to port {backend.port} of `{blocked[0][1].name}`, whose ingress does not admit the controller "
                f"`{caller.namespace}/{caller.name}`"
            )
            fix = f"allow ingress from namespace {caller.namespace} on port {backend.port}"
            yield Draft(RULE, ERROR, by.object, by.path, message, fix, about=f"{name} {backend.port}")


def _indices(bits: int) -> list[int]:
    from bot.reachability.endpoints import indices

    return indices(bits)
