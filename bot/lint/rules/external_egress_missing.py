"""NP005: pods that are told to talk to the world and may not leave the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.evidence import Host, external, is_external, telling
from bot.lint.finding import WARNING, Draft, Rule
from bot.lint.reaching import isolator, outside
from bot.reachability.endpoints import indices
from bot.reachability.numbered import lowest

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.lint.reaching import Isolator
    from bot.manifests.snapshot import Workload

RULE = Rule(
    id="NP005",
    name="external-egress-missing",
    severity=WARNING,
    detects="Pods whose egress is isolated and allows no address outside of the cluster, while a container names a host "
    "there: in a variable, an argument or a ConfigMap, by its name or by that of an ExternalName Service; or while an "
    "Istio ServiceEntry is for one, and no pod of its namespace is let out (where no egress gateway is in the repository).",
    why="Calls to that host time out.",
    bad="""\
env: [{name: STRIPE_URL, value: "https://api.stripe.com"}]
---
kind: NetworkPolicy
spec: {podSelector: {matchLabels: {app: shop}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}
""",
    fix="Allow the host's addresses by ipBlock; with Cilium, the host itself by `toFQDNs`.",
    good="""\
egress:
  - to: [{ipBlock: {cidr: 198.51.100.0/24}}]
    ports: [{protocol: TCP, port: 443}]
""",
)
_LOOKED_AT = 40


def check(context: Context) -> Iterator[Draft]:
    """One finding for each policy that keeps such pods inside."""
    found: dict[int, tuple[Isolator, list[tuple[Workload, Host]]]] = {}
    looked: dict[str, int] = {}
    may_name = telling(context)
    by_slot = context.pods
    for slot in indices(context.isolated("egress")) if may_name else ():
        workload = by_slot[slot]
        looked[workload.namespace] = looked.get(workload.namespace, 0) + 1
        if looked[workload.namespace] > _LOOKED_AT or id(workload.object) not in may_name:
            continue
        if context.reached("egress", slot) & _world(context):
            continue
        host = external(context, workload)
        by = isolator(context, "egress", slot) if host is not None else None
        if host is not None and by is not None:
            found.setdefault(id(by.object), (by, []))[1].append((workload, host))
    for by, pods in found.values():
        workload, host = pods[0]
        message = f"`{workload.name}` is told to reach `{host.name}` by {host.where}, and no policy lets it out of the cluster"
        if len(pods) > 1:
            message += f" (nor {words.workloads([pod for pod, _ in pods[1:]])})"
        port = host.port or 443
        yield Draft(RULE, WARNING, by.object, by.path, message, f"allow egress to {host.name} on TCP {port}")
    yield from _entries(context, {host.name for _, pods in found.values() for _, host in pods})


def _entries(context: Context, told: set[str]) -> Iterator[Draft]:
    """Entries for hosts outside (istio.io, Service Entry: MESH_EXTERNAL unless it says otherwise) in namespaces that nobody leaves."""
    entries = [
        obj for obj in context.snapshot.by_kind("ServiceEntry") if obj.api_version.startswith("networking.istio.io/")
    ]
    if not entries or context.run.pods[context.head].labelled("istio", ("egressgateway",)):
        return
    for obj in entries:
        spec = obj.value.get("spec")
        listed = spec.get("hosts") if type(spec) is dict else None
        if (
            type(listed) is not list
            or spec.get("location") == "MESH_INTERNAL"
            or spec.get("endpoints")
            or spec.get("workloadSelector")
        ):
            continue
        names = [name.removeprefix("*.").lower() for name in listed if type(name) is str]
        outside = [name for name in names if name not in told and is_external(context, name, obj.namespace)]
        pods = context.pods_by_namespace.get(obj.namespace, 0)
        if not outside or not pods or pods & ~context.isolated("egress"):
            continue
        slots = lowest(pods, _LOOKED_AT + 1)
        if len(slots) > _LOOKED_AT or any(context.reached("egress", slot) & _world(context) for slot in slots):
            continue
        by = isolator(context, "egress", slots[0])
        if by is not None and context.is_told(by.object):
            entry = f"ServiceEntry `{obj.namespace}/{obj.name}`"
            message = (
                f"{entry} is for `{outside[0]}`, and no policy lets any pod of `{obj.namespace}` out of the cluster"
            )
            yield Draft(RULE, WARNING, by.object, by.path, message, f"allow egress to {outside[0]}", about=entry)


def _world(context: Context) -> int:
    """The slots of what is no pod, of the host network neither."""
    pods = context.by_slot.items()
    return context.once("world", lambda: outside(context) & ~sum(1 << slot for slot, pod in pods if pod.host_network))  # type: ignore[no-any-return]
