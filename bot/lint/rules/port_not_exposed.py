"""NP041: a port that no container declares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import INFO, WARNING, Draft, Rule
from bot.lint.ports import PROTOCOLS, PortRule, rules_with_ports, targets

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP041",
    name="port-not-exposed",
    severity=WARNING,
    detects="An ingress rule for a port that no container of the selected pods declares. For information only where "
    "some of their containers declare no ports at all.",
    why="The rule most likely opens the wrong port. (A container may listen on ports that it does not declare, so "
    "this is no error.)",
    bad="""\
ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 8080}]   # the container listens on 8081
""",
    fix="Use the port that the container listens on, or declare it there.",
    good="""\
ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 8081}]
""",
)
_MANY = 1_000  # a range as wide is not about a port that somebody listens on


def check(context: Context) -> Iterator[Draft]:
    """Every such port; one that is a Service's is service-port-used."""
    for rule in rules_with_ports(context):
        if rule.item.direction != "ingress" or not any(pod.ports for pod in rule.pods):
            continue
        some = [pod for pod in rule.pods if not pod.ports]
        for path, port in rule.ports:
            first, protocol = port.get("port"), PROTOCOLS.get(str(port.get("protocol") or "TCP"))
            if type(first) is not int or protocol is None:
                continue
            end = port.get("endPort")
            last = end if type(end) is int else first
            if last - first >= _MANY:
                continue
            declared = {own.number for pod in rule.pods for own in pod.ports if own.protocol == protocol}
            if any(first <= number <= last for number in declared) or _is_of_service(context, rule, first, protocol):
                continue
            message = f"no container of {words.workloads(rule.pods)} declares port {first}"
            if 0 < len(declared) <= 8:
                message += f"; {'it declares' if len({p.key for p in rule.pods}) == 1 else 'they declare'} {words.ports(declared)}"
            if some:
                message += f", and those of {words.workloads(some)} none at all"
            yield Draft(RULE, INFO if some else WARNING, rule.object, path, message, about=str(first))


def _is_of_service(context: Context, rule: PortRule, number: int, protocol: int) -> bool:
    return any((one.port, one.protocol) == (number, protocol) for pod in rule.pods for one in targets(context, pod))
