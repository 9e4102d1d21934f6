"""One side's Chain in, what protects each namespace in each direction out: OK, WARN or FAIL.

What counts is which pods the lowered policies isolate, of whatever API: a direction is OK where a policy isolates every
pod of the namespace and allows nothing (a default deny), or where every workload is isolated; WARN where some are; FAIL where none is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import Everything, Expr, InNamespace, Isolation, Lowered, Policy, Section, home
from bot.reachability.endpoints import Hypothetical, bits_at, indices
from bot.reachability.facts import Names
from bot.reachability.numbered import Numbered, is_met, numbered
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot

OK, WARN, FAIL = "OK", "WARN", "FAIL"
DIRECTIONS = ("ingress", "egress")


class Direction(NamedTuple):
    """One direction. `default_deny`: the policies that are one; `policies`: all that isolate any pod here; `unprotected`: ids."""

    status: str
    default_deny: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    unprotected: tuple[str, ...] = ()


class Audited(NamedTuple):
    """One namespace. `status`: OK where both directions are, FAIL where both fail, else WARN. `workloads`: how many policies can select."""

    namespace: str
    status: str
    workloads: int
    ingress: Direction
    egress: Direction

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies of either direction."""
        return tuple(sorted({*self.ingress.policies, *self.egress.policies}))

    @property
    def unprotected(self) -> tuple[str, ...]:
        """The workloads that are open in a direction."""
        return tuple(sorted({*self.ingress.unprotected, *self.egress.unprotected}))


class AuditChange(NamedTuple):
    """One namespace whose audit differs; None on the side where there is no such namespace."""

    namespace: str
    before: Audited | None
    after: Audited | None


def audit(snapshot: Snapshot, lowered: Lowered) -> tuple[Audited, ...]:
    """Every namespace with workloads, policies or an object of its own, by name (the head of `lowered` is looked at)."""
    return _over(snapshot, snapshot, lowered).side(True)


def changes(base: Snapshot, head: Snapshot, lowered: Lowered) -> tuple[AuditChange, ...]:
    """What differs between the sides in any status or in the workloads that are open; only namespaces that can differ are looked at."""
    touched = _touched(base, head, lowered)
    if touched is not None and not touched:
        return ()
    if touched is not None:
        base, head = _part(base, touched), _part(head, touched)
        chains = (
            chain._replace(policies=tuple(p for p in chain.policies if p.key[1] in touched or not p.key[1]))
            for chain in (lowered.base, lowered.head)
        )
        lowered = lowered._replace(base=next(chains), head=next(chains))
    both = _over(base, head, lowered)
    before, after = ({one.namespace: one for one in both.side(which)} for which in (False, True))
    return tuple(
        AuditChange(name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if _told(before.get(name)) != _told(after.get(name))
    )


def _touched(base: Snapshot, head: Snapshot, lowered: Lowered) -> set[str] | None:
    """The namespaces whose isolation, workloads or labels differ; None: any of them may."""
    if lowered.vocabulary.base_attributes is not None:
        return None
    out: set[str] = set()
    policies = [{policy.key: policy for policy in chain.policies} for chain in (lowered.base, lowered.head)]
    for key in {*policies[0], *policies[1]}:
        old, new = policies[0].get(key), policies[1].get(key)
        if old is not new and _isolation(old) != _isolation(new):
            if not key[1]:
                return None
            out.add(key[1])
    pods = [{(*w.key, w.pod): w.object for w in side.workloads} for side in (base, head)]
    out |= {key[1] for key in {*pods[0], *pods[1]} if pods[0].get(key) is not pods[1].get(key)}
    spaces = base.namespaces, head.namespaces
    for name in {*spaces[0], *spaces[1]}:
        before, after = (side.get(name) for side in spaces)
        if before is not after and (
            before is None
            or after is None
            or (before.labels, before.object is None) != (after.labels, after.object is None)
        ):
            out.add(name)
    return out


def _isolation(policy: Policy | None) -> object:
    """What of a policy the audit looks at: whom it isolates, and whether it allows anything."""
    if policy is None:
        return []
    return [
        (s.checkpoint, s.tier, [(i.source, i.destination) for i in s.isolates], _is_silent(s))
        for s in policy.sections
        if s.isolates
    ]


def _is_silent(section: Section) -> bool:
    return not any(rule.action in ("allow", "pass") for rule in section.rules)


def _part(snapshot: Snapshot, namespaces: set[str]) -> Snapshot:
    """The workloads of some namespaces, without other objects."""
    from bot.manifests.snapshot import Snapshot

    out = Snapshot()
    out.workloads = [w for w in snapshot.workloads if w.namespace in namespaces]
    out.namespaces = {name: one for name, one in snapshot.namespaces.items() if name in namespaces}
    out.where = snapshot.where
    return out


def _told(found: Audited | None) -> object:
    if found is None:
        return None
    parts = (found.ingress, found.egress)
    return tuple((part.status, part.unprotected, bool(part.default_deny)) for part in parts)


class _Audit:
    """Both sides over one world with a pod of no labels in every namespace, which only a default deny isolates for certain."""

    def __init__(self, base: Snapshot, head: Snapshot, lowered: Lowered) -> None:
        self.snapshots = (base, head)
        self.lowered = lowered
        names = sorted({*base.namespaces, *head.namespaces})
        self.world = World(base, head, lowered, [Hypothetical((), name) for name in names])
        self.names = Names(self.world.universe, base, head)

    def side(self, head: bool) -> tuple[Audited, ...]:
        snapshot = self.snapshots[head]
        members, strangers = self._members(head)
        policies = self.lowered.head.policies if head else self.lowered.base.policies
        found = {direction: self._isolating(policies, direction, head) for direction in DIRECTIONS}
        own = {policy.key[1] for policy in policies}
        out = []
        for name, namespace in sorted(snapshot.namespaces.items()):
            rows = members.get(name, 0)
            if rows or name in own or namespace.object is not None:
                ingress, egress = (
                    self._direction(
                        (*found[direction].get(name, ()), *found[direction].get(None, ())),
                        rows,
                        strangers.get(name, 0),
                    )
                    for direction in DIRECTIONS
                )
                both = {ingress.status, egress.status}
                status = both.pop() if len(both) == 1 else WARN
                out.append(Audited(name, status, rows.bit_count(), ingress, egress))
        return tuple(out)

    def _members(self, head: bool) -> tuple[dict[str, int], dict[str, int]]:
        """By namespace, the rows of its workloads, and that of its pod of no labels."""
        members: dict[str, int] = {}
        strangers: dict[str, int] = {}
        for bit, row in self.world.universe.rows.items():
            if row.kind == "hypothetical":
                strangers[row.identity[1]] = 1 << bit
            elif row.kind == "workload" and self._is_selectable(row.head if head else row.base):
                members[row.identity[1]] = members.get(row.identity[1], 0) | 1 << bit
        return members, strangers

    def _is_selectable(self, slots: Sequence[int]) -> bool:
        """Pods on the host network are their node's traffic, which policies for pods do not see."""
        return any(self.world.universe.slots[slot].kind == "pod" for slot in slots)

    def _isolating(
        self, policies: Iterable[Policy], direction: str, head: bool
    ) -> dict[str | None, list[tuple[str, int, bool]]]:
        """By home (None: several): title, rows surely isolated, whether nothing is allowed, of the policies that isolate so."""
        ends = {
            (checkpoint.name, tier.name): tier.end
            for checkpoint in (self.lowered.head if head else self.lowered.base).checkpoints
            for tier in checkpoint.tiers
            if checkpoint.name == direction
        }
        out: dict[str | None, list[tuple[str, int, bool]]] = {}
        for policy in policies:
            sections = [s for s in policy.sections if ends.get((s.checkpoint, s.tier)) == "deny" and s.isolates]
            for section in sections:
                rows = self._rows(section, direction, head)
                if rows:
                    where = {home(_subject(isolation, direction)) for isolation in section.isolates}
                    place = where.pop() if len(where) == 1 else None
                    out.setdefault(place, []).append((policy.title, rows, _is_silent(section)))
        return out

    def _rows(self, section: Section, direction: str, head: bool) -> int:
        """Rows every slot of which is isolated, whatever the other end is."""
        universe, resolve = self.world.universe, self.world.resolver.resolve
        sure = 0
        for isolation in section.isolates:
            other = isolation.source if direction == "ingress" else isolation.destination
            if resolve(other)[0] == self.world.resolver.everything:
                sure |= resolve(_subject(isolation, direction))[0]
        left = universe.fold(self.world.resolver.everything & ~sure, head)
        return universe.fold(sure, head) & ~left

    def _id(self, row: int) -> str:
        return self.names.id(row)

    def _direction(self, isolating: Iterable[tuple[str, int, bool]], rows: int, stranger: int) -> Direction:
        everyone = rows | stranger
        isolated = 0
        acting: dict[str, None] = {}
        denying: dict[str, None] = {}
        for title, own, silent in isolating:
            if not own & everyone:
                continue
            isolated |= own
            acting[title] = None
            if silent and own & everyone == everyone:
                denying[title] = None
        unprotected = tuple(sorted(self._id(bit) for bit in indices(rows & ~isolated)))
        whole = rows or stranger
        status = OK if denying or (acting and not whole & ~isolated) else WARN if acting else FAIL
        return Direction(status, tuple(sorted(denying)), tuple(sorted(acting)), unprotected)


class _Numbered(_Audit):
    """The same by the numbers of pods alone, where every isolation is of pods by their labels, whatever the other end is."""

    def __init__(self, base: Snapshot, head: Snapshot, lowered: Lowered, numbers: Numbered) -> None:
        self.snapshots = (base, head)
        self.lowered = lowered
        self.numbers = numbers
        self.spaces = {name: number for number, name in enumerate(sorted({*base.namespaces, *head.namespaces}), numbers.count)}
        self._selected: dict[int, tuple[Expr, int]] = {}
        kinds: dict[tuple[str, str], set[str]] = {}
        for side in (base, head):
            for workload in side.workloads:
                kinds.setdefault((workload.namespace, workload.name), set()).add(workload.kind)
        self._shared = {key for key, found in kinds.items() if len(found) > 1}

    def is_enough(self) -> bool:
        """Whether that is so."""
        policies = {id(policy): policy for chain in (self.lowered.base, self.lowered.head) for policy in chain.policies}
        return all(
            isinstance(isolation.source if section.checkpoint == "ingress" else isolation.destination, Everything)
            and self.numbers.bits(_subject(isolation, section.checkpoint)) is not None
            for policy in policies.values()
            for section in policy.sections
            for isolation in section.isolates
            if section.checkpoint in DIRECTIONS
        )

    def _members(self, head: bool) -> tuple[dict[str, int], dict[str, int]]:
        own = self.numbers.sides[head]
        members = {name: (self.numbers.bits(InNamespace(name)) or 0) & own for name in self.numbers.by_namespace}
        return members, {name: 1 << number for name, number in self.spaces.items()}

    def _rows(self, section: Section, direction: str, head: bool) -> int:
        own = self.numbers.sides[head]
        out = 0
        for isolation in section.isolates:
            subject = _subject(isolation, direction)
            found = self._selected.get(id(subject))
            if found is None:
                found = self._selected[id(subject)] = (subject, self._strangers(subject))
            out |= (self.numbers.bits(subject) or 0) & own | found[1]
        return out

    def _strangers(self, subject: Expr) -> int:
        """The pods of no labels that match."""
        only = home(subject)
        if only is not None:
            return 1 << self.spaces[only] if only in self.spaces and is_met(subject, {}, only, self._labels(only)) else 0
        return bits_at([number for name, number in self.spaces.items() if is_met(subject, {}, name, self._labels(name))])

    def _labels(self, namespace: str) -> Mapping[str, str]:
        return self.numbers.namespaces[namespace]

    def _id(self, row: int) -> str:
        pod = self.numbers.pods[0].get(row) or self.numbers.pods[1][row]
        name = f"{pod.kind}/{pod.name}" if (pod.namespace, pod.name) in self._shared else pod.name
        return f"{pod.namespace}/{name}"


def _over(base: Snapshot, head: Snapshot, lowered: Lowered) -> _Audit:
    """The audit of both sides, at the lowest cost."""
    numbers = numbered(base, head, lowered)
    if numbers is not None:
        found = _Numbered(base, head, lowered, numbers)
        if found.is_enough():
            return found
    return _Audit(base, head, lowered)


def _subject(isolation: Isolation, direction: str) -> Expr:
    return isolation.destination if direction == "ingress" else isolation.source
