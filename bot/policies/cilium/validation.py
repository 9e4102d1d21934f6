"""A Cilium policy object in, why it has no effect out: refused by the API server's schema, or by the agent (`Sanitize`).

Source: pkg/policy/api/rule_validation.go and pkg/k8s/apis/cilium.io/v2/cnp_types.go (Parse) of cilium v1.20.2. What the first gate
lets through and the second refuses is stored and not enforced, as a whole: it fails open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from bot.policies.cilium import blocks, schema
from bot.policies.cilium.ports import number
from bot.policies.cilium.schema import ICMP_V4, ICMP_V6
from bot.policies.selectors import Flaw, Path

FAILS_OPEN = (
    "the API server stores this object and Cilium's agent refuses it, so that nothing of it is enforced (it fails open)"
)
_EXTENDED = ("VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH")
_PEERS = {
    "ingress": ("fromEndpoints", "fromEntities", "fromCIDR", "fromCIDRSet", "fromNodes", "fromGroups"),
    "egress": (
        "toEndpoints", "toEntities", "toCIDR", "toCIDRSet", "toServices", "toNodes", "toGroups", "toFQDNs",
    ),
}  # fmt: skip
SECTIONS = (("ingress", "ingress"), ("ingressDeny", "ingress"), ("egress", "egress"), ("egressDeny", "egress"))


def specs_of(value: Mapping[str, object]) -> list[tuple[Path, dict[str, object]]]:
    """The rules of an object that has passed the first gate, with where each stands: `spec`, and each of `specs`."""
    out: list[tuple[Path, dict[str, object]]] = []
    spec, several = value.get("spec"), value.get("specs")
    if isinstance(spec, dict):
        out.append((("spec",), spec))
    if isinstance(several, list):
        out.extend((("specs", i), item) for i, item in enumerate(several) if isinstance(item, dict))
    return out


class Gates:
    """Both gates of one run. Rules are looked at once for all that are written alike."""

    def __init__(self) -> None:
        self._passed: dict[str, set[str]] = {section: set() for section, _ in SECTIONS}

    def flaws_of(self, value: Mapping[str, object], namespaced: bool) -> list[Flaw]:
        """What is wrong with a CiliumNetworkPolicy (`namespaced`) or CiliumClusterwideNetworkPolicy."""
        spec = value.get("spec")
        if "specs" not in value and type(spec) is dict and self._passes(spec):
            return []
        return _flaws_of(value, namespaced)

    def _passes(self, spec: dict[str, object]) -> bool:
        """Whether a plain spec surely passes both gates."""
        some = False
        for field, part in spec.items():
            passed = self._passed.get(field)
            if passed is None:
                if field == "endpointSelector":
                    if not schema.accepts_selector(part) or any(True for _ in _selector(part, ())):
                        return False
                elif field != "description" or type(part) is not str:
                    return False
            elif type(part) is not list:
                return False
            else:
                for rule in part:
                    text = str(rule)
                    if text not in passed:
                        if not _rule_passes(rule, field):
                            return False
                        passed.add(text)
                    some = True
        return some and "endpointSelector" in spec


def _rule_passes(rule: object, section: str) -> bool:
    if type(rule) is not dict or not schema.accepts_rule(rule, section):
        return False
    direction = "ingress" if section.startswith("ingress") else "egress"
    return not any(True for _ in _rule(rule, (), direction, section.endswith("Deny"), False))


def _flaws_of(value: Mapping[str, object], namespaced: bool) -> list[Flaw]:
    found = list(_of_schema(value))
    if any(flaw.refused for flaw in found):
        return found
    rules = specs_of(value)
    if not rules:
        found.append(Flaw((), f"Invalid CiliumNetworkPolicy spec(s), empty or missing: {FAILS_OPEN}"))
    for path, spec in rules:
        found.extend(Flaw(at, f"{reason}: {FAILS_OPEN}") for at, reason in _of_agent(spec, path, namespaced))
    return found


def _of_schema(value: Mapping[str, object]) -> Iterator[Flaw]:
    spec, several = value.get("spec"), value.get("specs")
    if spec is not None and not schema.accepts(spec):
        for fault in schema.faults(spec, ("spec",)):
            yield Flaw(fault.path, fault.reason, not fault.pruned)
    if several is None:
        return
    if not isinstance(several, list):
        yield Flaw(("specs",), "must be a list")
        return
    for i, item in enumerate(several):
        if not schema.accepts(item):
            for fault in schema.faults(item, ("specs", i)):
                yield Flaw(fault.path, fault.reason, not fault.pruned)


def _of_agent(spec: dict[str, object], path: Path, namespaced: bool) -> Iterator[tuple[Path, str]]:
    host = spec.get("nodeSelector") is not None
    if host and namespaced:
        yield (*path, "nodeSelector"), "rule cannot have NodeSelector"
    if not any(spec.get(section) for section, _ in SECTIONS):
        yield path, "rule must have at least one of Ingress, IngressDeny, Egress, EgressDeny"
    for field in ("endpointSelector", "nodeSelector"):
        if spec.get(field):
            yield from _selector(spec[field], (*path, field))
    for section, direction in SECTIONS:
        rules = spec.get(section)
        if isinstance(rules, list):
            for i, rule in enumerate(rules):
                if rule:
                    yield from _rule(rule, (*path, section, i), direction, section.endswith("Deny"), host)


def _rule(rule: dict[str, object], path: Path, direction: str, deny: bool, host: bool) -> Iterator[tuple[Path, str]]:
    peers = [field for field in _PEERS[direction] if rule.get(field) and not (deny and field == "toFQDNs")]
    if len(peers) > 1:
        names = [field[0].upper() + field[1:] for field in peers]
        yield path, f"combining {names[0]} and {names[1]} is not supported yet"
    for field in peers:
        yield from _peer(rule, field, path)
    to_ports, icmps = rule.get("toPorts"), rule.get("icmps")
    if to_ports and icmps:
        yield (
            (*path, "icmps"),
            "the ICMPs block may only be present without ToPorts. Define a separate rule to use ToPorts",
        )
    if isinstance(to_ports, list):
        for i, item in enumerate(to_ports):
            yield from _port_rule(item, (*path, "toPorts", i), direction, deny, host)
    if isinstance(icmps, list):
        for i, item in enumerate(icmps):
            yield from _icmp(item, (*path, "icmps", i))


def _peer(rule: dict[str, object], field: str, path: Path) -> Iterator[tuple[Path, str]]:
    items = rule[field]
    if not isinstance(items, list):
        return
    if field.endswith("Endpoints"):
        for i, item in enumerate(items):
            if item:
                yield from _selector(item, (*path, field, i))
    elif field.endswith("Nodes"):
        yield (
            (*path, field),
            'FromNodes/ToNodes rules can only be applied when the "enable-node-selector-labels" flag is set',
        )
    elif field.endswith("CIDRSet"):
        for i, item in enumerate(items):
            yield from _block(item, (*path, field, i))


def _selector(selector: object, path: Path) -> Iterator[tuple[Path, str]]:
    """EndpointSelector.Sanitize: label keys (behind their source) and the values that an operator takes."""
    if not isinstance(selector, dict):
        return
    for key in selector.get("matchLabels") or ():
        if not _is_key(key):
            yield (*path, "matchLabels", key), f"invalid label selector: {key[:80]!r} is no label key"
    for i, item in enumerate(selector.get("matchExpressions") or ()):
        at = (*path, "matchExpressions", i)
        if not _is_key(item["key"]):
            yield (*at, "key"), f"invalid label selector: {item['key'][:80]!r} is no label key"
        wants_values = item["operator"] in ("In", "NotIn")
        if wants_values != bool(item.get("values")):
            what = "must" if wants_values else "may not"
            yield at, f"invalid label selector: values {what} be specified when the operator is {item['operator']}"


@lru_cache(maxsize=16384)
def _is_key(key: str) -> bool:
    source, colon, rest = key.partition(":")
    prefix, slash, name = (rest if colon else source).rpartition("/")
    if not schema.is_label_name(name):
        return False
    return not slash or (len(prefix) <= 253 and all(map(_is_domain_part, prefix.split("."))))


def _is_domain_part(text: str) -> bool:
    if not text or not text.isascii() or text[0] == "-" or text[-1] == "-" or text != text.lower():
        return False
    return text.replace("-", "").isalnum()


def _block(item: dict[str, object], path: Path) -> Iterator[tuple[Path, str]]:
    cidr, holes = item.get("cidr"), item.get("except")
    if not isinstance(cidr, str) or not isinstance(holes, list):
        return
    outer = blocks.parse(cidr)
    for i, hole in enumerate(holes):
        inner = blocks.parse(hole)
        if outer is None or inner is None or not (outer[0][0] <= inner[0][0] and inner[0][1] <= outer[0][1]):
            yield (*path, "except", i), f"allow CIDR prefix {cidr} does not contain exclude CIDR prefix {hole}"


def _port_rule(
    item: dict[str, object], path: Path, direction: str, deny: bool, host: bool
) -> Iterator[tuple[Path, str]]:
    rules = None if deny else item.get("rules")
    http = rules.get("http") if isinstance(rules, dict) else None
    dns = rules.get("dns") if isinstance(rules, dict) else None
    if (http or dns) and host and (direction == "ingress" or http):
        what = "L7 policy is not supported on host ingress"
        yield (
            (*path, "rules"),
            f"{what if direction == 'ingress' else 'L7 protocol HTTP is not supported on host egress'} yet",
        )
    elif dns and direction == "ingress":
        yield (*path, "rules", "dns"), "L7 protocol DNS is not supported on ingress yet"
    listed = item.get("ports")
    zero = False
    for i, port in enumerate(listed if isinstance(listed, list) else ()):
        at = (*path, "ports", i)
        text, protocol = port.get("port") or "", port.get("protocol") or "ANY"
        try:
            first = number(text)
        except ValueError as error:
            yield at, str(error)
            continue
        zero = zero or first == 0
        if first and protocol in _EXTENDED:
            yield at, "port must be empty or 0"
        if dns and first is not None and isinstance(port.get("endPort"), int) and port["endPort"] > first:
            yield (*at, "endPort"), "DNS rules do not support port ranges"
        if http and protocol != "TCP":
            yield at, f"L7 rules can only apply to TCP (not {protocol}) except for DNS rules"
    if http or dns:
        yield from _l7(item, path, http, dns, zero)
    if not deny and item.get("listener") is not None:
        if direction == "ingress":
            yield (*path, "listener"), "Listener is not allowed on ingress"
        elif http or dns:
            yield (*path, "listener"), "Listener is not allowed with L7 rules"


def _l7(item: dict[str, object], path: Path, http: object, dns: object, zero: bool) -> Iterator[tuple[Path, str]]:
    if item.get("serverNames") and item.get("terminatingTLS") is None:
        yield (*path, "serverNames"), "ServerNames are not allowed with L7 rules without TLS termination"
    if zero:
        yield path, "L7 rules can not be used when a port is 0"
    if dns and not item.get("ports"):
        yield path, "port 53 must be specified for DNS rules"
    from bot.policies.dns_rules import dns_rule
    from bot.policies.http_rules import RuleError, http_rule

    for kind, listed in (("http", http), ("dns", dns)):
        for i, rule in enumerate(listed if isinstance(listed, list) else ()):
            try:
                if kind == "http":
                    http_rule(rule)
                else:
                    dns_rule(rule)
            except RuleError as error:
                yield (*path, "rules", kind, i, error.field), str(error)


def _icmp(item: dict[str, object], path: Path) -> Iterator[tuple[Path, str]]:
    fields = item.get("fields")
    for i, field in enumerate(fields if isinstance(fields, list) else ()):
        family = field.get("family") or "IPv4"
        name = field.get("type")
        if isinstance(name, str) and not name.isdigit() and name not in (ICMP_V6 if family == "IPv6" else ICMP_V4):
            yield (*path, "fields", i, "type"), f"ICMP type {name} not found in {family}"
