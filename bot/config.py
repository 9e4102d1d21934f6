"""The bytes of .netreach.yml in, a Config out; every mistake in it is a UsageError with the file, the line and what was probably meant.

Read only where there is such a file: bot.sources.select.find_config tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bot.errors import UsageError
from bot.located import Value, meant, shown

LARGEST = 1_000_000

CNIS = (
    *("kubernetes", "cilium", "calico", "antrea", "ovn-kubernetes", "kube-ovn", "kube-network-policies", "kube-router"),
    *("aws-vpc-cni", "azure", "gke", "weave", "kindnet", "flannel", "kubenet", "none"),
)
FAIL_ON = ("rule", "lint-error", "internet", "any-opened", "any-change", "never")
ON_INCOMPLETE = ("fail", "warn")
SEVERITIES = ("block", "warn")
LINT_SEVERITIES = ("error", "warning", "info", "off")
COMMENT_MODES = ("escalate", "update", "hide-and-new", "delete-and-new", "new", "off")
COMMENT_WHEN = ("changes", "always", "never")
LANGUAGES = ("en",)
KUBE_APISERVER = ("external", "node")
PROTOCOLS = ("tcp", "udp", "sctp")
SCHEMES = ("ns", "label", "ip", "cidr", "entity", "fqdn", "node", "host", "ingress")
RENDERERS = ("kustomize", "helm")
PLUGINS = ("helm",)
RENDERED_CHART = ("chart", "release", "namespace", "values", "set", "kube-version", "api-versions")


class Ports(NamedTuple):
    """Ports that a rule speaks of: numbers `first` to `last`, or a container port's `name`. `protocol` None: any of them."""

    protocol: str | None
    first: int
    last: int
    name: str | None


class Match(NamedTuple):
    """Some paths: from, to and ports (none: all), the ends as written with the groups' names left in (Config.groups has them)."""

    source: str
    destination: str
    ports: tuple[Ports, ...]


class Rule(NamedTuple):
    """What must stay closed (`action` deny) or open (require). `severity` block or warn; `line` in the config file."""

    id: str
    action: str
    match: Match
    severity: str
    why: str
    line: int


class Allow(NamedTuple):
    """Changes that somebody answers for, until the day `expires` (YYYY-MM-DD, which compares as text)."""

    id: str
    match: Match
    owner: str
    reason: str
    expires: str
    line: int


class Assume(NamedTuple):
    """What manifests cannot tell. None where the config is silent; `pod_cidrs` () means outside every CIDR."""

    cni: str | None = None
    pod_cidrs: tuple[str, ...] | None = None
    kube_apiserver: str | None = None
    known_complete: tuple[str, ...] = ()


class Rendered(NamedTuple):
    """What is rendered for an environment: the tool (kustomize or helm) and its folder; the rest is of charts.

    `values`: files from the top of the repository, the last one counts most. `parameters`: as `--set` has them.
    """

    tool: str
    path: str
    line: int
    release: str = ""
    namespace: str = ""
    values: tuple[str, ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()


class Environment(NamedTuple):
    """One cluster: the globs of its files, and what is rendered for it (nothing: plain YAML)."""

    name: str
    paths: tuple[str, ...]
    render: tuple[Rendered, ...]
    assume: Assume
    line: int


class Cluster(NamedTuple):
    """A cluster that Argo CD knows, for ApplicationSets; `labels` and `annotations` of its secret."""

    name: str
    server: str
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


class Render(NamedTuple):
    """What charts see of the cluster ('' and (): the renderer's own), and the clusters of ApplicationSets.

    `remote`: addresses that may be fetched, each with what is below it; `plugins`: those of Kustomize that may run.
    """

    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    remote: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()


class Gate(NamedTuple):
    """What blocks (`fail_on`), and whether an incomplete review does (`on_incomplete`: fail or warn)."""

    fail_on: tuple[str, ...] = ("rule",)
    on_incomplete: str = "fail"


class Ignored(NamedTuple):
    """Rules (by id or name) whose findings in files of these globs are left out, and why."""

    paths: tuple[str, ...]
    rules: tuple[str, ...]
    reason: str


class Lint(NamedTuple):
    """Lint rules that are off, severities other than their own, and what is ignored in some files; rules by id or name."""

    disable: tuple[str, ...] = ()
    severity: tuple[tuple[str, str], ...] = ()
    ignore: tuple[Ignored, ...] = ()


class Comment(NamedTuple):
    """How the comment on the pull request is kept, when there is one, and how many rows it shows."""

    mode: str = "escalate"
    when: str = "changes"
    max_rows: int = 20
    language: str = "en"


class Check(NamedTuple):
    """The check run's name and the most annotations on it."""

    name: str = "netreach"
    annotations: int = 50


class Config(NamedTuple):
    """Everything that .netreach.yml says; the parts it leaves out have their defaults. `groups`: name to what it stands for."""

    file: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    environments: tuple[Environment, ...] = ()
    assume: Assume = Assume()
    groups: tuple[tuple[str, str], ...] = ()
    rules: tuple[Rule, ...] = ()
    allow: tuple[Allow, ...] = ()
    gate: Gate = Gate()
    lint: Lint = Lint()
    comment: Comment = Comment()
    check: Check = Check()
    render: Render = Render()


def read(path: str) -> Config:
    """The config in a file that the user named. Raises UsageError."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    return parse(path, data)


def parse(file: str, data: bytes) -> Config:
    """The config in the bytes of a file; `file` is what messages call it. Raises UsageError."""
    from bot.manifests.yaml import Reader

    if len(data) > LARGEST:
        raise UsageError(f"{file} is larger than {LARGEST:,} bytes")
    found = None
    for located in Reader().read(file, data):
        document, first = located.document, located.line
        if document.error is not None:
            raise UsageError(f"{file}:{first + document.error.line - 1}: {document.error.reason}")
        if document.value is None:
            continue
        if found is not None:
            raise UsageError(f"{file}:{first}: a second document: the config must be one")
        found = located
    if found is None:
        return Config(file)
    document, first = found.document, found.line
    return _config(Value(file, document.value, (), lambda path: first + document.lines(path)[0] - 1))


def _config(top: Value) -> Config:
    top.mapping(
        ("version", "paths", "environments", "assume", "groups", "rules", "allow", "gate", "lint", "comment", "check")
        + ("render",)
    )
    if "version" not in top.value:  # type: ignore[operator]
        raise top.wrong("version is missing in the config: say version: 1")
    top.at("version").number(1, 1)
    out = Config(top.file)
    if paths := top.get("paths"):
        paths.mapping(("include", "exclude"))
        out = out._replace(include=_globs(paths.get("include")), exclude=_globs(paths.get("exclude")))
    if assume := top.get("assume"):
        out = out._replace(assume=_assume(assume, Assume()))
    if environments := top.get("environments"):
        out = out._replace(environments=_environments(environments, out.assume))
    groups: dict[str, str] = {}
    if found := top.get("groups"):
        for name in found.names():
            if name in ("internet", "*") or ":" in name or "/" in name:
                raise found.at(name).wrong(f"{shown(name)} cannot name a group: it has a meaning of its own")
            groups[name] = _end(found.at(name), {})
        out = out._replace(groups=tuple(groups.items()))
    if rules := top.get("rules"):
        out = out._replace(rules=tuple(_rule(item, groups) for item in rules.items()))
        _distinct(rules, [rule.id for rule in out.rules])
    if allow := top.get("allow"):
        out = out._replace(allow=tuple(_allow(item, groups) for item in allow.items()))
        _distinct(allow, [entry.id for entry in out.allow])
    if gate := top.get("gate"):
        out = out._replace(gate=_gate(gate))
    if lint := top.get("lint"):
        out = out._replace(lint=_lint(lint))
    if comment := top.get("comment"):
        out = out._replace(comment=_comment(comment))
    if check := top.get("check"):
        out = out._replace(check=_check(check))
    if render := top.get("render"):
        out = out._replace(render=_render(render))
    return out


def _globs(value: Value | None) -> tuple[str, ...]:
    if value is None:
        return ()
    from bot.sources.select import matcher

    for item in value.items():
        try:
            matcher((item.text(),))
        except UsageError as error:
            raise item.wrong(str(error)) from None
    return value.texts()


def _assume(value: Value, default: Assume) -> Assume:
    value.mapping(("cni", "podCIDRs", "kubeApiserver", "known-complete"))
    out = default
    if cni := value.get("cni"):
        out = out._replace(cni=cni.choice(CNIS))
    if pods := value.get("podCIDRs"):
        out = out._replace(pod_cidrs=() if pods.value == "none" else _cidrs(pods))
    if apiserver := value.get("kubeApiserver"):
        out = out._replace(kube_apiserver=apiserver.choice(KUBE_APISERVER))
    if complete := value.get("known-complete"):
        out = out._replace(known_complete=complete.texts())
    return out


def _cidrs(value: Value) -> tuple[str, ...]:
    if not value.value or not isinstance(value.value, list):
        raise value.wrong(f"{value.name} must be a list of CIDRs, or none, not {shown(value.value)}")
    for item in value.items():
        _address(item, item.text())
    return value.texts()


def _address(value: Value, text: str) -> None:
    from bot.policies.addresses import parse_cidr

    try:
        parse_cidr(text)
    except ValueError as error:
        raise value.wrong(f"{value.name}: {error}") from None


def _environments(value: Value, assume: Assume) -> tuple[Environment, ...]:
    out = []
    for name in value.names():
        item = value.at(name).mapping(("paths", "render", "assume"))
        render: tuple[Rendered, ...] = ()
        if found := item.get("render"):
            render = tuple(map(_rendered, found.items() if isinstance(found.value, list) else [found]))
        own = _assume(part, assume) if (part := item.get("assume")) else assume
        out.append(Environment(name, _globs(item.get("paths")), render, own, item.line))
    return tuple(out)


def _rendered(value: Value) -> Rendered:
    value.mapping(RENDERERS)
    if len(value.names()) != 1:
        raise value.wrong(f"{value.name} must name one of {', '.join(RENDERERS)}")
    tool = value.names()[0]
    at = value.at(tool)
    if tool != "helm" or not isinstance(at.value, dict):
        return Rendered(tool, at.text(), value.line)
    at.mapping(RENDERED_CHART, required=("chart",))
    return Rendered(
        tool,
        at.at("chart").text(),
        value.line,
        release.text() if (release := at.get("release")) else "",
        namespace.text() if (namespace := at.get("namespace")) else "",
        files.texts() if (files := at.get("values")) else (),
        _pairs(at.get("set")),
        *_capabilities(at),
    )


def _capabilities(value: Value) -> tuple[str, tuple[str, ...]]:
    version, versions = value.get("kube-version"), value.get("api-versions")
    if version and not _is_version(version.text()):
        raise version.wrong(f"{version.name} must be like 1.34 or 1.34.2, not {shown(version.value)}")
    return version.text() if version else "", versions.texts() if versions else ()


def _is_version(text: str) -> bool:
    numbers = text.removeprefix("v").split(".")
    return len(numbers) in (2, 3) and all(part.isascii() and part.isdigit() and len(part) < 4 for part in numbers)


def _render(value: Value) -> Render:
    value.mapping(("kube-version", "api-versions", "clusters", "remote", "plugins"))
    listed = clusters.items() if (clusters := value.get("clusters")) else []
    for item in listed:
        item.mapping(("name", "server", "labels", "annotations"), required=("name", "server"))
    known = [
        Cluster(i.at("name").text(), i.at("server").text(), _pairs(i.get("labels")), _pairs(i.get("annotations")))
        for i in listed
    ]
    plugins = tuple(item.choice(PLUGINS) for item in found.items()) if (found := value.get("plugins")) else ()
    return Render(*_capabilities(value), tuple(known), _addresses(value.get("remote")), plugins)


def _addresses(value: Value | None) -> tuple[str, ...]:
    if value is None:
        return ()
    from bot.sources.remote import address

    for item in value.items():
        try:
            address(item.text())
        except ValueError as error:
            raise item.wrong(f"{item.name} must be an address like https://github.com/org/repo: {error}") from None
    return value.texts()


def _pairs(value: Value | None) -> tuple[tuple[str, str], ...]:
    """A mapping to text; numbers and booleans as they are written in JSON."""
    if value is None:
        return ()
    out = []
    for key in value.names():
        item = value.at(key)
        plain = isinstance(item.value, (int, float)) and not isinstance(item.value, bool)
        word = str(item.value).lower() if isinstance(item.value, bool) else str(item.value) if plain else item.text()
        out.append((key, word))
    return tuple(out)


def _rule(value: Value, groups: Mapping[str, str]) -> Rule:
    value.mapping(("id", "deny", "require", "severity", "why"), required=("id",))
    deny, require = value.get("deny"), value.get("require")
    chosen = deny or require
    if chosen is None or (deny and require):
        raise value.wrong(f"{value.name} must have one of deny and require")
    return Rule(
        id=_id(value.at("id")),
        action="deny" if deny else "require",
        match=_match(chosen, groups),
        severity=severity.choice(SEVERITIES) if (severity := value.get("severity")) else "block",
        why=why.text() if (why := value.get("why")) else "",
        line=value.line,
    )


def _allow(value: Value, groups: Mapping[str, str]) -> Allow:
    keys = ("id", "match", "owner", "reason", "expires")
    value.mapping(keys, required=keys)
    return Allow(
        id=_id(value.at("id")),
        match=_match(value.at("match"), groups),
        owner=value.at("owner").text(),
        reason=value.at("reason").text(),
        expires=_day(value.at("expires")),
        line=value.line,
    )


def _id(value: Value) -> str:
    text = value.text()
    if len(text) > 100 or not all(
        character.isascii() and (character.isalnum() or character in "-_.") for character in text
    ):
        raise value.wrong(f"{value.name} must be made of letters, digits, '-', '_' and '.', not {shown(text)}")
    return text


def _distinct(value: Value, ids: list[str]) -> None:
    for index, name in enumerate(ids):
        if name in ids[:index]:
            raise value.at(index, "id").wrong(f"the id {name} is taken by {value.name}[{ids.index(name)}]")


def _day(value: Value) -> str:
    from datetime import date

    text = value.text()
    try:
        # Python 3.11 and later read more forms than the one whose text compares as days do.
        if len(text) == 10 and date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise value.wrong(f"{value.name} must be a day like 2027-01-31, not {shown(text)}")


def _match(value: Value, groups: Mapping[str, str]) -> Match:
    value.mapping(("from", "to", "ports"), required=("from", "to"))
    ports = value.get("ports")
    found = tuple(_ports(item) for item in ports.items()) if ports else ()
    return Match(_end(value.at("from"), groups), _end(value.at("to"), groups), found)


def _end(value: Value, groups: Mapping[str, str]) -> str:
    text = value.text()
    scheme, colon, rest = text.partition(":")
    if text in ("internet", "*") or text in groups:
        return text
    if not colon and 1 <= text.count("/") <= 2 and all(text.split("/")):
        return text
    if not colon or scheme not in SCHEMES or not rest:
        known = [*groups, "internet", *(f"{name}:" for name in SCHEMES)]
        near = meant(f"{scheme}:" if colon else text, known)
        forms = f"namespace/workload, {', '.join(f'{name}:' for name in SCHEMES)}, internet, *"
        raise value.wrong(f"{value.name}: {shown(text)} is no group and none of {forms}{near}")
    if scheme in ("ip", "cidr"):
        _address(value, rest)
    if scheme == "label" and not rest.partition("=")[0]:
        raise value.wrong(f"{value.name}: a label is written label:key=value, or label:key")
    return text


def _ports(value: Value) -> Ports:
    written = str(value.value) if isinstance(value.value, int) and not isinstance(value.value, bool) else value.text()
    text, slash, protocol = written.partition("/")
    if slash and protocol.lower() not in PROTOCOLS:
        raise value.wrong(
            f"{value.name}: {shown(protocol)} is none of {', '.join(PROTOCOLS)}{meant(protocol, PROTOCOLS)}"
        )
    first, dash, last = text.partition("-")
    kind = protocol.lower() if slash else None
    if _is_port(first) and (not dash or (_is_port(last) and int(first) <= int(last))):
        return Ports(kind, int(first), int(last or first), None)
    if text and len(text) <= 15 and text[0].isalpha() and all(c.isascii() and (c.isalnum() or c == "-") for c in text):
        return Ports(kind, 0, 0, text)
    raise value.wrong(
        f"{value.name} must be like 443, 8000-8100/tcp or the name of a container port, not {shown(written)}"
    )


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535


def _gate(value: Value) -> Gate:
    value.mapping(("fail-on", "on-incomplete"))
    out = Gate()
    if fail_on := value.get("fail-on"):
        out = out._replace(fail_on=tuple(item.choice(FAIL_ON) for item in fail_on.items()))
    if on_incomplete := value.get("on-incomplete"):
        out = out._replace(on_incomplete=on_incomplete.choice(ON_INCOMPLETE))
    return out


def _lint(value: Value) -> Lint:
    value.mapping(("disable", "severity", "ignore"))
    out = Lint()
    if ignore := value.get("ignore"):
        out = out._replace(ignore=tuple(_ignored(item) for item in ignore.items()))
    if disable := value.get("disable"):
        out = out._replace(disable=tuple(_id(item) for item in disable.items()))
    if severity := value.get("severity"):
        out = out._replace(
            severity=tuple((name, severity.at(name).choice(LINT_SEVERITIES)) for name in severity.names())
        )
    return out


def _ignored(value: Value) -> Ignored:
    value.mapping(("paths", "rules", "reason"), required=("paths", "rules", "reason"))
    rules = tuple(_id(item) for item in value.at("rules").items())
    return Ignored(_globs(value.at("paths")), rules, value.at("reason").text())


def _comment(value: Value) -> Comment:
    value.mapping(("mode", "when", "max-rows", "language"))
    out = Comment()
    if mode := value.get("mode"):
        out = out._replace(mode=mode.choice(COMMENT_MODES))
    if when := value.get("when"):
        out = out._replace(when=when.choice(COMMENT_WHEN))
    if rows := value.get("max-rows"):
        out = out._replace(max_rows=rows.number(1, 1000))
    if language := value.get("language"):
        out = out._replace(language=language.choice(LANGUAGES))
    return out


def _check(value: Value) -> Check:
    value.mapping(("name", "annotations"))
    out = Check()
    if name := value.get("name"):
        out = out._replace(name=name.text())
    if annotations := value.get("annotations"):
        out = out._replace(annotations=annotations.number(0, 1000))
    return out
