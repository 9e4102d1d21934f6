"""A workload in; out, the hosts that its containers are told to talk to: in values of variables, arguments and ConfigMaps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from bot.lint.context import Context
    from bot.manifests.snapshot import Object, Workload

_URL = re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://(?:[^\s/@\"']{1,200}@)?([A-Za-z0-9][A-Za-z0-9.-]{0,252})(?::(\d{1,5}))?")
_WITH_PORT = re.compile(r"(?<![\w./@:-])([a-z][a-z0-9.-]{0,252}):(\d{2,5})(?![\w.:-])")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_CLUSTER = re.compile(r"\.svc(\.cluster\.local)?$|\.cluster\.local$")
_LOCAL = frozenset({"localhost", "0.0.0.0", "127.0.0.1"})  # noqa: S104
_EXAMPLES = re.compile(r"(^|\.)example(\.(com|org|net))?$|\.(invalid|test|local|localhost|internal|lan)$")
_TOLD = re.compile(r"\b(?:env|envFrom|args|command)[\"']?[ \t]*:[ \t]*(?:$|[#&\[|>])", re.MULTILINE)
_LONGEST = 20_000
_MOST = 500


class Host(NamedTuple):
    """A host as it is written, its port (0: not said), and the variable, argument or ConfigMap that says it."""

    name: str
    port: int
    where: str


def hosts(context: Context, workload: Workload) -> tuple[Host, ...]:
    """Every host that a workload names: URLs, `host:port`, and plain names of Services that there are."""
    memo = context.once("hosts", dict)
    found = memo.get(id(workload.object))
    if found is None:
        found = memo[id(workload.object)] = tuple(dict.fromkeys(_hosts(context, workload)))
    return found  # type: ignore[no-any-return]


def _hosts(context: Context, workload: Workload) -> Iterator[Host]:
    services = service_names(context)
    for number, (where, text) in enumerate(_texts(context, workload)):
        if number == _MOST:
            return
        text = text[:_LONGEST]
        for url in _URL.finditer(text):
            name = url[1].rstrip(".").lower()
            if name not in _LOCAL:
                yield Host(name, int(url[2] or 0), where)
        for pair in _WITH_PORT.finditer(text):
            if pair[1] not in _LOCAL and (_service(pair[1], workload.namespace, services) or "." in pair[1]):
                yield Host(pair[1], int(pair[2]), where)
        name = text.strip()
        if _NAME.fullmatch(name) and name != workload.name and _service(name, workload.namespace, services):
            yield Host(name, 0, where)


def may_name_hosts(workload: Workload) -> bool:
    """Whether anything of it can name one at all; does not read it."""
    text = workload.object.document.text
    # Looking for the words first is ten times as fast.
    return ("env" in text or "args" in text or "command" in text) and _TOLD.search(text) is not None


def telling(context: Context) -> frozenset[int]:
    """The ids of the objects of workloads that can name one."""
    memo = context.run.memo

    def make() -> frozenset[int]:
        found = []
        for workload in context.run.judged[context.head].workloads:
            at = "may name hosts", id(workload.object)
            if at not in memo:
                memo[at] = may_name_hosts(workload)
            if memo[at]:
                found.append(id(workload.object))
        return frozenset(found)

    return context.once("telling", make)  # type: ignore[no-any-return]


def named(context: Context, workload: Workload) -> Host | None:
    """The first host that has to be looked up by name."""
    return next((host for host in hosts(context, workload) if not _is_address(host.name)), None)


def external(context: Context, workload: Workload) -> Host | None:
    """The first host outside the cluster: a domain name that is no Service's, or that an ExternalName Service stands for."""
    aliases = _aliases(context)
    for host in hosts(context, workload):
        name, _, rest = host.name.partition(".")
        alias = aliases.get((rest.split(".")[0] or workload.namespace, name)) if aliases else None
        if alias is not None:
            if is_external(context, alias, workload.namespace):
                return Host(alias, host.port, f"{host.where} (Service `{name}`)")
        elif is_external(context, host.name, workload.namespace):
            return host
    return None


def is_external(context: Context, host: str, namespace: str) -> bool:
    """Whether a host is a domain name outside of the cluster, and no example."""
    top = host.rpartition(".")[2]
    return (
        "." in host
        and top.isalpha()
        and len(top) >= 2
        and not _CLUSTER.search(host)
        and not _EXAMPLES.search(host)
        and not _service(host, namespace, service_names(context))
        and host.split(".")[1] not in context.snapshot.namespaces
    )


def _aliases(context: Context) -> dict[tuple[str, str], str]:
    """(namespace, name) of each ExternalName Service -> the host that it stands for."""

    def make() -> dict[tuple[str, str], str]:
        out = {}
        for obj in context.snapshot.by_kind("Service"):
            spec = _map(obj.value.get("spec"))
            if spec.get("type") == "ExternalName" and type(spec.get("externalName")) is str:
                out[(obj.namespace, obj.name)] = spec["externalName"].rstrip(".").lower()
        return out

    return context.once("aliases", make)  # type: ignore[no-any-return]


def service_names(context: Context) -> frozenset[tuple[str, str]]:
    """(namespace, name) of every Service."""

    def make() -> frozenset[tuple[str, str]]:
        return frozenset(
            (obj.namespace, obj.name) for obj in context.snapshot.by_kind("Service") if "/" not in obj.api_version
        )

    return context.once("service_names", make)  # type: ignore[no-any-return]


def _service(host: str, namespace: str, services: frozenset[tuple[str, str]]) -> bool:
    name, _, rest = host.partition(".")
    return (rest.split(".")[0] or namespace, name) in services


def _is_address(host: str) -> bool:
    return not host.rpartition(".")[2].isalpha() and host.replace(".", "").isdigit()


def _config_maps(context: Context) -> dict[tuple[str, str], Object]:
    return {(obj.namespace, obj.name): obj for obj in context.snapshot.by_kind("ConfigMap")}


def _texts(context: Context, workload: Workload) -> Iterator[tuple[str, str]]:
    if not may_name_hosts(workload):
        return
    spec = _spec(workload.object.value)
    maps = context.once("config maps", lambda: _config_maps(context))
    home = workload.namespace
    for key in ("containers", "initContainers"):
        for container in _maps(spec.get(key)):
            for field in ("command", "args"):
                listed = container.get(field)
                for text in listed if type(listed) is list else ():
                    if type(text) is str:
                        yield "an argument", text
            for variable in _maps(container.get("env")):
                name, value = variable.get("name"), variable.get("value")
                if type(value) is str:
                    yield f"the variable {str(name)[:60]}", value
                ref = _map(_map(variable.get("valueFrom")).get("configMapKeyRef"))
                value = _data(maps.get((home, str(ref.get("name"))))).get(ref.get("key"))
                if type(value) is str:
                    yield f"the variable {str(name)[:60]}", value
            for source in _maps(container.get("envFrom")):
                config = maps.get((home, str(_map(source.get("configMapRef")).get("name"))))
                for name, value in _data(config).items():
                    if type(value) is str:
                        yield f"the variable {str(name)[:60]}", value


def _spec(value: Any) -> dict[str, Any]:
    for path in (("spec", "jobTemplate", "spec", "template", "spec"), ("spec", "template", "spec"), ("spec",)):
        found = value
        for step in path:
            found = _map(found).get(step)
        if type(found) is dict and "containers" in found:
            return found
    return {}


def _data(config: Object | None) -> dict[Any, Any]:
    return _map(config.value.get("data")) if config is not None else {}


def _map(value: Any) -> dict[Any, Any]:
    return value if type(value) is dict else {}


def _maps(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if type(item) is dict] if type(value) is list else []
