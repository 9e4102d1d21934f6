"""NP001: pods that may not ask cluster DNS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.lint import words
from bot.lint.context import LABELS_OF_DNS
from bot.lint.evidence import named
from bot.lint.finding import ERROR, WARNING, Draft, Edit, Rule
from bot.lint.near import holds, labels_asked
from bot.policies.traffic import UDP
from bot.reachability.endpoints import indices

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object, Workload
    from bot.policies.model import Origin, Policy

RULE = Rule(
    id="NP001",
    name="dns-egress-missing",
    severity=ERROR,
    detects="Pods whose egress is isolated, where no policy of all that select them allows UDP 53 to cluster DNS (pods "
    "labelled `k8s-app: kube-dns` in kube-system, or the node-local cache 169.254.20.10). An error where one of "
    "their containers names a Service or a host.",
    why="Without DNS no name resolves. The allow rules are right and the application fails all the same, with a "
    "timeout that looks like a fault of the network.",
    bad="""\
kind: NetworkPolicy
metadata: {name: default-deny, namespace: jobs}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
""",
    fix="Allow UDP and TCP 53 to `kube-dns` in kube-system for the same pods.",
    good="""\
kind: NetworkPolicy
metadata: {name: allow-dns, namespace: jobs}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
    - to:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
          podSelector: {matchLabels: {k8s-app: kube-dns}}
      ports:
        - {protocol: UDP, port: 53}
        - {protocol: TCP, port: 53}
""",
    fixable=True,
)
_LOOKED_AT = 40


def check(context: Context) -> Iterator[Draft]:
    """One finding for each policy that isolates such pods; of several that do, the widest."""
    affected = context.isolated("egress")
    if affected:
        affected &= ~context.dns_surely_allowed
    if affected:
        affected &= ~context.dns_allowed[0] & ~_is_dns(context)
    if affected:
        affected &= ~_allowed_by_labels(context)
    if not affected:
        return
    isolating = sorted(context.isolating("egress"), key=lambda found: (-found[1].bit_count(), found[0].key))
    for policy, bits, origin in isolating:
        own = bits & affected
        affected &= ~own
        if own and policy.object is not None:
            yield from _finding(context, policy, policy.object, own, origin)


def _is_dns(context: Context) -> int:
    out = 0
    for slot in context.dns_slots:
        out |= 1 << slot
    return out


def _allowed_by_labels(context: Context) -> int:
    """Pods that a rule lets ask the DNS pods of a namespace whose labels the repository does not tell."""
    system = context.snapshot.namespaces.get("kube-system")
    out = 0
    for peer in context.peers if system is None or system.object is None else ():
        asked = labels_asked(peer.other)
        if (
            peer.direction == "egress"
            and peer.rules[0].action == "allow"
            and asked
            and labels_asked(peer.other, "namespace")
            and any(all(holds(part, {key: value}) for part in asked) for key, value in LABELS_OF_DNS)
            and any(box.first <= UDP << 16 | 53 <= box.last for rule in peer.rules for box in rule.traffic)
        ):
            out |= context.bits(peer.subject)
    return out


def _finding(context: Context, policy: Policy, obj: Object, own: int, origin: Origin) -> Iterator[Draft]:
    pods = context.workloads(own)
    host, one = None, pods[0]
    for one in pods[:_LOOKED_AT]:
        host = named(context, one)
        if host is not None:
            break
    spec = obj.value.get("spec") if obj.kind == "NetworkPolicy" else None
    if host is None and not _may_send(context, own):
        return
    who = f"{words.workloads(pods)} may not ask cluster DNS"
    if host is not None:
        message = f"{who}, and `{one.name}` is told to reach `{host.name}` by {host.where}"
    else:
        message = f"{who}: no policy that selects {'it' if len(pods) == 1 else 'them'} allows UDP 53 to kube-dns"
    fix = f"allow UDP and TCP 53 to kube-dns in kube-system for {_which(policy, pods)}"
    edit = _edit(context, obj, spec) if type(spec) is dict else None
    yield Draft(RULE, ERROR if host is not None else WARNING, obj, origin.path, message, fix, edit)


def _may_send(context: Context, own: int) -> bool:
    """Whether any of them may send anything anywhere: who may not needs no names."""
    return any(context.reached("egress", slot) & ~(1 << slot) for slot in indices(own)[:_LOOKED_AT])


def _which(policy: Policy, pods: list[Workload]) -> str:
    return f"all pods that {policy.title} selects" if len(pods) > 1 else f"`{pods[0].name}`"


def _edit(context: Context, obj: Object, spec: dict[str, object]) -> Edit:
    taken = {key[2] for key in context.snapshot.objects if key[1] == obj.namespace}
    names = ("allow-dns", f"{obj.name}-allow-dns", *(f"allow-dns-{number}" for number in range(2, len(taken) + 3)))
    name = next(name for name in names if name not in taken)
    metadata: dict[str, object] = {"name": name}
    if obj.value["metadata"].get("namespace"):
        metadata["namespace"] = obj.namespace
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    ports = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    return Edit(
        "add-document",
        (),
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": {
                "podSelector": spec.get("podSelector") or {},
                "policyTypes": ["Egress"],
                "egress": [{"to": [peer], "ports": ports}],
            },
        },
    )
