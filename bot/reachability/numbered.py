"""Both sides in; out, the number that each pod has in a World over them, and what expressions match of them, without building one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.policies.model import PODS, And, Everything, Expr, HasPort, InAddresses, InNamespace, Label, Nobody, Not, Or
from bot.reachability.endpoints import bits_at
from bot.reachability.slots import label_matches, unknown_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bot.manifests.snapshot import Snapshot, Workload
    from bot.policies.model import Lowered, Vocabulary
    from bot.reachability.endpoints import Hypothetical

    Pair = tuple[Workload | None, Workload | None]
    Member = tuple[str, bool, bool, Pair]

_UNKNOWN = -1
_NOBODY = (None, None)
_NAME = "kubernetes.io/metadata.name"
_OPERATORS = ("in", "exists")
_WIDTH = 60
_PART = (1 << _WIDTH) - 1


class Numbered:
    """Pods by number, those of a namespace in one row; only where both sides see every pod that they share alike."""

    def __init__(
        self,
        members: Sequence[tuple[str, Pair]],
        namespaces: Mapping[str, Mapping[str, str]],
        vocabulary: Vocabulary,
        whole: bool,
    ) -> None:
        """`members`: the namespace of each and what it is on the base and on the head, in order; nothing for one that is not in Git.

        `whole`: no workload runs on the host network. Those that do have no number here.
        """
        self.whole = whole
        self.count = len(members)
        self.namespaces = namespaces
        self.vocabulary = vocabulary
        self.by_namespace: dict[str, tuple[int, list[Workload | None]]] = {}
        self.pods: tuple[dict[int, Workload], dict[int, Workload]] = ({}, {})
        self.addressed = False
        for number, (namespace, pair) in enumerate(members):
            found = self.by_namespace.get(namespace)
            if found is None:
                found = self.by_namespace[namespace] = (number, [])
            found[1].append(pair[1] or pair[0])
            for pod, own in zip(pair, self.pods, strict=True):
                if pod is not None:
                    own[number] = pod
                    self.addressed = self.addressed or bool(pod.addresses)
        self.sides = bits_at(list(self.pods[0])), bits_at(list(self.pods[1]))
        self._by_id: dict[int, tuple[Expr, int]] = {}
        self._memo: dict[Expr, int] = {}
        self._labels: dict[str, tuple[int, dict[object, int]]] = {}
        self._spaces: dict[tuple[Expr, ...], list[str]] = {}

    def bits(self, expr: Expr) -> int | None:
        """The pods in Git, of either side, that match; None for an expression that takes more to tell."""
        known = self._by_id.get(id(expr))
        if known is None:
            found = self._memo.get(expr)
            if found is None:
                found = self._memo[expr] = self._bits(expr)
            known = self._by_id[id(expr)] = (expr, found)
        return None if known[1] == _UNKNOWN else known[1]

    def _bits(self, expr: Expr) -> int:
        if isinstance(expr, Nobody):
            return 0
        if isinstance(expr, InAddresses):
            known = self.addressed or unknown_address(expr.addresses, self.vocabulary.pod_addresses)[1]
            return _UNKNOWN if known and expr.pods and self.vocabulary.cidr_meets_pods else 0
        if isinstance(expr, Or):
            out = 0
            for part in expr.parts:
                bits = self.bits(part)
                if bits is None:
                    return _UNKNOWN
                out |= bits
            return out
        whole = expr.parts if isinstance(expr, And) else (expr,)
        parts = [part for part in whole if part != PODS]
        asked = [part for part in parts if not isinstance(part, InNamespace) and not _is_about_namespaces(part)]
        # What asks for the absence of a label alone may match more than pods.
        if len(parts) == len(whole) == len(asked) and not any(isinstance(part, (Label, HasPort)) for part in asked):
            return _UNKNOWN
        if not all(_is_plain(part) for part in parts):
            return _UNKNOWN
        names = [part.namespace for part in parts if isinstance(part, InNamespace)]
        spaces = tuple(part for part in parts if _is_about_namespaces(part))
        where: Iterable[str] = (
            dict.fromkeys(names) if names else self._looked_into(spaces) if spaces else self.by_namespace
        )
        if names and (len(set(names)) > 1 or (spaces and names[0] not in self._looked_into(spaces))):
            return 0
        out = 0
        for name in where:
            if name in self.by_namespace:
                out |= self._window(name, asked)
        return out

    def _window(self, namespace: str, asked: Sequence[Expr]) -> int:
        """The pods of a namespace that meet everything that is asked."""
        start, pods = self.by_namespace[namespace]
        found = self._labels.get(namespace)
        if found is None:
            found = self._labels[namespace] = _by_label(pods)
        out = found[0]
        for part in asked:
            out &= _meeting(part, pods, *found)
            if not out:
                return 0
        return out << start

    def _looked_into(self, spaces: tuple[Expr, ...]) -> list[str]:
        found = self._spaces.get(spaces)
        if found is None:
            found = self._spaces[spaces] = [
                name for name in self.by_namespace if all(_holds(part, self.namespaces[name]) for part in spaces)
            ]
        return found


def numbered(
    base: Snapshot, head: Snapshot, lowered: Lowered, strangers: Sequence[Hypothetical] = ()
) -> Numbered | None:
    """The numbers of a World over these sides with these pods that are not in Git; None where it takes one to tell.

    The order is that of `bot.reachability.endpoints`: by namespace, then by which sides a pod is on, those that are not in Git last.
    """
    vocabulary = lowered.vocabulary
    if vocabulary.attributes is not None or vocabulary.base_attributes is not None or vocabulary.hosts is not None:
        return None
    spaces = dict(head.namespaces)
    for name, one in base.namespaces.items():
        known = spaces.setdefault(name, one)
        if known is not one and known.labels != one.labels:
            return None
    if any((pod.namespace in base.namespaces) != (pod.namespace in head.namespaces) for pod in strangers):
        return None
    members = _alike(base.workloads) if base.workloads == head.workloads else _paired(base.workloads, head.workloads)
    if members is None:
        return None
    everyone = len(members)
    members = [one for one in members if not _is_on_host(one[3])]
    whole = len(members) == everyone
    if strangers:
        members += [(pod.namespace, True, True, _NOBODY) for pod in strangers]
        members.sort(key=_place)
    labels: dict[str, Mapping[str, str]] = {pod.namespace: {_NAME: pod.namespace} for pod in strangers}
    labels.update((name, one.labels) for name, one in spaces.items())
    return Numbered([(one[0], one[3]) for one in members], labels, vocabulary, whole)


def _is_on_host(pair: Pair) -> bool:
    return any([pod is not None and pod.host_network for pod in pair])  # noqa: C419  (asked thousands of times)


def _place(member: Member) -> tuple[str, bool, bool]:
    return member[:3]


def _alike(workloads: Sequence[Workload]) -> list[Member] | None:
    """Both sides are these, in the order of their keys; None where one key is of several."""
    out: list[Member] = []
    last: tuple[str, str, str] | None = None
    for pod in workloads:
        key = pod.namespace, pod.kind, pod.name
        if last is not None and key <= last:
            return None
        last = key
        out.append((pod.namespace, True, True, (pod, pod)))
    return out


def _paired(base: Sequence[Workload], head: Sequence[Workload]) -> list[Member] | None:
    """The workloads of both sides by key; None where one key is of several, or policies see one otherwise than before."""
    pods: dict[tuple[str, str, str], Pair] = {}
    for workload in base:
        key = workload.namespace, workload.kind, workload.name
        if key in pods:
            return None
        pods[key] = workload, None
    for workload in head:
        key = workload.namespace, workload.kind, workload.name
        before, after = pods.get(key, _NOBODY)
        if after is not None or (before is not None and before is not workload and _seen(before) != _seen(workload)):
            return None
        pods[key] = before, workload
    out = [(key[0], pods[key][0] is not None, pods[key][1] is not None, pods[key]) for key in sorted(pods)]
    out.sort(key=_place)
    return out


def _seen(pod: Workload) -> object:
    return pod.labels, pod.ports, pod.addresses, pod.host_network, pod.node, pod.service_account


def _is_about_namespaces(expr: Expr) -> bool:
    inner = expr.inner if isinstance(expr, Not) else expr
    return isinstance(inner, Label) and inner.scope == "namespace"


def _is_plain(expr: Expr) -> bool:
    inner = expr.inner if isinstance(expr, Not) else expr
    if isinstance(inner, Label):
        return inner.scope in ("pod", "namespace") and inner.operator in _OPERATORS
    return isinstance(expr, (HasPort, InNamespace))


def _by_label(pods: Sequence[Workload | None]) -> tuple[int, dict[object, int]]:
    """(all that are in Git, a label or its key -> those that have it)."""
    every, bit = 0, 1
    out: dict[object, int] = {}
    for pod in pods:
        if pod is not None:
            every |= bit
            for label in pod.labels.items():
                out[label] = out.get(label, 0) | bit
                out[label[0]] = out.get(label[0], 0) | bit
        bit <<= 1
    return every, out


def _meeting(part: Expr, pods: Sequence[Workload | None], every: int, labels: Mapping[object, int]) -> int:
    if isinstance(part, Not):
        return every & ~_meeting(part.inner, pods, every, labels)
    if isinstance(part, Label):
        if part.operator == "exists":
            return labels.get(part.key, 0)
        out = 0
        for value in part.values:
            out |= labels.get((part.key, value), 0)
        return out
    assert isinstance(part, HasPort)
    port = part.name, part.protocol, part.number
    return sum(
        1 << at for at, pod in enumerate(pods) if pod and any((p.name, p.protocol, p.number) == port for p in pod.ports)
    )


def is_met(expr: Expr, labels: Mapping[str, str], namespace: str, of_namespace: Mapping[str, str]) -> bool:
    """Whether a pod of these labels in such a namespace surely matches; False where it takes more to tell."""
    if isinstance(expr, Everything) or expr == PODS:
        return True
    if isinstance(expr, Or):
        return any(is_met(part, labels, namespace, of_namespace) for part in expr.parts)
    if isinstance(expr, And):
        return all(is_met(part, labels, namespace, of_namespace) for part in expr.parts)
    if isinstance(expr, InNamespace):
        return expr.namespace == namespace
    if not _is_plain(expr) or isinstance(expr, HasPort):
        return False
    return _holds(expr, of_namespace if _is_about_namespaces(expr) else labels)


def _holds(part: Expr, labels: Mapping[str, str]) -> bool:
    if isinstance(part, Not):
        return not _holds(part.inner, labels)
    return isinstance(part, Label) and label_matches(part, labels)


def lowest(bits: int, most: int) -> list[int]:
    """The lowest set bits, ascending, at most so many."""
    out: list[int] = []
    base = 0
    while bits and len(out) < most:
        skip = (bits & -bits).bit_length() - 1
        bits >>= skip
        base += skip
        part = bits & _PART
        while part and len(out) < most:
            low = part & -part
            out.append(base + low.bit_length() - 1)
            part ^= low
        bits >>= _WIDTH
        base += _WIDTH
    return out
