"""One policy as a cluster is asked to store it in, what of it selects more than was said out: NP014 and NP015 without a repository.

The API server drops nulls before anyone sees the object: what was null in a manifest is then an empty selector or a missing field. What
kubectl applied keeps them, so its annotation is read too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bot.lint.finding import Path
from bot.lint.rules import null_in_policy, selector_absent
from bot.lint.rules.null_in_policy import MEANS, SELECT_ALL, nulls
from bot.lint.written import listed, specs

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
LONGEST = 1 << 20
SELECTORS = {
    "NetworkPolicy": "podSelector",
    "CiliumNetworkPolicy": "endpointSelector",
    "CiliumClusterwideNetworkPolicy": "endpointSelector",
}
SECTIONS = ("ingress", "egress", "ingressDeny", "egressDeny")


class Unset(NamedTuple):
    """A rule's id and what is wrong, in words."""

    rule: str
    message: str


def unset(policy: dict[str, Any]) -> list[Unset]:
    """What a NetworkPolicy or Cilium policy leaves out that decides whom it is for; nothing where it says `netreach/select-all`.

    An empty selector is left alone where it is the usual one: a policy that denies, that allows everything, or DNS alone.
    """
    metadata = _map(policy.get("metadata"))
    annotations = _map(metadata.get("annotations"))
    reason = annotations.get(SELECT_ALL)
    if type(reason) is str and reason.strip():
        return []
    out: dict[str, Unset] = {}
    applied = _applied(annotations.get(APPLIED))
    for whole in (policy, applied):
        for path, spec in specs(whole):
            for null in nulls(spec, path):
                field = str(null[-1])
                if field not in SECTIONS:
                    found = f"{_shown(null)} has no value, which means {MEANS.get(field, 'an empty value')}"
                    out.setdefault(found, Unset(null_in_policy.RULE.id, found))
    if not out:
        for path, spec in specs(policy):
            if found := _selector(str(policy.get("kind")), spec, path):
                out.setdefault(found, Unset(selector_absent.RULE.id, found))
    return list(out.values())


def _selector(kind: str, spec: dict[str, Any], path: Path) -> str:
    field = SELECTORS.get(kind, "podSelector")
    selector = spec.get(field)
    # A policy for nodes selects no pods; `matchLabels: {}` in a selector is as empty as nothing.
    if "nodeSelector" in spec or (selector and (type(selector) is not dict or any(selector.values()))):
        return ""
    rules = [rule for name in SECTIONS for rule in listed(spec, name) if type(rule) is dict]
    if all(not rule or _is_dns(rule) for rule in rules):
        return ""
    how = "is empty" if field in spec else "is missing"
    return f"{_shown((*path, field))} {how}, which selects every pod, and the policy has rules"


def _is_dns(rule: dict[str, Any]) -> bool:
    ports = [_map(port) for port in listed(rule, "ports")]
    for group in listed(rule, "toPorts"):
        ports += [_map(port) for port in listed(group, "ports")]
    return bool(ports) and all(str(port.get("port")) in ("53", "dns") for port in ports)


def _applied(text: object) -> dict[str, Any]:
    import json

    if type(text) is not str or len(text) > LONGEST:
        return {}
    try:
        return _map(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _shown(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _map(value: object) -> dict[str, Any]:
    return value if type(value) is dict else {}
