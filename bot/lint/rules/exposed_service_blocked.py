"""NP061: pods that are exposed, and that let nobody in from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import WARNING, Draft, Rule
from bot.lint.ports import PROTOCOLS
from bot.lint.reaching import admits, admits_elsewhere, controllers, isolator, numbers, outside, slots_of

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.lint.reaching import Isolator
    from bot.manifests.exposures import Backend, Exposure

RULE = Rule(
    id="NP061",
    name="exposed-service-blocked",
    severity=WARNING,
    detects="Pods behind a Service of type LoadBalancer or NodePort whose ingress admits no address outside of the "
    "cluster, and pods behind an Ingress or a route that admit nobody from another namespace (where the ingress "
    "controller is not in the repository).",
    why="What is exposed is meant to be reached from outside, and is not: clients time out.",
    bad="""\
kind: Service
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 443, targetPort: 8443}]}
---
kind: NetworkPolicy
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
""",
    fix="Admit the clients on the port of the pods, by an ipBlock; behind an Ingress, the controller's namespace.",
    good="""\
kind: NetworkPolicy
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{ipBlock: {cidr: 203.0.113.0/24}}]
      ports: [{port: 8443}]
""",
)


def check(context: Context) -> Iterator[Draft]:
    """One finding for each exposure and policy that is in the way."""
    for exposure in context.exposures:
        if exposure.kind == "Ingress" and controllers(context):
            continue
        found: dict[tuple[object, ...], tuple[str, Isolator, list[str]]] = {}
        for backend in exposure.backends:
            if backend.selector and any(
                context.is_told(obj) for obj in (exposure.object, backend.service) if obj is not None
            ):
                blocked = _blocked(context, exposure, backend)
                if blocked is not None:
                    name, by = blocked
                    found.setdefault((name, id(by.object), by.path), (name, by, []))[2].append(str(backend.port))
        for name, by, ports in found.values():
            what = f"{exposure.kind} `{exposure.namespace}/{exposure.name}`"
            whom = "no address outside of the cluster" if exposure.kind == "Service" else "nobody of another namespace"
            where = f"port{'' if len(ports) == 1 else 's'} {words.listed(sorted(set(ports)))}"
            message = f"`{name}` is exposed by {what}, and its ingress admits {whom} on {where}"
            yield Draft(RULE, WARNING, by.object, by.path, message, about=f"{what} {name}")


def _blocked(context: Context, exposure: Exposure, backend: Backend) -> tuple[str, Isolator] | None:
    """The first pod of a backend and what isolates it, where none of its pods admits anybody from outside."""
    direct = exposure.kind == "Service"
    protocol = PROTOCOLS[backend.protocol]
    blocked = []
    for slot, workload in slots_of(context, backend.namespace, backend.selector):
        points = [protocol << 16 | number for number in numbers(workload, backend.port, protocol)]
        if not points or not context.isolated("ingress") >> slot & 1 or admits(context, slot, outside(context), points):
            return None
        if not direct and admits_elsewhere(context, slot):
            return None
        blocked.append((slot, workload))
    by = isolator(context, "ingress", blocked[0][0]) if blocked else None
    return None if by is None else (blocked[0][1].name, by)
