"""Label selectors of Cilium policies in, expressions out: sources of labels, the label filter, and what is added by default.

Source: pkg/k8s/apis/cilium.io/utils/utils.go (ParseToCiliumRule, getEndpointSelector), pkg/labels/labels.go (HasKey),
pkg/labelsfilter/filter.go (the default list), pkg/policy/api/entity.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from bot.policies import addresses
from bot.policies.cilium.blocks import outside
from bot.policies.model import (
    EVERYTHING,
    NOBODY,
    PODS,
    And,
    Expr,
    InNamespace,
    Kind,
    Label,
    Not,
    conjunction,
    disjunction,
)
from bot.policies.selectors import NAMESPACE_NAME, Selectors

RESERVED = "reserved"
ACCOUNT = "account"
_NAMESPACE = "io.kubernetes.pod.namespace"
_NAMESPACE_LABEL = "io.cilium.k8s.namespace.labels."
_ACCOUNT = "io.cilium.k8s.policy.serviceaccount"
_CLUSTER = "io.cilium.k8s.policy.cluster"
_KUBERNETES_SOURCES = ("any", "k8s")

NODES = Kind("node")
WORLD = disjunction((Kind("address"), Label(RESERVED, "world", "exists")))

# pkg/labelsfilter/filter.go, defaultLabelPrefixCfg: a label counts unless an ignored pattern matches at the start of its
# key and no included one matches more of it. `.*beta.kubernetes.io` and `annotation.*` are the only ones that are no literals.
_INCLUDED = (
    "io.kubernetes.pod.namespace", "io.cilium.k8s.namespace.labels", "app.kubernetes.io",
    "io.cilium.k8s.policy.cluster", "io.cilium.k8s.policy.serviceaccount",
)  # fmt: skip
_IGNORED = (
    "io.kubernetes", "kubernetes.io", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index", "batch.kubernetes.io/controller-uid", "k8s.io", "pod-template-generation",
    "pod-template-hash", "controller-revision-hash", "controller-uid", "etcd_node", "topology.kubernetes.io",
)  # fmt: skip
_BETA = "beta.kubernetes.io"


@lru_cache(maxsize=16384)
def identifies(key: str) -> bool:
    """Whether a label of this key is part of an identity, so that selectors can see it (the default label filter)."""
    ignored = [len(prefix) for prefix in _IGNORED if key.startswith(prefix)]
    if _BETA in key:
        ignored.append(key.rindex(_BETA) + len(_BETA))
    if key.startswith("annotation"):
        ignored.append(len(key))
    if not ignored:
        return True
    return max([len(prefix) for prefix in _INCLUDED if key.startswith(prefix)], default=0) > min(ignored)


class Requirement(NamedTuple):
    """One requirement of a selector: whose label (`any`, `k8s`, `reserved`, ...), which, and what of it."""

    source: str
    key: str
    operator: str
    values: tuple[str, ...]


def requirements(selector: Mapping[str, object]) -> list[Requirement]:
    """Those of a selector that the schema accepts, matchLabels first."""
    out = []
    labels = selector.get("matchLabels")
    if isinstance(labels, dict):
        out = [Requirement(*_source(key), "In", (str(value),)) for key, value in sorted(labels.items())]
    expressions = selector.get("matchExpressions")
    if isinstance(expressions, list):
        for item in expressions:
            listed = item.get("values")
            values = tuple(sorted(set(map(str, listed)))) if isinstance(listed, list) else ()
            out.append(Requirement(*_source(item["key"]), item["operator"], values))
    return out


def _source(key: str) -> tuple[str, str]:
    source, colon, rest = key.partition(":")
    return (source, rest) if colon and source else ("any", rest if colon else source)


def reserved(name: str) -> Expr:
    """The endpoints with a reserved label."""
    if name == "world":
        return WORLD
    if name in ("world-ipv4", "world-ipv6"):
        whole = addresses.ALL_V4 if name == "world-ipv4" else addresses.ALL_V6
        return outside([(whole, ())])
    return Label(RESERVED, name, "exists")


_OF_CLUSTER = ("host", "remote-node", "init", "ingress", "health", "unmanaged", "kube-apiserver")


def entity(name: str) -> Expr:
    """The endpoints of an entity."""
    if name == "all":
        return EVERYTHING
    if name == "none":
        return NOBODY
    if name in ("cluster", "cluster-mesh"):
        return disjunction((PODS, *map(reserved, _OF_CLUSTER)))
    return reserved(name)


class CiliumSelectors:
    """Selectors of one run; equal ones of one namespace become the identical expression."""

    def __init__(self, interned: Selectors, cluster: str) -> None:
        self.intern = self._intern = interned.intern
        self._of_labels: dict[object, Expr] = {}
        self._labels: dict[tuple[str, str], Label] = {}
        self._cluster = cluster
        self._subjects: dict[object, Expr] = {}
        self._peers: dict[object, Expr] = {}
        self.sees_accounts = False

    def _plain(self, selector: Mapping[str, object], namespace: str) -> Expr | None:
        """The pods of one namespace by labels of their own: what most selectors of a CiliumNetworkPolicy say. None: another kind."""
        labels = selector.get("matchLabels")
        if not namespace or len(selector) > 1 or (selector and not isinstance(labels, dict)):
            return None
        pairs: tuple[tuple[str, str], ...] = tuple(labels.items()) if isinstance(labels, dict) else ()
        found = self._of_labels.get((namespace, pairs))
        if found is None:
            if any(
                ":" in key or key.startswith(("io.cilium", "io.kubernetes")) or not identifies(key) for key, _ in pairs
            ):
                return None
            parts: list[Expr] = [InNamespace(namespace)]
            for pair in sorted(pairs):
                label = self._labels.get(pair)
                if label is None:
                    label = self._labels[pair] = Label("pod", pair[0], "in", (pair[1],))
                parts.append(label)
            found = self._of_labels[(namespace, pairs)] = self.intern(And(tuple(parts)) if pairs else parts[0])
        return found

    def subject(self, selector: Mapping[str, object], namespace: str) -> Expr:
        """The pods that an endpointSelector selects: those of the policy's namespace (whatever it says of one) or, '', of all."""
        plain = self._plain(selector, namespace)
        if plain is not None:
            return plain
        key = _cache_key(selector, namespace)
        found = self._subjects.get(key)
        if found is None:
            parts: list[Expr] = [InNamespace(namespace) if namespace else PODS]
            labels = selector.get("matchLabels")
            if namespace and isinstance(labels, dict):
                kept = {name: value for name, value in labels.items() if name != f"k8s:{_NAMESPACE}"}
                selector = {**selector, "matchLabels": kept}
            parts.extend(self._of_pods(requirement) for requirement in requirements(selector))
            found = self._subjects[key] = self._intern(_pods_only(parts))
        return found

    def peer(self, selector: Mapping[str, object], namespace: str) -> Expr:
        """The endpoints that a peer selector of a policy in `namespace` ('': cluster-wide) selects."""
        plain = self._plain(selector, namespace)
        if plain is not None:
            return plain
        key = _cache_key(selector, namespace)
        found = self._peers.get(key)
        if found is None:
            found = self._peers[key] = self._intern(self._read_peer(requirements(selector), namespace))
        return found

    def _read_peer(self, wanted: list[Requirement], namespace: str) -> Expr:
        if any(requirement.source == RESERVED for requirement in wanted):
            return conjunction(self._of_anyone(requirement) for requirement in wanted)
        named = [r for r in wanted if r.source in _KUBERNETES_SOURCES]
        parts = [self._of_pods(requirement) for requirement in wanted]
        if namespace and not any(r.key == _NAMESPACE or r.key.startswith(_NAMESPACE_LABEL[:-1]) for r in named):
            parts.append(InNamespace(namespace))
        # Only pods have the label of the local cluster, which is added wherever no other one is asked for.
        return _pods_only(parts)

    def service(self, selector: Mapping[str, str], namespace: str) -> Expr:
        """The pods behind a Service with a selector."""
        parts = [self._of_pods(Requirement("k8s", key, "In", (value,))) for key, value in sorted(selector.items())]
        return self._intern(conjunction((InNamespace(namespace), *parts)))

    def nodes(self, selector: Mapping[str, object]) -> Expr:
        """The nodes that a nodeSelector selects, by their labels behind the same filter."""
        parts = [NODES, *(_of_nodes(requirement) for requirement in requirements(selector))]
        return self._intern(conjunction(parts))

    def _of_pods(self, requirement: Requirement) -> Expr:
        """A requirement on pods, which have Kubernetes' labels alone."""
        source, key, operator, values = requirement
        if source not in _KUBERNETES_SOURCES:
            return _absent(operator)
        if key == _NAMESPACE:
            if operator in ("Exists", "DoesNotExist"):
                return EVERYTHING if operator == "Exists" else NOBODY
            return _signed(disjunction(InNamespace(value) for value in values), operator)
        if key.startswith("io.cilium.k8s"):
            return self._of_identity(key, operator, values)
        if not identifies(key):
            return _absent(operator)
        return _label("pod", key, operator, values)

    def _of_identity(self, key: str, operator: str, values: tuple[str, ...]) -> Expr:
        """What Cilium itself adds to a pod's labels (pkg/k8s/utils, SanitizePodLabels); a user's own of that prefix are dropped."""
        if key.startswith(_NAMESPACE_LABEL):
            name = key[len(_NAMESPACE_LABEL) :]
            if name == NAMESPACE_NAME and operator in ("In", "NotIn"):
                return _signed(disjunction(InNamespace(value) for value in values), operator)
            return _label("namespace", name, operator, values)
        if key == _ACCOUNT:
            self.sees_accounts = True
            return _label(ACCOUNT, "name", operator, values)
        if key == _CLUSTER:
            if operator in ("In", "NotIn"):
                return EVERYTHING if (self._cluster in values) == (operator == "In") else NOBODY
            return EVERYTHING if operator == "Exists" else NOBODY
        return _absent(operator)

    def _of_anyone(self, requirement: Requirement) -> Expr:
        """A requirement on whatever there is: nothing limits a selector that names a reserved label to pods."""
        source, key, operator, values = requirement
        negative = operator in ("NotIn", "DoesNotExist")
        found: list[Expr] = []
        if source in ("any", RESERVED) and (operator in ("Exists", "DoesNotExist") or "" in values):
            found.append(reserved(key))
        if source in _KUBERNETES_SOURCES:
            positive = {"NotIn": "In", "DoesNotExist": "Exists"}.get(operator, operator)
            of_pods = self._of_pods(Requirement(source, key, positive, values))
            found.append(PODS if of_pods is EVERYTHING else of_pods)
        return Not(disjunction(found)) if negative else disjunction(found)


def selects(selector: Mapping[str, object], labels: Mapping[str, str]) -> bool:
    """Whether a selector selects an object by its labels, whatever source a key names (Services, CIDR groups)."""
    for _, key, operator, values in requirements(selector):
        found = key in labels and (operator in ("Exists", "DoesNotExist") or labels[key] in values)
        if found == (operator in ("NotIn", "DoesNotExist")):
            return False
    return True


def _cache_key(selector: Mapping[str, object], place: object) -> object:
    labels = selector.get("matchLabels")
    if len(selector) == 1 and isinstance(labels, dict):
        return (place, *labels.items())
    return (place, str(selector)) if selector else (place,)


def _pods_only(parts: list[Expr]) -> Expr:
    """All of `parts`, of pods: nothing else is in a namespace."""
    if any(isinstance(part, InNamespace) for part in parts):
        return conjunction(parts)
    return conjunction((PODS, *parts))


def _of_nodes(requirement: Requirement) -> Expr:
    source, key, operator, values = requirement
    if source == RESERVED or (source == "any" and key == "host"):
        present = key == "host" and (operator in ("Exists", "DoesNotExist") or "" in values)
        return EVERYTHING if present == (operator in ("In", "Exists")) else NOBODY
    if source not in _KUBERNETES_SOURCES or not identifies(key):
        return _absent(operator)
    return _label("node", key, operator, values)


def _label(scope: str, key: str, operator: str, values: tuple[str, ...]) -> Expr:
    if operator in ("Exists", "DoesNotExist"):
        return _signed(Label(scope, key, "exists"), operator)
    return _signed(Label(scope, key, "in", values), operator)


def _signed(expr: Expr, operator: str) -> Expr:
    return Not(expr) if operator in ("NotIn", "DoesNotExist") else expr


def _absent(operator: str) -> Expr:
    """A requirement on a label that nobody has: https://docs.cilium.io/en/stable/operations/performance/scalability/identity-relevant-labels/."""
    return EVERYTHING if operator in ("NotIn", "DoesNotExist") else NOBODY
