"""The spec of a Cilium policy in, what the API server's schema makes of it out: the first gate.

Source: the CRDs of cilium v1.20.2, `pkg/k8s/apis/cilium.io/client/crds/v2`. A schema has a quick answer for the many that are
right (`accepts`), and a slow one with paths for the rest (`faults`). Null fields count as absent, as structural schemas have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from bot.policies.selectors import Path, kind_of

_PUNCTUATION = str.maketrans("", "", "-_.")


def is_label_name(text: str) -> bool:
    """At most 63 letters, digits, `-`, `_` and `.`, a letter or digit first and last (without a pattern: they cost at start-up)."""
    if not 0 < len(text) <= 63 or not text.isascii() or not (text[0].isalnum() and text[-1].isalnum()):
        return False
    return text.isalnum() or text.translate(_PUNCTUATION).isalnum()


def _is_label_value(text: object) -> bool:
    return type(text) is str and (not text or is_label_name(text))


class Fault(NamedTuple):
    """What the schema says of the value at a path. `pruned`: a field that the API server drops and goes on."""

    path: Path
    reason: str
    pruned: bool = False


class _Text:
    """Text of a form, a length, or out of a few choices."""

    def __init__(self, pattern: str = "", longest: int = 0, choices: tuple[str, ...] = (), form: str = "") -> None:
        self._pattern = pattern
        self._longest = longest
        self._choices = frozenset(choices)
        self._form = form

    def accepts(self, value: object) -> bool:
        if type(value) is not str:
            return False
        if self._choices:
            return value in self._choices
        if self._longest and len(value) > self._longest:
            return False
        return not self._pattern or re.search(self._pattern, value) is not None

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        if type(value) is not str:
            hint = ": quote it" if isinstance(value, (int, float)) else ""
            yield Fault(path, f"must be text, and is {kind_of(value)}{hint}")
        elif not self.accepts(value):
            expected = f"one of {', '.join(sorted(self._choices))}" if self._choices else self._form
            yield Fault(path, f"{value[:80]!r} is not {expected}")


class _Port(_Text):
    """A port as text: what begins with a digit always is one to the schema."""

    def accepts(self, value: object) -> bool:
        return (type(value) is str and value[:1] in _DIGITS) or super().accepts(value)


_DIGITS = frozenset("0123456789")


class _Flag:
    def accepts(self, value: object) -> bool:
        return type(value) is bool

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        if type(value) is not bool:
            yield Fault(path, f"must be true or false, and is {kind_of(value)}")


class _Number:
    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last

    def accepts(self, value: object) -> bool:
        return type(value) is int and self._first <= value <= self._last

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        if not self.accepts(value):
            shown = value if type(value) is int else kind_of(value)
            yield Fault(path, f"must be a number from {self._first} to {self._last}, and is {shown}")


class _IcmpType:
    """A number or a name, as text or not."""

    def accepts(self, value: object) -> bool:
        if type(value) is int:
            return True
        return type(value) is str and (value in _ICMP_NAMES or value in _ICMP_NUMBERS)

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        if not self.accepts(value):
            yield Fault(path, f"{str(value)[:80]!r} is neither an ICMP type from 0 to 255 nor the name of one")


class _Cidr:
    """`format: cidr`: what Go's net.ParseCIDR takes."""

    def accepts(self, value: object) -> bool:
        if type(value) is not str:
            return False
        from bot.policies.cilium.blocks import parse

        return parse(value) is not None

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        if type(value) is not str:
            yield Fault(path, f"must be text, and is {kind_of(value)}")
        elif not self.accepts(value):
            yield Fault(path, f"{value[:80]!r} is not a CIDR (a single address needs its /32 or /128)")


class _Labels:
    """A map of label values."""

    def accepts(self, value: object) -> bool:
        if type(value) is not dict:
            return False
        return all(map(_is_label_value, value.values()))

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        if type(value) is not dict:
            yield Fault(path, f"must be a mapping, and is {kind_of(value)}")
            return
        for key, text in value.items():
            if type(text) is not str:
                yield Fault((*path, key), f"a label value must be text, and is {kind_of(text)}")
            elif not _is_label_value(text):
                yield Fault((*path, key), f"{text[:80]!r} is no label value")


class _Removed:
    """A field that older versions have, and that must be an empty list."""

    def accepts(self, value: object) -> bool:
        return value == []

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        if value != []:
            yield Fault(path, "was removed in Cilium 1.20 and must be empty")


class _Items:
    def __init__(self, item: _Schema, most: int = -1, least: int = 0) -> None:
        self._item = item
        self._accepts = item.accepts
        self._most, self._least = most, least

    def accepts(self, value: object) -> bool:
        if type(value) is not list or len(value) < self._least or (self._most >= 0 and len(value) > self._most):
            return False
        return all(map(self._accepts, value))

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        if type(value) is not list:
            yield Fault(path, f"must be a list, and is {kind_of(value)}")
            return
        for i, item in enumerate(value):
            yield from self._item.faults(item, (*path, i))
        if self._most >= 0 and len(value) > self._most:
            yield Fault(path, f"too many items: {len(value)}, where {self._most} is the most")
        if len(value) < self._least:
            yield Fault(path, "must not be empty")


class _Map:
    """An object. `one_of`: exactly one of these fields; `any_of`: at least one of these."""

    def __init__(
        self,
        fields: dict[str, _Schema],
        required: tuple[str, ...] = (),
        one_of: tuple[str, ...] = (),
        any_of: tuple[str, ...] = (),
    ) -> None:
        self._fields = fields
        self._accepts = {name: field.accepts for name, field in fields.items()}
        self._required, self._one_of, self._any_of = required, one_of, any_of

    def accepts(self, value: object) -> bool:
        if type(value) is not dict:
            return False
        known = self._accepts
        for key, item in value.items():
            accepts = known.get(key)
            if accepts is None or (item is not None and not accepts(item)):
                return False
        for key in self._required:
            if value.get(key) is None:
                return False
        if self._one_of and sum([value.get(key) is not None for key in self._one_of]) != 1:
            return False
        return not self._any_of or any(value.get(key) is not None for key in self._any_of)

    def faults(self, value: object, path: Path) -> Iterator[Fault]:
        if type(value) is not dict:
            yield Fault(path, f"must be a mapping, and is {kind_of(value)}")
            return
        for key, item in value.items():
            field = self._fields.get(key)
            if field is None:
                known = ", ".join(sorted(self._fields))
                yield Fault(
                    (*path, str(key)),
                    f"unknown field {str(key)!r}, which the API server drops (known here: {known})",
                    True,
                )
            elif item is not None:
                yield from field.faults(item, (*path, key))
        for key in self._required:
            if value.get(key) is None:
                yield Fault(path, f"{key} is required")
        if self._one_of:
            found = [key for key in self._one_of if value.get(key) is not None]
            if len(found) != 1:
                yield Fault(path, f"exactly one of {', '.join(self._one_of)} must be given, not {len(found)}")
        if self._any_of and all(value.get(key) is None for key in self._any_of):
            yield Fault(path, f"at least one of {', '.join(self._any_of)} must be given")


_Schema = _Text | _Flag | _Number | _IcmpType | _Cidr | _Labels | _Removed | _Items | _Map

ICMP_V4 = {
    "EchoReply": 0, "DestinationUnreachable": 3, "Redirect": 5, "Echo": 8, "EchoRequest": 8, "RouterAdvertisement": 9,
    "RouterSelection": 10, "TimeExceeded": 11, "ParameterProblem": 12, "Timestamp": 13, "TimestampReply": 14,
    "Photuris": 40, "ExtendedEchoRequest": 42, "ExtendedEchoReply": 43,
}  # fmt: skip
ICMP_V6 = {
    "DestinationUnreachable": 1, "PacketTooBig": 2, "TimeExceeded": 3, "ParameterProblem": 4, "EchoRequest": 128,
    "EchoReply": 129, "MulticastListenerQuery": 130, "MulticastListenerReport": 131, "MulticastListenerDone": 132,
    "RouterSolicitation": 133, "RouterAdvertisement": 134, "NeighborSolicitation": 135, "NeighborAdvertisement": 136,
    "RedirectMessage": 137, "RouterRenumbering": 138, "ICMPNodeInformationQuery": 139,
    "ICMPNodeInformationResponse": 140, "InverseNeighborDiscoverySolicitation": 141,
    "InverseNeighborDiscoveryAdvertisement": 142, "HomeAgentAddressDiscoveryRequest": 144,
    "HomeAgentAddressDiscoveryReply": 145, "MobilePrefixSolicitation": 146, "MobilePrefixAdvertisement": 147,
    "DuplicateAddressRequestCodeSuffix": 157, "DuplicateAddressConfirmationCodeSuffix": 158,
    "ExtendedEchoRequest": 160, "ExtendedEchoReply": 161,
}  # fmt: skip
# The CRD's pattern spells "ExtendedEcho Reply" with a space, and so refuses the name that the agent knows.
_ICMP_NUMBERS = frozenset(map(str, range(256)))
_ICMP_NAMES = (ICMP_V4.keys() | ICMP_V6.keys()) - {"ExtendedEchoReply"}

ENTITIES = (
    "all", "world", "cluster", "cluster-mesh", "host", "init", "ingress", "unmanaged", "remote-node", "health", "none",
    "kube-apiserver",
)  # fmt: skip
_ANY_TEXT = _Text()
_SELECTOR = _Map(
    {
        "matchLabels": _Labels(),
        "matchExpressions": _Items(
            _Map(
                {
                    "key": _ANY_TEXT,
                    "operator": _Text(choices=("In", "NotIn", "Exists", "DoesNotExist")),
                    "values": _Items(_ANY_TEXT),
                },
                required=("key", "operator"),
            )
        ),
    }
)
_CIDRS = _Items(_Cidr())
_CIDR_SET = _Items(
    _Map(
        {
            "cidr": _Cidr(),
            "cidrGroupRef": _Text(
                r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z",
                253,
                form="the name of a CIDR group",
            ),
            "cidrGroupSelector": _SELECTOR,
            "except": _CIDRS,
        },
        one_of=("cidr", "cidrGroupRef", "cidrGroupSelector"),
    )
)
_NAMES = _Items(
    _Map(
        {
            # The CRD's `([-a-zA-Z0-9_]+[.]?)+` takes exponential time; these match the same.
            "matchName": _Text(r"^[-a-zA-Z0-9_]+([.][-a-zA-Z0-9_]+)*[.]?\Z", 255, form="a DNS name"),
            "matchPattern": _Text(r"^[-a-zA-Z0-9_*]+([.][-a-zA-Z0-9_*]+)*[.]?\Z", 255, form="a DNS name with *"),
        },
        one_of=("matchName", "matchPattern"),
    )
)
_GROUPS = _Items(
    _Map(
        {
            "aws": _Map(
                {
                    "labels": _Labels(),
                    "region": _ANY_TEXT,
                    "securityGroupsIds": _Items(_ANY_TEXT),
                    "securityGroupsNames": _Items(_ANY_TEXT),
                }
            )
        }
    )
)
_ICMPS = _Items(
    _Map(
        {
            "fields": _Items(
                _Map({"family": _Text(choices=("IPv4", "IPv6")), "type": _IcmpType()}, required=("type",)), most=40
            )
        }
    )
)
_PORT = _Map(
    {
        "port": _Port(r"[a-zA-Z](-?[a-zA-Z0-9])*\Z", form="a port"),
        "endPort": _Number(0, 65535),
        "protocol": _Text(choices=("TCP", "UDP", "SCTP", "VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH", "ANY")),
    }
)
_SECRET = _Map({"name": _ANY_TEXT, "namespace": _ANY_TEXT}, required=("name",))
_TLS = _Map(
    {"certificate": _ANY_TEXT, "privateKey": _ANY_TEXT, "trustedCA": _ANY_TEXT, "secret": _SECRET}, required=("secret",)
)
_HTTP = _Map(
    {
        "method": _ANY_TEXT,
        "path": _ANY_TEXT,
        "host": _ANY_TEXT,
        "headers": _Items(_ANY_TEXT),
        "headerMatches": _Items(
            _Map(
                {
                    "name": _Text(".", form="a header name"),
                    "value": _ANY_TEXT,
                    "mismatch": _Text(choices=("LOG", "ADD", "DELETE", "REPLACE")),
                    "secret": _SECRET,
                },
                required=("name",),
            )
        ),
    }
)
_LISTENER = _Map(
    {
        "name": _Text(".", form="a name"),
        "priority": _Number(1, 100),
        "envoyConfig": _Map(
            {
                "kind": _Text(choices=("CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig")),
                "name": _Text(".", form="a name"),
            },
            required=("name",),
        ),
    },
    required=("envoyConfig", "name"),
)
_TO_PORTS = _Items(
    _Map(
        {
            "ports": _Items(_PORT, most=40),
            "rules": _Map({"http": _Items(_HTTP), "dns": _NAMES}, one_of=("http", "dns")),
            "listener": _LISTENER,
            "originatingTLS": _TLS,
            "terminatingTLS": _TLS,
            "serverNames": _Items(
                _Text(r"^[-a-zA-Z0-9_*]+([.][-a-zA-Z0-9_*]+)*[.]?\Z", 255, form="a server name"), least=1
            ),
        }
    )
)
_DENY_PORTS = _Items(_Map({"ports": _Items(_PORT)}))
_AUTHENTICATION = _Map({"mode": _Text(choices=("disabled", "required", "test-always-fail"))}, required=("mode",))
_SERVICES = _Items(
    _Map(
        {
            "k8sService": _Map({"serviceName": _ANY_TEXT, "namespace": _ANY_TEXT}),
            "k8sServiceSelector": _Map({"selector": _SELECTOR, "namespace": _ANY_TEXT}, required=("selector",)),
        }
    )
)


def _peers(word: str) -> dict[str, _Schema]:
    return {
        f"{word}Endpoints": _Items(_SELECTOR),
        f"{word}Entities": _Items(_Text(choices=ENTITIES)),
        f"{word}CIDR": _CIDRS,
        f"{word}CIDRSet": _CIDR_SET,
        f"{word}Nodes": _Items(_SELECTOR),
        f"{word}Groups": _GROUPS,
        f"{word}Requires": _Removed(),
        "icmps": _ICMPS,
    }


_RULES = {
    "ingress": _Map({**_peers("from"), "toPorts": _TO_PORTS, "authentication": _AUTHENTICATION}),
    "ingressDeny": _Map({**_peers("from"), "toPorts": _DENY_PORTS}),
    "egress": _Map(
        {
            **_peers("to"),
            "toServices": _SERVICES,
            "toFQDNs": _NAMES,
            "toPorts": _TO_PORTS,
            "authentication": _AUTHENTICATION,
        }
    ),
    "egressDeny": _Map({**_peers("to"), "toServices": _SERVICES, "toPorts": _DENY_PORTS}),
}
_SPEC = _Map(
    {
        "endpointSelector": _SELECTOR,
        "nodeSelector": _SELECTOR,
        **{section: _Items(rule) for section, rule in _RULES.items()},
        "enableDefaultDeny": _Map({"ingress": _Flag(), "egress": _Flag()}),
        "labels": _Items(_Map({"key": _ANY_TEXT, "source": _ANY_TEXT, "value": _ANY_TEXT}, required=("key",))),
        "log": _Map({"value": _Text(longest=32, form="at most 32 characters")}),
        "description": _ANY_TEXT,
    },
    one_of=("endpointSelector", "nodeSelector"),
    any_of=("ingress", "ingressDeny", "egress", "egressDeny"),
)


def accepts(spec: object) -> bool:
    """Whether the schema has nothing to say of a spec."""
    return _SPEC.accepts(spec)


def accepts_rule(rule: object, section: str) -> bool:
    """Whether it has nothing to say of one rule of a section."""
    return _RULES[section].accepts(rule)


def accepts_selector(selector: object) -> bool:
    """Whether it has nothing to say of a selector."""
    return _SELECTOR.accepts(selector)


def faults(spec: object, path: Path) -> Iterator[Fault]:
    """Everything the schema has to say of a spec that stands at a path."""
    yield from _SPEC.faults(spec, path)
