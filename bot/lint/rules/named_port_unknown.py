"""NP040: the name of a port that no container has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.finding import ERROR, INFO, Draft, Rule
from bot.lint.ports import PROTOCOLS, declares, numbers_of, rules_with_ports

if TYPE_CHECKING:
    from bot.lint.context import Context

RULE = Rule(
    id="NP040",
    name="named-port-unknown",
    severity=ERROR,
    detects="A port by a name that no container of the pods has: of the selected pods for ingress, of the peers for "
    "egress. For information only where the pods have it at different numbers.",
    why="A name that no container has stands for no port at all, so the rule allows nothing.",
    bad="""\
ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: metrics}]   # the container calls it `http-metrics`
""",
    fix="Use the name that the containers give the port, or its number.",
    good="""\
ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: http-metrics}]
""",
)


def check(context: Context) -> Iterator[Draft]:
    """Every name of a rule whose pods are all known."""
    for rule in rules_with_ports(context):
        if not rule.pods or (rule.item.direction == "egress" and context.snapshot.unread):
            continue
        for path, port in rule.ports:
            name = port.get("port")
            protocol = PROTOCOLS.get(str(port.get("protocol", "TCP")))
            if type(name) is not str or protocol is None:
                continue
            numbers = numbers_of(rule.pods, name, protocol)
            if not numbers:
                known = sorted(
                    {own.name for pod in rule.pods for own in pod.ports if own.name and own.protocol == protocol}
                )
                meant = next((own for own in known if context.speller.is_typo(name, own)), None)
                hint = f"; did you mean `{meant}`?" if meant else ""
                if known and not meant:
                    hint = f"; the names there are {words.listed([f'`{own}`' for own in known])}"
                elsewhere = any(own.name == name for pod in rule.pods for own in pod.ports)
                of = f" of protocol {port.get('protocol') or 'TCP'}" if elsewhere else ""
                message = f"no container of {words.workloads(rule.pods)} has a port named `{name[:60]}`{of}{hint}"
                yield Draft(RULE, ERROR, rule.object, path, message, f"`{meant}`" if meant else "", about=name)
            elif len(numbers) > 1 and all(declares(pod, name, protocol) for pod in rule.pods):
                message = f"`{name}` is {words.listed([str(number) for number in numbers])}, by the pod"
                yield Draft(
                    RULE, INFO, rule.object, path, message, "make sure that every one of them is meant", about=name
                )
