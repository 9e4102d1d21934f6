"""NP006: pods that use the Kubernetes API and may not reach it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint import words
from bot.lint.finding import WARNING, Draft, Rule
from bot.lint.reaching import isolator, outside
from bot.policies.traffic import TCP
from bot.reachability.endpoints import indices

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.lint.reaching import Isolator
    from bot.manifests.snapshot import Workload

RULE = Rule(
    id="NP006",
    name="kube-api-egress-missing",
    severity=WARNING,
    detects="Pods with a ServiceAccount to which a RoleBinding gives rights, whose egress is isolated and allows "
    "neither port 443 nor 6443 of any node or address outside of the pod network.",
    why="The API server runs on nodes or outside of the cluster, so no podSelector matches it. A controller that "
    "cannot reach it does nothing.",
    bad="""\
kind: RoleBinding
subjects: [{kind: ServiceAccount, name: operator, namespace: ops}]
---
kind: NetworkPolicy
spec: {podSelector: {matchLabels: {app: operator}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}]}]}
""",
    fix="Allow the API server's addresses on its port by ipBlock; with Cilium, `toEntities: [kube-apiserver]`.",
    good="""\
egress:
  - to: [{ipBlock: {cidr: 192.0.2.10/32}}]
    ports: [{protocol: TCP, port: 6443}]
""",
)
_PORTS = (443, 6443)


def check(context: Context) -> Iterator[Draft]:
    """One finding for each policy that keeps such pods from it."""
    accounts = _accounts(context)
    found: dict[int, tuple[Isolator, list[Workload]]] = {}
    for slot in indices(context.isolated("egress")):
        workload = context.by_slot[slot]
        if (workload.namespace, workload.service_account) not in accounts:
            continue
        if any(context.reached("egress", slot, TCP << 16 | port) & outside(context) for port in _PORTS):
            continue
        by = isolator(context, "egress", slot)
        if by is not None and context.is_told(by.object) and _has_token(workload):
            found.setdefault(id(by.object), (by, []))[1].append(workload)
    for by, pods in found.values():
        rights = f"{'has' if len({pod.key for pod in pods}) == 1 else 'have'} rights in the Kubernetes API"
        message = f"{words.workloads(pods)} {rights}, and no policy allows port 443 or 6443 of the API server"
        yield Draft(RULE, WARNING, by.object, by.path, message)


def _accounts(context: Context) -> frozenset[tuple[str, str]]:
    """(namespace, name) of every ServiceAccount with rights; `default` left out: whoever binds it means no one in particular."""
    out = set()
    for obj in context.snapshot.by_kind("RoleBinding", "ClusterRoleBinding"):
        subjects = obj.value.get("subjects")
        for subject in subjects if type(subjects) is list else ():
            if type(subject) is dict and subject.get("kind") == "ServiceAccount" and type(subject.get("name")) is str:
                out.add((str(subject.get("namespace") or obj.namespace), subject["name"]))
    return frozenset(one for one in out if one[1] != "default")


def _has_token(workload: Workload) -> bool:
    value: Any = workload.object.value
    for step in ("spec", "template", "spec") if not workload.pod else ("spec",):
        value = value.get(step) if type(value) is dict else None
    return not (type(value) is dict and value.get("automountServiceAccountToken") is False)
