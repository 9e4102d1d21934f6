"""NP042: the port of a Service where that of the pods is meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint.finding import ERROR, WARNING, Draft, Rule
from bot.lint.ports import PROTOCOLS, PortRule, Target, declares, rules_with_ports, targets

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Workload

RULE = Rule(
    id="NP042",
    name="service-port-used",
    severity=ERROR,
    detects="A rule for a port that is a Service's, while the Service sends to another port of the pods. A warning "
    "where other rules allow that one.",
    why="Policies see traffic after the Service has sent it to a pod: the port of the pod counts, and what the rule "
    "allows never comes.",
    bad="""\
kind: Service
spec: {selector: {app: api}, ports: [{port: 80, targetPort: 9090}]}
---
kind: NetworkPolicy
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
    - ports: [{port: 80}]
""",
    fix="Use the port of the pods.",
    good="""\
kind: NetworkPolicy
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
    - ports: [{port: 9090}]
""",
)
_LOOKED_AT = 10


def check(context: Context) -> Iterator[Draft]:
    """Every such port of a rule."""
    for rule in rules_with_ports(context):
        for path, port in rule.ports:
            number, protocol = port.get("port"), PROTOCOLS.get(str(port.get("protocol") or "TCP"))
            if type(number) is int and protocol is not None and "endPort" not in port:
                found = _target(context, rule, number, protocol)
                if found is not None:
                    pod, target = found
                    allowed = _is_allowed(context, rule, pod, target)
                    message = (
                        f"{number} is the port of Service `{target.service.name}`, which sends to port {target.number} of `{pod.name}`: "
                        f"{'that one is allowed too' if allowed else 'no rule allows that one'}"
                    )
                    yield Draft(
                        RULE,
                        WARNING if allowed else ERROR,
                        rule.object,
                        path,
                        message,
                        f"port {target.number}",
                        about=str(number),
                    )


def _target(context: Context, rule: PortRule, number: int, protocol: int) -> tuple[Workload, Target] | None:
    """The first pod for which the port is only a Service's; none where any pod has the port itself."""
    if any(declares(pod, number, protocol) for pod in rule.pods):
        return None
    for pod in rule.pods:
        own = [one for one in targets(context, pod) if one.protocol == protocol]
        if any(one.number == number for one in own):
            return None
        for one in own:
            if one.port == number and one.number:
                return pod, one
    return None


def _is_allowed(context: Context, rule: PortRule, pod: Workload, target: Target) -> bool:
    """Whether the union of policies lets anything to the pod's port: into it for ingress, from the selected pods for egress."""
    point = target.protocol << 16 | target.number
    slots = [slot for slot, own in context.by_slot.items() if own is pod or own.key == pod.key]
    if rule.item.direction == "ingress":
        return any(context.reached("ingress", slot, point) & ~(1 << slot) for slot in slots)
    wanted = sum(1 << slot for slot in slots)
    return any(
        context.reached("egress", slot, point) & wanted
        for slot in context.subjects(rule.view.policy, "egress")[:_LOOKED_AT]
    )
