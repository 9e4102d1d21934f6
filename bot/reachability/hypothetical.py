"""Changed policies in, pods that are not in Git but that they can touch out: a representative for each way to be selected.

Most repositories hold a part of a cluster, so a policy that opens a path to pods elsewhere would change nothing among
the known workloads. See DESIGN, *Hypothetical pods*: every alternative of each selector (a), each changed selector with
and without each selector that can meet it on the same pod (b), an unlabelled pod in a fresh namespace and in those with policies (c).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import (
    And,
    Everything,
    Expr,
    HasPort,
    InAddresses,
    InNamespace,
    Is,
    Kind,
    Label,
    Lowered,
    Maybe,
    Not,
    Or,
    Policy,
    Section,
    home,
)
from bot.reachability.endpoints import Hypothetical
from bot.reachability.used import Used, used_by

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot, Workload

PER_SELECTOR = 64
IN_ALL = 5_000
PRODUCTS_IN_ALL = 1_000
REMOVED_AT_ONCE = 200
NAME = "kubernetes.io/metadata.name"
ELSEWHERE = "anything-else"


class Representatives(NamedTuple):
    """The pods, each once, in stable order; and the selectors (in words) for which there were more than the budget allows."""

    pods: tuple[Hypothetical, ...]
    over_budget: tuple[str, ...]


class _Wanted(NamedTuple):
    """A partial pod: a namespace by name (or None), and label -> value, or None for `must be absent`."""

    namespace: str | None = None
    labels: tuple[tuple[str, str | None], ...] = ()
    namespace_labels: tuple[tuple[str, str | None], ...] = ()


def representatives(
    base: Snapshot, head: Snapshot, lowered: Lowered, everything: bool = False, complete: Sequence[str] = ()
) -> Representatives:
    """The pods worth evaluating. `everything`: for every selector rather than only for changed ones (a listing).

    `complete`: namespaces known in full, which get none.
    """
    changed = [*lowered.head.policies] if everything else _changed(lowered)
    remaining = None if everything else _only_removes(changed, lowered)
    search = _Search(base, head, lowered, set(complete), remaining)
    spaces = _relabelled(base, head, search.used)
    if not changed and not spaces:
        return Representatives((), ())
    for policy in changed:
        search.policy(policy, alone=everything)
    for name in spaces:
        search.namespace(name)
    if changed:
        search.keep("any other namespace", [_Wanted()])
    return search.result()


def _changed(lowered: Lowered) -> list[Policy]:
    from bot.reachability.world import meaning

    before = {policy.key: policy for policy in lowered.base.policies}
    after = {policy.key: policy for policy in lowered.head.policies}
    out = []
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old is new or (old is not None and new is not None and meaning(old) == meaning(new)):
            continue
        out += [policy for policy in (old, new) if policy is not None]
    return out


def _only_removes(changed: Sequence[Policy], lowered: Lowered) -> tuple[Policy, ...] | None:
    """What remains, where very many policies go that can only have closed paths for the pods that they select.

    A pod that such a removal opens a path for is in no isolating policy that remains, so the pod that has no more labels than
    the removed selector asks for, and than what remains can ask of it, is opened too: removed selectors need not meet
    each other.
    """
    if len(changed) < REMOVED_AT_ONCE:
        return None
    tiers = {(c.name, tier.name): tier for c in lowered.base.checkpoints for tier in c.tiers}
    kept = {policy.key for policy in lowered.head.policies}
    for policy in changed:
        if policy.key in kept:
            return None
        for section in policy.sections:
            tier = tiers.get((section.checkpoint, section.tier))
            if tier is None or not tier.commutes or any(rule.action != "allow" for rule in section.rules):
                return None
            if any(_excludes(expr) for pair in _pairs(section) for expr in pair):
                return None
    return lowered.head.policies


def _excludes(expr: Expr) -> bool:
    """Whether a label can keep a pod out of a set."""
    if isinstance(expr, (And, Or)):
        return any(_excludes(part) for part in expr.parts)
    return isinstance(expr, Not) or (isinstance(expr, Maybe) and _excludes(expr.inner))


def _relabelled(base: Snapshot, head: Snapshot, used: Used) -> list[str]:
    keys = used.keys.get("namespace", {})
    out = []
    for name in sorted({*base.namespaces, *head.namespaces}):
        before, after = base.namespaces.get(name), head.namespaces.get(name)
        if before is None or after is None or before is after:
            continue
        if any(before.labels.get(key) != after.labels.get(key) for key in keys):
            out.append(name)
    return out


class _Search:
    """Collects pods; knows every selector by the namespace it is about, and what known workloads already stand for."""

    def __init__(
        self,
        base: Snapshot,
        head: Snapshot,
        lowered: Lowered,
        complete: set[str],
        meeting: tuple[Policy, ...] | None = None,
    ) -> None:
        """`meeting`: the policies whose selectors are looked at for meeting a changed one's; without it, all of both sides."""
        self.used = used_by(lowered.base, lowered.head)
        self.snapshots = (base, head)
        self.complete = complete
        self.pods: dict[Hypothetical, None] = {}
        self.over: dict[str, None] = {}
        self.pod_keys = tuple(self.used.keys.get("pod", ()))
        self._homes: tuple[dict[str, dict[Expr, None]], dict[str, dict[Expr, None]]] = ({}, {})
        self._wide: tuple[dict[Expr, None], dict[Expr, None]] = ({}, {})
        self._subjects: dict[str, None] = {}
        self.free = lowered.vocabulary.free_ports
        self._partners_of: dict[tuple[int, str], dict[_Wanted, None]] = {}
        self._memo: dict[tuple[int, bool], tuple[Expr, list[_Wanted] | None]] = {}
        self._by_namespace: dict[str, list[Workload]] | None = None
        self._by_label: dict[str, tuple[int, dict[tuple[str, str], int], dict[str, int]]] = {}
        self._seen: dict[tuple[str, tuple[tuple[str, str], ...]], set[tuple[str | None, ...]]] = {}
        self.ordered = {
            tier.name
            for c in (*lowered.base.checkpoints, *lowered.head.checkpoints)
            for tier in c.tiers
            if not tier.commutes
        }
        both = (*lowered.base.policies, *lowered.head.policies)
        self._index({id(p): p for p in (both if meeting is None else meeting)}.values())

    def _index(self, policies: Iterable[Policy]) -> None:
        seen: set[tuple[int, int]] = set()
        for policy in policies:
            for section in policy.sections:
                for pair in _pairs(section):
                    for role, expr in enumerate(pair):
                        if (role, id(expr)) in seen:
                            continue
                        seen.add((role, id(expr)))
                        where = home(expr)
                        if where is None:
                            self._wide[role][expr] = None
                        else:
                            self._homes[role].setdefault(where, {})[expr] = None
                            self._subjects[where] = None

    def policy(self, policy: Policy, alone: bool) -> None:
        """The pods that one policy's selectors can touch, each alone or (`alone` false) with what else can meet it."""
        done: set[tuple[int, Expr]] = set()
        for section in policy.sections:
            for pair in _pairs(section):
                for role, expr in enumerate(pair):
                    if (role, expr) in done:
                        continue
                    done.add((role, expr))
                    self._selector(expr, role, policy.title, alone)
                    if not alone and section.tier in self.ordered and home(expr) is None:
                        self._everywhere(expr, role, policy.title)
        for name in {home(e) for _, e in done} - {None}:
            self.keep(policy.title, [_Wanted(name)])

    def namespace(self, name: str) -> None:
        """The pods of a relabelled namespace."""
        for role in (0, 1):
            self._selector(InNamespace(name), role, f"namespace {name}", False)

    def _selector(self, expr: Expr, role: int, title: str, alone: bool) -> None:
        wanted = self._alternatives(expr)
        if wanted is None:
            self.over[title] = None
            return
        found = [w for w in dict.fromkeys(wanted) if self._possible(w)]
        if not alone:
            every = self._with_partners(found, role, known_too=True)
            found = every if len(every) <= PER_SELECTOR else self._with_partners(found, role, known_too=False)
        if len(found) > PER_SELECTOR:
            self.over[title] = None
            found = found[:PER_SELECTOR]
        self.keep(title, found)

    def _everywhere(self, expr: Expr, role: int, title: str) -> None:
        """A cluster-wide selector of an ordered tier meets the policies of every namespace: an unlabelled pod in each, and
        one for each selector there that no known workload answers to."""
        for wanted in self._alternatives(expr) or ():
            for name in self._subjects:
                here = self._merge(wanted, _Wanted(name))
                if here is None or not self._possible(here) or not self._exists(name):
                    continue
                self.keep(title, [here])
                self.keep(title, [both for both in self._pairs(here, role) if not self._is_known(both)])

    def _pairs(self, wanted: _Wanted, role: int) -> list[_Wanted]:
        """The pod with each selector, in turn, that can meet it in this role."""
        out: dict[_Wanted, None] = {}
        for partner in self._meeting(role, wanted.namespace or ""):
            both = self._merge(wanted, partner)
            if both is not None and both != wanted and self._possible(both):
                out[both] = None
        return list(out)

    def _meeting(self, role: int, namespace: str) -> dict[_Wanted, None]:
        """What each selector that pods of this namespace can answer to adds to one."""
        found = self._partners_of.get((role, namespace))
        if found is None:
            found = self._partners(self._homes[role].get(namespace, {}) if namespace else self._wide[role])
            if namespace:
                found = {**found, **self._meeting(role, "")}
            self._partners_of[role, namespace] = found
        return found

    def _partners(self, exprs: Iterable[Expr]) -> dict[_Wanted, None]:
        """What each selector adds to a pod. Without a negative one is with what it leaves out; without a positive one, as it is."""
        out: dict[_Wanted, None] = {}
        for expr in exprs:
            out.update(dict.fromkeys(self._alternatives(expr) or ()))
            out.update(dict.fromkeys(w for w in self._alternatives(expr, False) or () if _names_a_value(w)))
        return out

    def _is_known(self, wanted: _Wanted) -> bool:
        """Whether a known workload of the namespace has these labels."""
        if wanted.namespace is None:
            return False
        everyone, having, keyed = self._labelled(wanted.namespace)
        for key, value in wanted.labels:
            everyone &= ~keyed.get(key, 0) if value is None else having.get((key, value), 0)
        return everyone != 0

    def _labelled(self, namespace: str) -> tuple[int, dict[tuple[str, str], int], dict[str, int]]:
        """The known workloads of a namespace as bits: all, by label, and by key of any value."""
        found = self._by_label.get(namespace)
        if found is None:
            having: dict[tuple[str, str], int] = {}
            keyed: dict[str, int] = {}
            everyone = 0
            for at, workload in enumerate(self._known(namespace)):
                bit = 1 << at
                everyone |= bit
                for key, value in workload.labels.items():
                    having[key, value] = having.get((key, value), 0) | bit
                    keyed[key] = keyed.get(key, 0) | bit
            found = self._by_label[namespace] = (everyone, having, keyed)
        return found

    def _with_partners(self, found: list[_Wanted], role: int, known_too: bool) -> list[_Wanted]:
        """The pods alone, with each partner, and (in a small review) with every set of partners that fits the budget."""
        out: dict[_Wanted, None] = dict.fromkeys(found)
        for wanted in found:
            pairs = [both for both in self._pairs(wanted, role) if known_too or not self._is_known(both)]
            out.update(dict.fromkeys(pairs))
            if len(self.pods) < PRODUCTS_IN_ALL and known_too:
                out.update(self._product_of(wanted, pairs, PER_SELECTOR - len(out)))
        return list(out)

    def _product_of(self, wanted: _Wanted, pairs: list[_Wanted], budget: int) -> dict[_Wanted, None]:
        mine: dict[_Wanted, None] = {wanted: None}
        for pair in pairs:
            for known in list(mine):
                more = self._merge(known, pair)
                if more is not None and self._possible(more):
                    mine[more] = None
            if len(mine) > max(budget, 1):
                return {}
        return mine

    def keep(self, title: str, found: Iterable[_Wanted]) -> None:
        """Note these pods, unless a known workload or another pod answers every selector alike."""
        for wanted in found:
            if wanted.namespace is not None and wanted.namespace in self.complete:
                continue
            pod = _pod(wanted)
            seen = self._answers(pod.namespace, pod.namespace_labels)
            labels = dict(pod.labels)
            signature = tuple([labels.get(key) for key in self.pod_keys])
            if signature in seen:
                continue
            if len(self.pods) >= IN_ALL:
                self.over[title] = None
                return
            seen.add(signature)
            self.pods[pod] = None

    def _answers(self, namespace: str, labels: tuple[tuple[str, str], ...]) -> set[tuple[str | None, ...]]:
        at = (namespace, labels)
        found = self._seen.get(at)
        if found is None:
            found = self._seen[at] = set()
            if namespace:
                for workload in self._known(namespace):
                    names = {(port.name, port.protocol) for port in workload.ports}
                    if not workload.host_network and names >= self.used.ports.keys():
                        found.add(tuple([workload.labels.get(key) for key in self.pod_keys]))
        return found

    def _known(self, namespace: str) -> Sequence[Workload]:
        """Workloads that both sides have in this namespace, alike."""
        if self._by_namespace is None:
            self._by_namespace = {}
            before = {id(workload) for workload in self.snapshots[0].workloads}
            for workload in self.snapshots[1].workloads:
                if id(workload) in before:
                    self._by_namespace.setdefault(workload.namespace, []).append(workload)
        return self._by_namespace.get(namespace, ())

    def result(self) -> Representatives:
        """What was collected."""
        return Representatives(tuple(sorted(self.pods)), tuple(sorted(self.over)))

    # --- the algebra of partial pods ---

    def _alternatives(self, expr: Expr, positive: bool = True) -> list[_Wanted] | None:
        """Partial pods, each of which matches (or, negated, does not); None when there are too many."""
        at = (id(expr), positive)
        if at not in self._memo:
            self._memo[at] = (expr, self._work_out(expr, positive))
        return self._memo[at][1]

    def _work_out(self, expr: Expr, positive: bool) -> list[_Wanted] | None:
        if isinstance(expr, Not):
            return self._alternatives(expr.inner, not positive)
        if isinstance(expr, Maybe):
            return self._alternatives(expr.inner, positive)
        if isinstance(expr, (And, Or)):
            if isinstance(expr, And) == positive:
                return self._product([self._alternatives(part, positive) for part in expr.parts])
            united: list[_Wanted] = []
            for part in expr.parts:
                united += self._alternatives(part, positive) or []
                if len(united) > PER_SELECTOR * 8:
                    return None
            return united
        if isinstance(expr, Everything):
            return [_Wanted()] if positive else []
        if isinstance(expr, Kind):
            return [_Wanted()] if (expr.kind == "pod") == positive else []
        if isinstance(expr, InNamespace):
            return [_Wanted(expr.namespace)] if positive else [_Wanted()]
        if isinstance(expr, Label):
            return _label_alternatives(expr, positive)
        if isinstance(expr, HasPort):
            return [_Wanted()] if (self.free.get((expr.name, expr.protocol)) == expr.number) == positive else []
        if isinstance(expr, (InAddresses, Is)):
            return [_Wanted()] if not positive or (isinstance(expr, InAddresses) and expr.pods) else []
        return [] if positive else [_Wanted()]

    def _product(self, parts: list[list[_Wanted] | None]) -> list[_Wanted] | None:
        out = [_Wanted()]
        for part in parts:
            if part is None:
                return None
            out = list(dict.fromkeys(m for a in out for b in part for m in (self._merge(a, b),) if m is not None))
            if len(out) > PER_SELECTOR * 8:
                return None
        return out

    @staticmethod
    def _merge(a: _Wanted, b: _Wanted) -> _Wanted | None:
        if a.namespace is not None and b.namespace is not None and a.namespace != b.namespace:
            return None
        labels = _join(a.labels, b.labels)
        namespace_labels = _join(a.namespace_labels, b.namespace_labels)
        if labels is None or namespace_labels is None:
            return None
        return _Wanted(a.namespace if a.namespace is not None else b.namespace, labels, namespace_labels)

    def _possible(self, wanted: _Wanted) -> bool:
        """Whether a named namespace has, on either side, the labels asked for."""
        if wanted.namespace is None:
            return True
        if not wanted.namespace_labels:
            return True
        for snapshot in self.snapshots:
            known = snapshot.namespaces.get(wanted.namespace)
            labels: Mapping[str, str] = known.labels if known is not None else {NAME: wanted.namespace}
            if all(labels.get(key) == value for key, value in wanted.namespace_labels):
                return True
            if known is None or known.object is None:
                return all(key != NAME or value == wanted.namespace for key, value in wanted.namespace_labels)
        return False

    def _exists(self, name: str) -> bool:
        return any(name in snapshot.namespaces for snapshot in self.snapshots)


def _pairs(section: Section) -> list[tuple[Expr, Expr]]:
    rules = [(rule.source, rule.destination) for rule in section.rules]
    return rules + [(isolation.source, isolation.destination) for isolation in section.isolates]


def _names_a_value(wanted: _Wanted) -> bool:
    return any(value not in (None, ELSEWHERE) for _, value in wanted.labels + wanted.namespace_labels)


def _label_alternatives(label: Label, positive: bool) -> list[_Wanted]:
    values: list[str | None]
    if label.operator == "exists":
        values = [ELSEWHERE] if positive else [None]
    elif label.operator == "in":
        values = [*label.values] if positive else [None, ELSEWHERE]
    elif positive:
        fill = {"prefix": "{}x", "suffix": "x{}", "contains": "x{}x"}[label.operator]
        values = [text for value in label.values for text in (value, fill.format(value))]
    else:
        values = [None, ELSEWHERE]
    if label.scope == "namespace":
        if label.key == NAME:
            named = [value for value in values if value is not None and value != ELSEWHERE]
            return [_Wanted(value) for value in named] if positive and label.operator == "in" else [_Wanted()]
        return [_Wanted(None, (), ((label.key, value),)) for value in values]
    if label.scope == "pod":
        return [_Wanted(None, ((label.key, value),)) for value in values]
    return [] if positive else [_Wanted()]


def _join(
    a: tuple[tuple[str, str | None], ...], b: tuple[tuple[str, str | None], ...]
) -> tuple[tuple[str, str | None], ...] | None:
    if not b:
        return a
    if not a:
        return b
    known = dict(a)
    for key, value in b:
        if key in known and known[key] != value:
            return None
        known[key] = value
    return tuple(sorted(known.items()))


def _pod(wanted: _Wanted) -> Hypothetical:
    labels = tuple((key, value) for key, value in wanted.labels if value is not None)
    if wanted.namespace is not None:
        return Hypothetical(labels, wanted.namespace)
    return Hypothetical(labels, "", tuple((key, value) for key, value in wanted.namespace_labels if value is not None))
