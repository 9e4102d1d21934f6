"""An expectations file in, expectations out: what must be reachable and what must not (docs/cli.md, verify).

Every mistake in the file is a UsageError with the file, the line, and what was probably meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bot.errors import UsageError
from bot.located import Value, meant, shown
from bot.policies.traffic import LAST_PORT, PROTOCOLS, TCP

if TYPE_CHECKING:
    from bot.manifests.yaml import Located

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
_FAMILIES = {"IPv4": 4, "IPv6": 6, "4": 4, "6": 6}


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
        if document.value is None:
            continue
        top = Value(file, document.value, (), partial(_line, located))
        rows = _imported(top)
        if rows is not None:
            out += rows
            continue
        top.mapping(FILE_FIELDS, ("expectations",))
        out += [_entry(row) for row in top.at("expectations").items()]
    if not out:
        raise UsageError(f"{file}: no expectations in it")
    return tuple(out)


def _imported(top: Value) -> list[Expectation] | None:
    """The tests of a file of another tool, or None where it is none that is known."""
    from bot.gate import imports

    if imports.is_netassert(top.value):
        rows = imports.netassert(top)
    elif imports.is_policytester(top.value):
        rows = imports.policytester(top)
    else:
        return None
    return [_entry(Value(top.file, row, (), partial(_at, line))) for row, line in rows]


def _at(line: int, path: tuple[str | int, ...]) -> int:
    return line


def _line(located: Located, path: tuple[str | int, ...]) -> int:
    return located.line + located.document.lines(path)[0] - 1


def _entry(entry: Value) -> Expectation:
    entry.mapping(FIELDS, ("from", "to", "expect"))
    port = _port(entry.get("port"))
    http, dns, name = entry.get("http"), entry.get("dns"), entry.get("name")
    if http is not None:
        http.mapping(HTTP_FIELDS)
        for key in http.names():
            part = http.at(key)
            if key == "headers":
                part.names()
            elif not isinstance(part.value, str):
                raise part.wrong(f"{part.name} must be text, not {shown(part.value)}")
    return Expectation(
        source=_end(entry.at("from")),
        destination=_end(entry.at("to")),
        expect=entry.at("expect").choice(("allow", "deny")),
        protocol=_protocol(entry.get("protocol"), port),
        port=port,
        source_port=_number(entry.get("srcPort"), LAST_PORT),
        icmp_type=_number(entry.get("icmpType"), 255),
        icmp_code=_number(entry.get("icmpCode"), 255),
        family=_family(entry.get("family") or entry.get("ipVersion")),
        self_traffic=_flag(entry.get("self")),
        http=http.value if http is not None else None,  # type: ignore[arg-type]
        dns=dns.text() if dns is not None else None,
        name=name.text() if name is not None else "",
        file=entry.file,
        line=entry.line,
        written=entry.value,  # type: ignore[arg-type]
    )


def _end(end: Value) -> str:
    text = end.text()
    scheme, colon, rest = text.partition(":")
    if text == "internet" or (not colon and 1 <= text.count("/") <= 2 and all(text.split("/"))):
        return text
    if not colon or scheme not in _SCHEMES or not rest:
        raise end.wrong(f"{end.name}: {shown(text)} is none of {FORMS}{meant(scheme, (*_SCHEMES, 'internet'))}")
    if scheme in ("ip", "cidr"):
        from bot.policies.addresses import parse_address, parse_cidr

        try:
            (parse_address if scheme == "ip" else parse_cidr)(rest)
        except ValueError as error:
            raise end.wrong(f"{end.name}: {error}") from None
    return text


def _port(port: Value | None) -> int | str | None:
    if port is None:
        return None
    value = port.value
    if isinstance(value, int) or (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6):
        return port._replace(value=value if isinstance(value, bool) else int(value)).number(0, LAST_PORT)
    return port.text()


def _protocol(protocol: Value | None, port: int | str | None) -> int | None:
    if protocol is None:
        return None if port is None else TCP
    if isinstance(protocol.value, int):
        return protocol.number(0, 255)
    known = {name.lower(): number for name, number in PROTOCOLS.items()}
    number = known.get(protocol.text().lower())
    if number is None:
        raise protocol.wrong(
            f"{protocol.name}: {shown(protocol.value)} is none of {', '.join(PROTOCOLS)}{meant(protocol.value, tuple(PROTOCOLS))}"
        )
    return number


def _number(value: Value | None, last: int) -> int | None:
    return None if value is None else value.number(0, last)


def _flag(value: Value | None) -> bool:
    if value is not None and not isinstance(value.value, bool):
        raise value.wrong(f"{value.name} must be true or false, not {shown(value.value)}")
    return value is not None and value.value is True


def _family(value: Value | None) -> int | None:
    return None if value is None else _FAMILIES[value._replace(value=str(value.value)).choice(tuple(_FAMILIES))]
