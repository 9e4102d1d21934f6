"""The values of the Kyverno simulation: resources in, generated objects and notes out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bot.manifests.kinds import CLUSTER_SCOPED

Path = tuple[str | int, ...]
ResourceKey = tuple[str, str, str, str]
"""API group, kind, namespace ('' when cluster-scoped), name."""

RuleKey = tuple[str, str, str, str]
"""Policy kind, policy namespace, policy name, rule name ('' for a GeneratingPolicy, which has one rule)."""

NETWORK_GROUPS = frozenset({"cilium.io", "crd.projectcalico.org", "projectcalico.org", "policy.networking.k8s.io"})


class Unresolved(Exception):
    """Kyverno itself fails here: it creates nothing, and reports the message."""


class Unsimulated(Exception):
    """What Kyverno would do depends on something that is not in the repository or not implemented here."""


class Budget:
    """The work that may still be spent on one side; everything read is hostile, so every loop pays."""

    __slots__ = ("left",)

    def __init__(self, steps: int) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Take `steps` away; raises Unsimulated once nothing is left."""
        self.left -= steps
        if self.left < 0:
            raise Unsimulated("the work limit for Kyverno rules is used up")

    def measure(self, value: Any, depth: int = 0) -> None:
        """Pay for every node and character of `value`, counting shared parts as often as they are reached."""
        if depth > 64:
            raise Unsimulated("a value is nested deeper than 64 levels")
        if isinstance(value, str):
            self.spend(1 + len(value) // 32)
        elif isinstance(value, dict):
            self.spend(1 + len(value))
            for child in value.values():
                self.measure(child, depth + 1)
        elif isinstance(value, list):
            self.spend(1)
            for child in value:
                self.measure(child, depth + 1)
        else:
            self.spend(1)


class Resource(NamedTuple):
    """One Kubernetes object as Kyverno sees it when it is created."""

    value: Mapping[str, Any]
    group: str
    version: str
    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    implied: bool
    """True for a namespace that objects name but that no file declares: its labels are unknown."""

    @property
    def key(self) -> ResourceKey:
        return (self.group, self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Rule(NamedTuple):
    """The part of a generate rule that decides what becomes of its targets when a file changes."""

    key: RuleKey
    value: Mapping[str, Any]
    """The rule's text: a changed rule compares unequal."""
    synchronize: bool
    generate_existing: bool
    orphan: bool
    """orphanDownstreamOnPolicyDelete: targets survive the policy."""
    on_update: bool
    """Whether an update of an existing object fires the rule too."""
    clones_one: bool
    """Whether targets are copies of one named source (`clone`, not `cloneList`)."""


class RuleOrigin(NamedTuple):
    """Where a generated object comes from."""

    policy: Any
    """The policy as given: the plain dict to `generate`, the snapshot's Object after `apply`."""
    path: Path
    """The rule's path in the policy, such as ('spec', 'rules', 0)."""
    name: str


class GeneratedObject(NamedTuple):
    """One object that Kyverno creates."""

    value: dict[str, Any]
    key: ResourceKey
    rule_origin: RuleOrigin
    rule: Rule
    trigger: str
    """The object it is created for: 'Namespace shop'."""
    trigger_key: ResourceKey
    source: ResourceKey | None = None
    """The object it is cloned from."""
    only_new: bool = False
    """Only objects created after the change get it; nothing that exists now does."""
    kept: str = ""
    """Why the cluster keeps this older state although the rules now say otherwise; '' when they do not."""


class GenerationNote(NamedTuple):
    """Something about generation that a reader must know."""

    policy: Any
    path: Path
    text: str
    incomplete: bool
    """True when an object that decides reachability may be missing or wrong."""
    file: str = ""
    lines: tuple[int, int] | None = None
    """Where the rule stands, once a snapshot has told."""


class Generated(NamedTuple):
    """What Kyverno creates on one side."""

    objects: tuple[GeneratedObject, ...] = ()
    notes: tuple[GenerationNote, ...] = ()
    rules: Mapping[RuleKey, Rule] = {}
    resources: tuple[Resource, ...] | None = None
    """The objects of the side, or None when it has no rule and nobody asked."""


def few(names: list[str]) -> str:
    """The first three of `names`, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def mapping(value: Any) -> dict[str, Any]:
    """`value` where it is a mapping, else an empty one: a field of a wrong type counts as absent."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """`value` where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def strings(value: Any) -> list[str]:
    """The strings of a list, as a field of type []string reads it."""
    return [item for item in items(value) if isinstance(item, str)]


def string_map(value: Any) -> dict[str, str]:
    return {str(key): item for key, item in mapping(value).items() if isinstance(item, str)}


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def resource_of(value: Mapping[str, Any], default_namespace: str = "", implied: bool = False) -> Resource:
    """The resource in a plain object; a namespaced one without a namespace is put into `default_namespace`."""
    api_version = text_of(value.get("apiVersion"))
    group, slash, version = api_version.rpartition("/")
    kind = text_of(value.get("kind"))
    metadata = mapping(value.get("metadata"))
    name = text_of(metadata.get("name")) or text_of(metadata.get("generateName"))
    namespace = "" if kind in CLUSTER_SCOPED else text_of(metadata.get("namespace")) or default_namespace
    labels = string_map(metadata.get("labels"))
    if kind == "Namespace" and not group:
        # Kubernetes puts this label on every namespace, whatever the file says.
        labels = {**labels, "kubernetes.io/metadata.name": name}
    annotations = string_map(metadata.get("annotations"))
    return Resource(value, group if slash else "", version, kind, namespace, name, labels, annotations, implied)


def decides_reachability(api_version: str, kind: str) -> bool:
    """Whether objects of this kind decide who may talk to whom; True also where the kind is only known at run time."""
    if not kind or "{{" in kind or "{{" in api_version or "*" in kind:
        return True
    group = api_version.rpartition("/")[0]
    if group and group != "networking.k8s.io":
        return group in NETWORK_GROUPS
    return kind.endswith(("NetworkPolicy", "NetworkSet")) or kind == "CiliumCIDRGroup"


def match_wildcard(pattern: str, text: str) -> bool:
    """Kyverno's wildcards: `*` is any run of characters, `?` exactly one (ext/wildcard). Linear in practice, never
    exponential."""
    place = mark = 0
    star = -1
    at = 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, mark = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            place += 1
            at += 1
        elif star >= 0:
            place = star + 1
            mark += 1
            at = mark
        else:
            return False
    return all(character == "*" for character in pattern[place:])


_VERSION = re.compile(r"(v\d+((alpha|beta)\d+)?|\*)\Z")


class KindSelector(NamedTuple):
    """A `kinds` entry: Group/Version/Kind/Subresource, each a wildcard pattern."""

    group: str
    version: str
    kind: str
    subresource: str

    def names(self, kind: str) -> bool:
        """Whether objects of the kind, not of its subresources, may match."""
        return match_wildcard(self.kind, kind) and match_wildcard(self.subresource, "")

    def matches(self, resource: Resource) -> bool:
        return (
            self.names(resource.kind)
            and match_wildcard(self.group, resource.group)
            and match_wildcard(self.version, resource.version)
        )


def parse_kind(text: str) -> KindSelector:
    """The parts of a `kinds` entry; Kyverno's ParseKindSelector (pkg/utils/kube/kind.go) says which part is which."""
    parts = text.split("/")
    parts = [*parts[:-1], *parts[-1].split(".")]
    if len(parts) == 1:
        return KindSelector("*", "*", parts[0], "")
    if len(parts) == 2:
        first, second = parts
        if first == second == "*":
            return KindSelector("*", "*", "*", "*")
        if first == "*" and second == second.lower():
            return KindSelector("*", "*", first, second)
        if _VERSION.match(first):
            return KindSelector("*", first, second, "")
        return KindSelector("*", "*", first, second)
    if len(parts) == 3:
        if _VERSION.match(parts[0]):
            return KindSelector("*", parts[0], parts[1], parts[2])
        return KindSelector(parts[0], parts[1], parts[2], "")
    if len(parts) == 4:
        return KindSelector(*parts)
    return KindSelector("", "", "", "")


def walk_strings(value: Any, depth: int = 0) -> Iterator[str]:
    """Every string in a document, keys included."""
    if isinstance(value, str):
        yield value
    elif depth < 64 and isinstance(value, dict):
        for key, child in value.items():
            yield str(key)
            yield from walk_strings(child, depth + 1)
    elif depth < 64 and isinstance(value, list):
        for child in value:
            yield from walk_strings(child, depth + 1)
