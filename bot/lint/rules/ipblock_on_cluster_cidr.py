"""NP024: an ipBlock for the addresses of pods or Services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bot.lint.finding import WARNING, Draft, Rule
from bot.policies import addresses as address_line
from bot.policies.intervals import covers
from bot.policies.pod_cidrs import PRIVATE

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.policies.intervals import Intervals

RULE = Rule(
    id="NP024",
    name="ipblock-on-cluster-cidr",
    severity=WARNING,
    detects="An ipBlock inside the range that pods or Services get their addresses from: the one that the config or the "
    "manifests (kubeadm, Cilium, Calico) tell, else the usual ones (10.244.0.0/16, 10.42.0.0/16 for pods; "
    "10.96.0.0/12, 10.43.0.0/16 for Services).",
    why="Addresses of pods change with every restart. Cilium does not match pods by address at all. And a Service's "
    "address is replaced by a pod's before policies look, so a rule for it never matches.",
    bad="""\
to:
  - ipBlock: {cidr: 10.96.0.10/32}   # the Service kube-dns
""",
    fix="Select the pods by their labels.",
    good="""\
to:
  - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
    podSelector: {matchLabels: {k8s-app: kube-dns}}
""",
)
_PODS = ("10.244.0.0/16", "10.42.0.0/16")
_SERVICES = ("10.96.0.0/12", "10.43.0.0/16")


def check(context: Context) -> Iterator[Draft]:
    """Every such block."""
    pods, services = _all(_PODS), _all(_SERVICES)
    known = context.lowered.vocabulary.pod_addresses
    if known is not None and known != PRIVATE:
        pods = known
    for view in context.views:
        for item in view.items:
            if item.direction not in view.types:
                continue
            field = "from" if item.direction == "ingress" else "to"
            for at, peer in enumerate(item.value.get(field) or ()):
                block = peer.get("ipBlock") if type(peer) is dict else None
                cidr = _cidr(block)
                if cidr is None or not cidr[1]:
                    continue
                whose = "Services" if covers(services, cidr[1]) else "pods" if covers(pods, cidr[1]) else ""
                if whose:
                    path = (*item.path, field, at, "ipBlock", "cidr")
                    yield Draft(
                        RULE,
                        WARNING,
                        view.object,
                        path,
                        f"{cidr[0]} is an address range of {whose}{_but(context, whose)}",
                    )


def _but(context: Context, whose: str) -> str:
    if whose == "Services":
        return ", which policies see only after it was replaced by a pod's"
    return (
        "; pods are matched by labels alone here"
        if not context.lowered.vocabulary.cidr_meets_pods
        else ", which change"
    )


def _cidr(block: Any) -> tuple[str, Intervals] | None:
    text = block.get("cidr") if type(block) is dict else None
    if type(text) is not str:
        return None
    try:
        return text, address_line.parse_cidr(text)
    except ValueError:
        return None


def _all(cidrs: tuple[str, ...]) -> Intervals:
    return tuple(sorted(pair for text in cidrs for pair in address_line.parse_cidr(text)))
