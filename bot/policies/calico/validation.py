"""A Calico object in; out, what the API server or Calico's own validation would refuse of it, and what has no effect.

Semantics: api/pkg/apis/projectcalico/v3 (schemas and their CEL rules), libcalico-go/lib/validator/v3 `validator.go`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bot.policies import addresses
from bot.policies.calico.ports import WITH_PORTS, protocol_number, read_port
from bot.policies.calico.selectors import LONGEST, BadSelector, Global, Node, mentions, parse
from bot.policies.selectors import Flaw, Path, kind_of, mapping, sequence, unknown_fields
from bot.policies.traffic import ICMP, ICMPV6

if TYPE_CHECKING:
    from bot.manifests.snapshot import Object

RAW = "crd.projectcalico.org/v1"
VERSIONS = ("projectcalico.org/v3", RAW)
_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_TIER_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_OBJECT = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_POLICY = frozenset(
    {"tier", "order", "ingress", "egress", "selector", "types", "serviceAccountSelector", "performanceHints"}
)
_GLOBAL = frozenset({"doNotTrack", "preDNAT", "applyOnForward", "namespaceSelector"})
_STAGED = frozenset({"stagedAction"})
_RULE = frozenset(
    {
        "action", "ipVersion", "protocol", "icmp", "notProtocol", "notICMP", "source", "destination", "http", "metadata",
    }
)  # fmt: skip
_ENTITY = frozenset(
    {
        "nets", "selector", "namespaceSelector", "services", "ports", "notNets", "notSelector", "notPorts",
        "serviceAccounts",
    }
)  # fmt: skip
_SPECS = {
    "NetworkPolicy": _POLICY,
    "GlobalNetworkPolicy": _POLICY | _GLOBAL,
    "StagedNetworkPolicy": _POLICY | _STAGED,
    "StagedGlobalNetworkPolicy": _POLICY | _GLOBAL | _STAGED,
    "Tier": frozenset({"order", "defaultAction"}),
    "NetworkSet": frozenset({"nets"}),
    "GlobalNetworkSet": frozenset({"nets"}),
    "HostEndpoint": frozenset({"node", "interfaceName", "expectedIPs", "profiles", "ports"}),
    "Profile": frozenset({"ingress", "egress", "labelsToApply"}),
}
POLICIES = ("NetworkPolicy", "GlobalNetworkPolicy", "StagedNetworkPolicy", "StagedGlobalNetworkPolicy")
OTHERS = ("Tier", "NetworkSet", "GlobalNetworkSet", "HostEndpoint", "Profile")
_LIMITS = {"kube-admin": (1000, "Pass"), "default": (1000000, "Deny"), "kube-baseline": (10000000, "Pass")}
_MOST_PORTS = 50
_ENTERPRISE = "a field of Calico Enterprise, which the open source Calico does not know"


def refused(obj: Object) -> bool:
    """Whether an object would not be there behind an API server."""
    return any(flaw.refused for flaw in check(obj))


def check(obj: Object) -> list[Flaw]:
    """Everything that is wrong with an object of one of the kinds that Calico policies are made of."""
    flaws: list[Flaw] = []
    if obj.api_version not in VERSIONS:
        reason = f"there is no {obj.kind} in {obj.api_version}; it is read as one of {VERSIONS[0]}"
        flaws.append(Flaw(("apiVersion",), reason, refused=False))
    value = obj.value
    if not value.keys() <= _OBJECT:
        unknown_fields(value, _OBJECT, (), flaws)
    form = _TIER_NAME if obj.kind == "Tier" else _NAME
    if not re.fullmatch(form, obj.name) or len(obj.name) > 253:
        flaws.append(Flaw(("metadata", "name"), f"{obj.name[:80]!r} is no name that Calico takes"))
    spec = mapping(value.get("spec"), ("spec",), flaws)
    known = _SPECS[obj.kind]
    if not spec.keys() <= known:
        unknown_fields(spec, known, ("spec",), flaws)
    if obj.kind in POLICIES:
        _policy(obj, spec, flaws)
    elif obj.kind == "Tier":
        _tier(obj, spec, flaws)
    elif obj.kind in ("NetworkSet", "GlobalNetworkSet"):
        for i, text in enumerate(sequence(spec.get("nets"), ("spec", "nets"), flaws)):
            _network(text, ("spec", "nets", i), flaws, strict=False)
    elif obj.kind == "HostEndpoint":
        _host(spec, flaws)
    else:
        _rules(spec, "", flaws)
    return flaws


def _policy(obj: Object, spec: Mapping[str, object], flaws: list[Flaw]) -> None:
    if obj.name.startswith("knp."):
        flaws.append(Flaw(("metadata", "name"), "names that begin with knp. are those of Kubernetes policies"))
    _number(spec.get("order"), ("spec", "order"), flaws)
    tier = spec.get("tier")
    if tier is not None and (not isinstance(tier, str) or (tier and not re.fullmatch(_TIER_NAME, tier))):
        flaws.append(Flaw(("spec", "tier"), "the name of a tier is letters, digits and '-'"))
    for field in ("selector", "namespaceSelector", "serviceAccountSelector"):
        node = _selector(spec.get(field), ("spec", field), flaws)
        if node is not None and mentions(node, Global):
            flaws.append(Flaw(("spec", field), "global() is for the namespaceSelector of a rule"))
    types = sequence(spec.get("types"), ("spec", "types"), flaws)
    for i, name in enumerate(types):
        if name not in ("Ingress", "Egress"):
            flaws.append(Flaw(("spec", "types", i), "a type must be Ingress or Egress"))
        elif name in types[:i]:
            flaws.append(Flaw(("spec", "types", i), f"{name} stands twice"))
    for field in ("doNotTrack", "preDNAT", "applyOnForward"):
        if spec.get(field) is not None and not isinstance(spec[field], bool):
            flaws.append(Flaw(("spec", field), "must be true or false"))
    if spec.get("applyOnForward") is not True:
        for field in ("doNotTrack", "preDNAT"):
            if spec.get(field) is True:
                flaws.append(Flaw(("spec", field), f"{field} needs applyOnForward: true"))
    if spec.get("doNotTrack") is True and spec.get("preDNAT") is True:
        flaws.append(Flaw(("spec", "preDNAT"), "there is no policy with both doNotTrack and preDNAT"))
    if spec.get("preDNAT") is True and (spec.get("egress") or "Egress" in types):
        flaws.append(
            Flaw(("spec", "egress") if "egress" in spec else ("spec", "types"), "preDNAT is for ingress alone")
        )
    _rules(spec, obj.namespace if obj.kind in ("NetworkPolicy", "StagedNetworkPolicy") else "", flaws)


def _rules(spec: Mapping[str, object], namespace: str, flaws: list[Flaw]) -> None:
    for direction in ("ingress", "egress"):
        at: Path = ("spec", direction)
        for i, rule in enumerate(sequence(spec.get(direction), at, flaws)):
            _rule(mapping(rule, (*at, i), flaws), direction, namespace, (*at, i), flaws)


def _rule(rule: Mapping[str, object], direction: str, namespace: str, path: Path, flaws: list[Flaw]) -> None:
    if not rule.keys() <= _RULE:
        unknown_fields(rule, _RULE, path, flaws)
    if rule.get("action") not in ("Allow", "Deny", "Log", "Pass"):
        where = (*path, "action") if "action" in rule else path
        flaws.append(Flaw(where, "the action must be Allow, Deny, Log or Pass"))
    version = rule.get("ipVersion")
    if version is not None and (version not in (4, 6) or isinstance(version, bool)):
        flaws.append(Flaw((*path, "ipVersion"), "the ipVersion must be 4 or 6"))
    for field in ("protocol", "notProtocol"):
        if rule.get(field) is not None and protocol_number(rule[field]) is None:
            known = "TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite, or a number from 1 to 255"
            flaws.append(Flaw((*path, field), f"the protocol must be {known}"))
    if rule.get("protocol") is not None and rule.get("notProtocol") is not None:
        text = "protocol beside notProtocol: iptables cannot program this; it is read as both"
        flaws.append(Flaw((*path, "notProtocol"), text, refused=False))
    protocol = protocol_number(rule.get("protocol"))
    for field in ("icmp", "notICMP"):
        if rule.get(field) is not None:
            _icmp(rule[field], field, protocol, (*path, field), flaws)
    if (rule.get("protocol"), version) in (("ICMP", 6), ("ICMPv6", 4)):
        flaws.append(Flaw((*path, "ipVersion"), f"{rule['protocol']} is not of IPv{version}"))
    if rule.get("http") is not None:
        _http(rule, direction, (*path, "http"), flaws)
    for side in ("source", "destination"):
        if rule.get(side) is not None:
            _entity(mapping(rule[side], (*path, side), flaws), rule, side, direction, namespace, (*path, side), flaws)


def _icmp(value: object, field: str, protocol: int | None, path: Path, flaws: list[Flaw]) -> None:
    fields = mapping(value, path, flaws)
    unknown_fields(fields, frozenset({"type", "code"}), path, flaws)
    if protocol not in (ICMP, ICMPV6):
        if field == "icmp":
            flaws.append(Flaw(path, "icmp needs protocol ICMP or ICMPv6"))
        else:
            text = "notICMP without protocol ICMP or ICMPv6: iptables cannot program this"
            flaws.append(Flaw(path, text, refused=False))
    kind, code = fields.get("type"), fields.get("code")
    if kind is not None and not _between(kind, 0, 254):
        flaws.append(Flaw((*path, "type"), "an ICMP type is a number from 0 to 254"))
    if code is not None and not _between(code, 0, 255):
        flaws.append(Flaw((*path, "code"), "an ICMP code is a number from 0 to 255"))
    if code is not None and kind is None:
        flaws.append(Flaw((*path, "code"), "a code needs a type"))


def _http(rule: Mapping[str, object], direction: str, path: Path, flaws: list[Flaw]) -> None:
    if direction == "egress":
        flaws.append(Flaw(path, "http is for ingress rules alone"))
    if rule.get("action") != "Allow":
        flaws.append(Flaw(path, "http is for rules that allow"))
    fields = mapping(rule["http"], path, flaws)
    unknown_fields(fields, frozenset({"methods", "paths"}), path, flaws)
    methods = sequence(fields.get("methods"), (*path, "methods"), flaws)
    if len(methods) != len({str(method) for method in methods}):
        flaws.append(Flaw((*path, "methods"), "a method stands twice"))
    flaws.append(Flaw(path, "without Envoy, Felix ignores http: the rule allows the whole connection", refused=False))


def _entity(
    entity: Mapping[str, object],
    rule: Mapping[str, object],
    side: str,
    direction: str,
    namespace: str,
    path: Path,
    flaws: list[Flaw],
) -> None:
    for field in entity:
        if field in ("domains", "allowedEgressDomains"):
            flaws.append(Flaw((*path, field), f"{field} is {_ENTERPRISE}"))
        elif field not in _ENTITY:
            unknown_fields((field,), _ENTITY, path, flaws)
    for field in ("selector", "notSelector"):
        node = _selector(entity.get(field), (*path, field), flaws)
        if node is not None and mentions(node, Global):
            flaws.append(Flaw((*path, field), "global() is for a namespaceSelector"))
    node = _selector(entity.get("namespaceSelector"), (*path, "namespaceSelector"), flaws)
    if node is not None and mentions(node, Global) and not isinstance(node, Global):
        flaws.append(Flaw((*path, "namespaceSelector"), "global() must stand alone"))
    accounts = entity.get("serviceAccounts")
    if accounts is not None:
        at = (*path, "serviceAccounts")
        fields = mapping(accounts, at, flaws)
        unknown_fields(fields, frozenset({"names", "selector"}), at, flaws)
        sequence(fields.get("names"), (*at, "names"), flaws)
        _selector(fields.get("selector"), (*at, "selector"), flaws)
    for field in ("nets", "notNets"):
        for i, text in enumerate(sequence(entity.get(field), (*path, field), flaws)):
            at = (*path, field, i)
            found = _network(text, at, flaws, strict=True)
            if found and rule.get("ipVersion") in (4, 6) and (":" in str(text)) != (rule["ipVersion"] == 6):
                flaws.append(Flaw(at, f"{text} is not of ipVersion {rule['ipVersion']}"))
            if found and field == "notNets" and str(text).endswith("/0"):
                flaws.append(Flaw(at, f"a rule that excepts {text} matches nothing"))
    _ports(entity, rule, path, flaws)
    if entity.get("services") is not None:
        _services(entity, side, direction, namespace, (*path, "services"), flaws)


def _ports(entity: Mapping[str, object], rule: Mapping[str, object], path: Path, flaws: list[Flaw]) -> None:
    for field in ("ports", "notPorts"):
        listed = sequence(entity.get(field), (*path, field), flaws)
        if len(listed) > _MOST_PORTS:
            flaws.append(Flaw((*path, field), f"{len(listed)} ports, of which there may be {_MOST_PORTS}"))
        numeric = False
        for i, item in enumerate(listed):
            found = read_port(item)
            if found is None:
                shown = (
                    repr(item[:40]) if isinstance(item, str) else str(item) if isinstance(item, int) else kind_of(item)
                )
                flaws.append(
                    Flaw((*path, field, i), f"{shown} is no port from 1 to 65535, no range first:last and no name")
                )
            numeric = numeric or isinstance(found, tuple)
        protocol = protocol_number(rule.get("protocol"))
        if listed and protocol is not None and protocol not in WITH_PORTS:
            flaws.append(Flaw((*path, field), f"{field} needs protocol TCP, UDP or SCTP"))
        elif numeric and protocol is None:
            flaws.append(Flaw((*path, field), f"{field} with numbers needs a protocol: TCP, UDP or SCTP"))


def _services(
    entity: Mapping[str, object], side: str, direction: str, namespace: str, path: Path, flaws: list[Flaw]
) -> None:
    fields = mapping(entity["services"], path, flaws)
    unknown_fields(fields, frozenset({"name", "namespace"}), path, flaws)
    if not isinstance(fields.get("name"), str) or not fields.get("name"):
        flaws.append(Flaw(path, "the name of a Service is required"))
    if (side == "source") == (direction == "egress"):
        flaws.append(Flaw(path, f"services is not for the {side} of an {direction} rule"))
    if not fields.get("namespace"):
        if not namespace:
            flaws.append(Flaw(path, "a global policy must say the namespace of a Service"))
        else:
            text = "without namespace this matches nothing, whatever the documentation says: write the namespace"
            flaws.append(Flaw(path, text, refused=False))
    others = ("selector", "notSelector", "namespaceSelector", "serviceAccounts", "nets", "notNets")
    beside = [field for field in others if entity.get(field)]
    if direction == "egress":
        beside += [field for field in ("ports", "notPorts") if entity.get(field)]
    if beside:
        flaws.append(Flaw(path, f"services cannot stand beside {', '.join(beside)}"))


def _selector(value: object, path: Path, flaws: list[Flaw]) -> Node | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        flaws.append(Flaw(path, f"a selector must be text, and is {kind_of(value)}"))
        return None
    if len(value.encode("utf-8", "replace")) > LONGEST:
        flaws.append(Flaw(path, f"a selector has at most {LONGEST} bytes"))
        return None
    try:
        return parse(value)
    except BadSelector as error:
        flaws.append(Flaw(path, f"no selector: {error}"))
        return None


def _network(value: object, path: Path, flaws: list[Flaw], *, strict: bool) -> bool:
    """`strict`: a CIDR without host bits; network sets also take single addresses and host bits."""
    try:
        if not isinstance(value, str):
            raise ValueError(f"a CIDR must be text, and is {kind_of(value)}")
        addresses.parse_cidr(value)
        if strict and "/" not in value:
            raise ValueError(f"{value[:80]} has no prefix length (write /32 or /128)")
        if strict and addresses.host_bits(value):
            raise ValueError(f"{value[:80]} has bits set beyond its prefix")
    except ValueError as error:
        flaws.append(Flaw(path, str(error)[:200]))
        return False
    return True


def _tier(obj: Object, spec: Mapping[str, object], flaws: list[Flaw]) -> None:
    _number(spec.get("order"), ("spec", "order"), flaws)
    action = spec.get("defaultAction")
    if action is not None and action not in ("Deny", "Pass"):
        flaws.append(Flaw(("spec", "defaultAction"), "the defaultAction must be Deny or Pass"))
    fixed = _LIMITS.get(obj.name)
    if fixed is not None and (spec.get("order"), spec.get("defaultAction")) != fixed:
        given = (spec.get("order", fixed[0]), spec.get("defaultAction") or fixed[1])
        if given != fixed:
            flaws.append(Flaw(("spec",), f"tier {obj.name} has order {fixed[0]} and defaultAction {fixed[1]}"))


def _host(spec: Mapping[str, object], flaws: list[Flaw]) -> None:
    if not isinstance(spec.get("node"), str) or not spec.get("node"):
        flaws.append(Flaw(("spec",), "the node of a host endpoint is required"))
    expected = sequence(spec.get("expectedIPs"), ("spec", "expectedIPs"), flaws)
    if not expected and not spec.get("interfaceName"):
        flaws.append(Flaw(("spec",), "one of interfaceName and expectedIPs is required"))
    for i, text in enumerate(expected):
        if not isinstance(text, str) or "/" in text or not _network(text, ("spec", "expectedIPs", i), [], strict=False):
            flaws.append(Flaw(("spec", "expectedIPs", i), "an address is required"))
    for i, port in enumerate(sequence(spec.get("ports"), ("spec", "ports"), flaws)):
        fields = mapping(port, ("spec", "ports", i), flaws)
        if not isinstance(fields.get("name"), str) or not _between(fields.get("port"), 1, 65535):
            flaws.append(Flaw(("spec", "ports", i), "a port needs a name, a protocol and a number"))


def _number(value: object, path: Path, flaws: list[Flaw]) -> None:
    if value is not None and (not isinstance(value, (int, float)) or isinstance(value, bool)):
        flaws.append(Flaw(path, f"an order must be a number, and is {kind_of(value)}"))


def _between(value: object, first: int, last: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and first <= value <= last
