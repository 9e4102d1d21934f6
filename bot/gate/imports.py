"""A test file of netassert v2 or of policytester, as read, in; the same expectations as netreach writes them, each with its line, out.

Formats: https://github.com/controlplaneio/netassert (a list of tests with `src`, `dst`, `exitCode`) and
https://github.com/ErikEngerd/policytester (`pods`, `addresses`, `connections`, `rules`). Those tools probe a cluster, so a DNS
name there is some address outside of it: `entity:world` here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bot.located import Value, shown

Row = tuple[dict[str, object], int]
KINDS = ("deployment", "statefulset", "daemonset", "pod")
MOST = 100_000


def is_netassert(value: object) -> bool:
    """Whether a document is a list of netassert tests."""
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) and "src" in row for row in value)


def is_policytester(value: object) -> bool:
    """Whether a document is policytester's."""
    return isinstance(value, dict) and {"pods", "connections", "rules"} <= value.keys()


def netassert(top: Value) -> list[Row]:
    """Exit code 0 is allow, any other deny. Raises UsageError."""
    out: list[Row] = []
    keys = ("name", "type", "protocol", "targetPort", "timeoutSeconds", "attempts", "exitCode", "src", "dst", "pause")
    for test in top.items():
        test.mapping(keys, ("name", "targetPort", "src", "dst"))
        code = test.get("exitCode")
        protocol = test.get("protocol")
        row: dict[str, object] = {
            "name": test.at("name").text(),
            "from": _resource(test.at("src").mapping(("k8sResource",), ("k8sResource",)).at("k8sResource")),
            "to": _destination(test.at("dst").mapping(("k8sResource", "host"))),
            "protocol": protocol.choice(("tcp", "udp")).upper() if protocol else "TCP",
            "port": test.at("targetPort").number(1, 65535),
            "expect": "deny" if code is not None and code.number(-(1 << 31), 1 << 31) else "allow",
        }
        out.append((row, test.line))
    return out


def _destination(value: Value) -> str:
    resource, host = value.get("k8sResource"), value.get("host")
    if (resource is None) == (host is None):
        raise value.wrong(f"{value.name} must have one of k8sResource and host")
    if resource is not None:
        return _resource(resource)
    assert host is not None
    return _host(host.mapping(("name",), ("name",)).at("name").text())


def _resource(value: Value) -> str:
    value.mapping(("kind", "name", "namespace", "clone"), ("kind", "name", "namespace"))
    kind = value.at("kind").choice(KINDS)
    name, namespace = value.at("name").text(), value.at("namespace").text()
    proper = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet", "pod": "Pod"}[kind]
    return f"{namespace}/{proper}/{name}"


def _host(text: str) -> str:
    from bot.policies.addresses import parse_cidr

    try:
        parse_cidr(text)
    except ValueError:
        return "entity:world"
    return f"cidr:{text}" if "/" in text else f"ip:{text}"


def policytester(top: Value) -> list[Row]:
    """Every source of a rule with every target of its connections on every port. Raises UsageError."""
    top.mapping(("pods", "addresses", "connections", "rules"))
    pods: dict[str, tuple[str, ...]] = {}
    for pod in top.at("pods").items():
        pod.mapping(("name", "namespace", "podname", "pods"), ("name",))
        group, single = pod.get("pods"), pod.get("podname")
        name = pod.at("name").text()
        if single is not None:
            space = pod.get("namespace")
            # A StatefulSet's pod is named after it, with its ordinal.
            owner = re.sub(r"-[0-9]+$", "", single.text())
            pods[name] = (f"{space.text() if space else 'default'}/{owner}",)
        elif group is not None:
            pods[name] = _union(group, pods)
        else:
            raise pod.wrong(f"{pod.name} must have podname or pods")
    hosts: dict[str, tuple[str, ...]] = {}
    if found := top.get("addresses"):
        for address in found.items():
            address.mapping(("name", "hosts", "addresses"), ("name",))
            own = tuple(_host(text) for text in named.texts()) if (named := address.get("hosts")) else ()
            more = _union(part, hosts) if (part := address.get("addresses")) else ()
            hosts[address.at("name").text()] = own + more
    connections: dict[str, tuple[tuple[str, str, int | str], ...]] = {}
    for connection in top.at("connections").items():
        connection.mapping(("name", "pods", "addresses", "connections", "ports", "targets"), ("name",))
        ends = [*(_union(part, pods) if (part := connection.get("pods")) else ())]
        ends += _union(part, hosts) if (part := connection.get("addresses")) else ()
        ports = [_port(port) for port in part.items()] if (part := connection.get("ports")) else []
        targets = [(end, *port) for end in ends for port in ports]
        for part in refs.items() if (refs := connection.get("connections")) else ():
            targets += _known(part, connections)
        connections[connection.at("name").text()] = tuple(dict.fromkeys(targets))
    out: list[Row] = []
    for rule in top.at("rules").items():
        rule.mapping(("name", "from", "allowed", "denied"), ("name", "from"))
        for key, expect in (("allowed", "allow"), ("denied", "deny")):
            for reference in part.items() if (part := rule.get(key)) else ():
                for source in _union(rule.at("from"), pods):
                    for end, protocol, port in _known(reference, connections):
                        row = {"from": source, "to": end, "protocol": protocol, "port": port, "expect": expect}
                        out.append(({"name": f"{rule.at('name').text()}: {reference.text()}", **row}, reference.line))
                        if len(out) > MOST:
                            raise rule.wrong(f"more than {MOST:,} expectations come of this file")
    return out


def _port(value: Value) -> tuple[str, int | str]:
    value.mapping(("port", "type"), ("port",))
    kind = value.get("type")
    number = value.at("port").value
    if not isinstance(number, (int, str)) or isinstance(number, bool):
        raise value.wrong(f"{value.name}.port must be a port, not {shown(number)}")
    return (kind.choice(("TCP", "UDP")) if kind else "TCP", number)


def _union(value: Value, known: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    found: Iterable[str] = (end for item in value.items() for end in _known(item, known))
    return tuple(dict.fromkeys(found))


def _known(value: Value, known: dict[str, tuple]) -> tuple:  # type: ignore[type-arg]
    from bot.located import meant

    name = value.text()
    if name not in known:
        raise value.wrong(f"{value.name}: nothing above is called {shown(name)}{meant(name, tuple(known))}")
    return known[name]
