"""An expectations file in, expectations out: what must be reachable and what must not (docs/cli.md, verify).

Every mistake in the file is a UsageError with the file, the line, and what was probably meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from bot.errors import UsageError
from bot.policies.traffic import LAST_PORT, PROTOCOLS, TCP

LARGEST = 16 * 1024 * 1024


class Expectation(NamedTuple):
    """One entry of the file. `source` and `destination` as written (`namespace/workload`, `ip:...`, `internet`, ...).

    `protocol` is a number, None for every one (neither protocol nor port given). `port`: a number, a container port's
    name, or None for every one. `family`: 4, 6 or None. `self_traffic`: a pod to its own address. `written`: the entry
    as it stands in the file.
    """

    source: str
    destination: str
    expect: str
    protocol: int | None
    port: int | str | None
    source_port: int | None
    icmp_type: int | None
    icmp_code: int | None
    family: int | None
    self_traffic: bool
    http: Mapping[str, object] | None
    dns: str | None
    name: str
    file: str
    line: int
    written: Mapping[str, object]


class _Entry(NamedTuple):
    """One entry with what is needed to say where a mistake stands."""

    file: str
    line: int
    value: Mapping[str, object]
    line_of: Callable[[str], int]

    def wrong(self, key: str, message: str) -> UsageError:
        return UsageError(f"{self.file}:{self.line_of(key)}: {message}")


FIELDS = (
    "from",
    "to",
    "protocol",
    "port",
    "http",
    "dns",
    "expect",
    "name",
    "egress",
    "ingress",
    "whyEgress",
    "whyIngress",
    "egress_l7",
    "ingress_l7",
    "self",
    "family",
    "ipVersion",
    "srcPort",
    "icmpType",
    "icmpCode",
    "note",
)
FILE_FIELDS = (
    "expectations",
    "version",
    "id",
    "kind",
    "title",
    "features",
    "source",
    "test",
    "sub",
    "suite",
    "rejected",
    "dualstack",
    "policy_kinds",
)
HTTP_FIELDS = ("method", "path", "host", "headers")
FORMS = "namespace/workload, namespace/kind/name, ip:, cidr:, entity:, fqdn:, node:, host:, ingress: or internet"
_SCHEMES = ("ip", "cidr", "entity", "fqdn", "node", "host", "ingress")
_FAMILIES = {"IPv4": 4, "IPv6": 6, 4: 4, 6: 6, "4": 4, "6": 6}


def read(path: str) -> tuple[Expectation, ...]:
    """The expectations of a YAML or JSON file. Raises UsageError."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    if len(data) > LARGEST:
        raise UsageError(f"{path} is larger than {LARGEST >> 20} MiB")
    return parse(path, data)


def parse(file: str, data: bytes) -> tuple[Expectation, ...]:
    """The expectations of a file's content, in its order, of all its documents. Raises UsageError."""
    from bot.manifests.yaml import Reader

    out: list[Expectation] = []
    for located in Reader().read(file, data):
        document = located.document
        if document.error is not None:
            raise UsageError(f"{file}:{located.line + document.error.line - 1}: {document.error.reason}")
        value = document.value
        if value is None:
            continue

        def line_of(*path: str | int, located=located) -> int:  # type: ignore[no-untyped-def]
            return int(located.line + located.document.lines(path)[0] - 1)

        if not isinstance(value, dict):
            raise UsageError(f"{file}:{line_of()}: a mapping with the key expectations is wanted here")
        for key in value:
            if key not in FILE_FIELDS:
                raise UsageError(f"{file}:{line_of(key)}: unknown key {_shown(key)}{_meant(key, FILE_FIELDS)}")
        rows = value.get("expectations")
        if not isinstance(rows, list):
            place = line_of("expectations") if "expectations" in value else line_of()
            raise UsageError(f"{file}:{place}: expectations must be a list")
        for index, row in enumerate(rows):
            here = line_of("expectations", index)
            if not isinstance(row, dict):
                raise UsageError(f"{file}:{here}: an expectation is a mapping with from, to and expect")
            out.append(_entry(_Entry(file, here, row, partial(line_of, "expectations", index))))
    if not out:
        raise UsageError(f"{file}: no expectations in it")
    return tuple(out)


def _entry(entry: _Entry) -> Expectation:
    value = entry.value
    for key in value:
        if key not in FIELDS:
            raise entry.wrong(key, f"unknown field {_shown(key)}{_meant(key, FIELDS)}")
    for key in ("from", "to", "expect"):
        if key not in value:
            raise UsageError(f"{entry.file}:{entry.line}: {key} is missing")
    port = _port(entry)
    http, dns = value.get("http"), value.get("dns")
    if http is not None:
        _check_http(entry, http)
    if dns is not None and not isinstance(dns, str):
        raise entry.wrong("dns", "dns must be a name")
    return Expectation(
        source=_end(entry, "from"),
        destination=_end(entry, "to"),
        expect=_one_of(entry, "expect", ("allow", "deny")),
        protocol=_protocol(entry, port),
        port=port,
        source_port=_number(entry, "srcPort", LAST_PORT),
        icmp_type=_number(entry, "icmpType", 255),
        icmp_code=_number(entry, "icmpCode", 255),
        family=_family(entry),
        self_traffic=_flag(entry, "self"),
        http=http if isinstance(http, dict) else None,
        dns=dns,
        name=str(value.get("name") or ""),
        file=entry.file,
        line=entry.line,
        written=value,
    )


def _end(entry: _Entry, key: str) -> str:
    text = entry.value[key]
    if not isinstance(text, str) or not text.strip():
        raise entry.wrong(key, f"{key} must be one of {FORMS}")
    scheme, colon, rest = text.partition(":")
    if text == "internet" or (not colon and 1 <= text.count("/") <= 2 and all(text.split("/"))):
        return text
    if not colon or scheme not in _SCHEMES or not rest:
        near = _meant(scheme if colon else text, (*_SCHEMES, "internet"))
        raise entry.wrong(key, f"{key}: {_shown(text)} is none of {FORMS}{near}")
    if scheme in ("ip", "cidr"):
        from bot.policies.addresses import parse_address, parse_cidr

        try:
            (parse_address if scheme == "ip" else parse_cidr)(rest)
        except ValueError as error:
            raise entry.wrong(key, f"{key}: {error}") from None
    return text


def _one_of(entry: _Entry, key: str, choices: tuple[str, ...]) -> str:
    value = entry.value[key]
    if not isinstance(value, str) or value not in choices:
        raise entry.wrong(key, f"{key} must be {' or '.join(choices)}, not {_shown(value)}{_meant(value, choices)}")
    return value


def _port(entry: _Entry) -> int | str | None:
    port = entry.value.get("port")
    if port is None or (isinstance(port, int) and not isinstance(port, bool) and 0 <= port <= LAST_PORT):
        return port
    if isinstance(port, str) and port:
        return int(port) if port.isascii() and port.isdigit() and len(port) < 6 and int(port) <= LAST_PORT else port
    raise entry.wrong("port", f"port must be 0 to {LAST_PORT} or the name of a container port, not {_shown(port)}")


def _protocol(entry: _Entry, port: int | str | None) -> int | None:
    protocol = entry.value.get("protocol")
    if protocol is None:
        return None if port is None else TCP
    if isinstance(protocol, int) and not isinstance(protocol, bool) and 0 <= protocol <= 255:
        return protocol
    if isinstance(protocol, str):
        for name, number in PROTOCOLS.items():
            if name.lower() == protocol.lower():
                return number
    wanted = f"protocol must be {', '.join(PROTOCOLS)} or a number to 255"
    raise entry.wrong("protocol", f"{wanted}, not {_shown(protocol)}{_meant(protocol, tuple(PROTOCOLS))}")


def _number(entry: _Entry, key: str, last: int) -> int | None:
    value = entry.value.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= last):
        return value
    raise entry.wrong(key, f"{key} must be a number from 0 to {last}, not {_shown(value)}")


def _flag(entry: _Entry, key: str) -> bool:
    value = entry.value.get(key, False)
    if not isinstance(value, bool):
        raise entry.wrong(key, f"{key} must be true or false, not {_shown(value)}")
    return value


def _family(entry: _Entry) -> int | None:
    for key in ("family", "ipVersion"):
        value = entry.value.get(key)
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, (int, str)) or value not in _FAMILIES:
                raise entry.wrong(key, f"{key} must be IPv4 or IPv6, not {_shown(value)}")
            return _FAMILIES[value]
    return None


def _check_http(entry: _Entry, http: object) -> None:
    if not isinstance(http, dict):
        raise entry.wrong("http", f"http must be a mapping with {', '.join(HTTP_FIELDS)}")
    for key, value in http.items():
        if key not in HTTP_FIELDS:
            raise entry.wrong("http", f"unknown field http.{_shown(key)}{_meant(key, HTTP_FIELDS)}")
        if not isinstance(value, dict if key == "headers" else str):
            raise entry.wrong("http", f"http.{key} must be a {'mapping' if key == 'headers' else 'text'}")


def _shown(value: object) -> str:
    return repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."


def _meant(word: object, choices: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(str(word)[:60], choices, 1)
    return f"; did you mean {close[0]}?" if close else ""
