"""NP008: metrics that Prometheus may not fetch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.lint import words
from bot.lint.finding import WARNING, Draft, Rule
from bot.lint.ports import services, targets
from bot.lint.reaching import admits, isolator, numbers, scrapers, slots_of
from bot.policies.traffic import TCP

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object, Workload

RULE = Rule(
    id="NP008",
    name="scrape-blocked",
    severity=WARNING,
    detects="A port that a ServiceMonitor, a PodMonitor or the annotation `prometheus.io/scrape` tells Prometheus to "
    "fetch, of pods whose ingress does not admit the Prometheus pods that are in the repository.",
    why="The target is down for Prometheus, and alerts that are made of its metrics are silent.",
    bad="""\
kind: ServiceMonitor
spec: {selector: {matchLabels: {app: api}}, endpoints: [{port: metrics}]}
---
kind: NetworkPolicy
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
    - from: [{podSelector: {matchLabels: {app: web}}}]
""",
    fix="Admit the Prometheus pods on that port.",
    good="""\
kind: NetworkPolicy
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
          podSelector: {matchLabels: {app.kubernetes.io/name: prometheus}}
      ports: [{port: 9100}]
""",
)
_ANNOTATION = "prometheus.io/scrape"


class _Target(NamedTuple):
    slot: int
    workload: Workload
    number: int
    by: str


def check(context: Context) -> Iterator[Draft]:
    """One finding for each policy that is in the way, and what asks for the metrics."""
    callers = scrapers(context)
    if not callers or not context.isolated("ingress"):
        return
    blocked: dict[tuple[int, str], list[tuple[_Target, Any]]] = {}
    for target in (*_monitored(context), *_annotated(context)):
        isolated = context.isolated("ingress") >> target.slot & 1
        if isolated and not admits(context, target.slot, callers & ~(1 << target.slot), [TCP << 16 | target.number]):
            by = isolator(context, "ingress", target.slot)
            if by is not None and context.is_told(by.object) and not callers >> target.slot & 1:
                blocked.setdefault((id(by.object), target.by), []).append((target, by))
    for found in blocked.values():
        target, by = found[0]
        pods = words.workloads([one.workload for one, _ in found])
        ports = words.ports(one.number for one, _ in found)
        message = f"{target.by} has Prometheus fetch port {ports} of {pods}, and the ingress there does not admit it"
        yield Draft(
            RULE,
            WARNING,
            by.object,
            by.path,
            message,
            f"allow ingress from Prometheus on port {ports}",
            about=target.by,
        )


def _monitored(context: Context) -> Iterator[_Target]:
    for obj in context.snapshot.by_kind("ServiceMonitor", "PodMonitor"):
        spec = obj.value.get("spec")
        labels = _map(_map(_map(spec).get("selector")).get("matchLabels"))
        if not labels or "matchExpressions" in _map(_map(spec).get("selector")):
            continue
        name = f"{obj.kind} `{obj.namespace}/{obj.name}`"
        for namespace in _namespaces(context, obj, _map(spec)):
            if obj.kind == "PodMonitor":
                ends = _maps(_map(spec).get("podMetricsEndpoints"))
                for slot, workload in slots_of(context, namespace, labels):
                    for end in ends:
                        for number in numbers(workload, end.get("portNumber") or str(end.get("port")), TCP):
                            yield _Target(slot, workload, number, name)
            else:
                yield from _of_services(context, namespace, labels, _maps(_map(spec).get("endpoints")), name)


def _of_services(
    context: Context, namespace: str, labels: dict[str, Any], ends: list[dict[str, Any]], name: str
) -> Iterator[_Target]:
    for service, selector, ports in services(context).get(namespace, ()):
        own = _map(service.value["metadata"].get("labels"))
        if not all(own.get(key) == value for key, value in labels.items()):
            continue
        for slot, workload in slots_of(context, namespace, selector):
            reached = [
                one
                for one in targets(context, workload)
                if one.service is service and one.protocol == TCP and one.number
            ]
            for end in ends:
                wanted = {port.get("port") for port in ports if port.get("name") == end.get("port") and end.get("port")}
                for one in reached:
                    if one.port in wanted:
                        yield _Target(slot, workload, one.number, name)


def _namespaces(context: Context, obj: Object, spec: dict[str, Any]) -> list[str]:
    selector = _map(spec.get("namespaceSelector"))
    if selector.get("any") is True:
        return list(context.snapshot.namespaces)
    names = selector.get("matchNames")
    return [name for name in names if type(name) is str] if type(names) is list else [obj.namespace]


def _annotated(context: Context) -> Iterator[_Target]:
    for slot, workload in context.by_slot.items():
        obj = workload.object
        if workload.host_network or _ANNOTATION not in obj.document.text or not context.isolated("ingress") >> slot & 1:
            continue
        annotations = _annotations(obj.value)
        port = str(annotations.get("prometheus.io/port", ""))
        if str(annotations.get(_ANNOTATION)).lower() == "true" and port.isdigit():
            yield _Target(slot, workload, int(port), f"the annotation of `{workload.name}`")


def _annotations(value: dict[str, Any]) -> dict[str, Any]:
    spec = _map(value.get("spec"))
    template = (
        _map(_map(_map(spec.get("jobTemplate")).get("spec")).get("template")) or _map(spec.get("template")) or value
    )
    return _map(_map(template.get("metadata")).get("annotations"))


def _map(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _maps(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if type(item) is dict] if type(value) is list else []
