"""One side's Chain in, what protects each namespace in each direction out: OK, WARN or FAIL.

What counts is which pods the lowered policies isolate, of whatever API: a direction is OK where a policy isolates every
pod of the namespace and allows nothing (a default deny), or where every workload is isolated; WARN where some are; FAIL where none is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import Expr, Isolation, Lowered, Policy, Section, home
from bot.reachability.endpoints import Hypothetical, indices
from bot.reachability.facts import Names
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
    return _Audit(snapshot, snapshot, lowered).side(True)


def changes(base: Snapshot, head: Snapshot, lowered: Lowered) -> tuple[AuditChange, ...]:
    """What differs between the sides in any status or in the workloads that are open."""
    both = _Audit(base, head, lowered)
    before, after = ({one.namespace: one for one in both.side(which)} for which in (False, True))
    return tuple(
        AuditChange(name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if _told(before.get(name)) != _told(after.get(name))
    )


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
        members: dict[str, int] = {}
        strangers: dict[str, int] = {}
        for bit, row in self.world.universe.rows.items():
            if row.kind == "hypothetical":
                strangers[row.identity[1]] = 1 << bit
            elif row.kind == "workload" and self._is_selectable(row.head if head else row.base):
                members[row.identity[1]] = members.get(row.identity[1], 0) | 1 << bit
        policies = self.lowered.head.policies if head else self.lowered.base.policies
        found = {direction: self._isolating(policies, direction, head) for direction in DIRECTIONS}
        own = {policy.key[1] for policy in policies}
        out = []
        for name, namespace in sorted(snapshot.namespaces.items()):
            rows = members.get(name, 0)
            if rows or name in own or namespace.object is not None:
                ingress, egress = (
                    self._direction(name, found[direction], rows, strangers.get(name, 0)) for direction in DIRECTIONS
                )
                both = {ingress.status, egress.status}
                status = both.pop() if len(both) == 1 else WARN
                out.append(Audited(name, status, rows.bit_count(), ingress, egress))
        return tuple(out)

    def _is_selectable(self, slots: Sequence[int]) -> bool:
        """Pods on the host network are their node's traffic, which policies for pods do not see."""
        return any(self.world.universe.slots[slot].kind == "pod" for slot in slots)

    def _isolating(
        self, policies: Iterable[Policy], direction: str, head: bool
    ) -> list[tuple[str, str | None, int, bool]]:
        """(title, home, rows that are surely isolated, whether nothing is allowed) of every policy that isolates in this direction."""
        ends = {
            (checkpoint.name, tier.name): tier.end
            for checkpoint in self.world.checkpoints[head]
            for tier in checkpoint.tiers
            if checkpoint.name == direction
        }
        out = []
        for policy in policies:
            sections = [s for s in policy.sections if ends.get((s.checkpoint, s.tier)) == "deny" and s.isolates]
            for section in sections:
                rows = self._rows(section, direction, head)
                if rows:
                    where = {home(_subject(isolation, direction)) for isolation in section.isolates}
                    silent = not any(rule.action in ("allow", "pass") for rule in section.rules)
                    out.append((policy.title, where.pop() if len(where) == 1 else None, rows, silent))
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

    def _direction(
        self, name: str, isolating: Sequence[tuple[str, str | None, int, bool]], rows: int, stranger: int
    ) -> Direction:
        everyone = rows | stranger
        isolated = 0
        acting: dict[str, None] = {}
        denying: dict[str, None] = {}
        for title, where, own, silent in isolating:
            if where not in (None, name) or not own & everyone:
                continue
            isolated |= own
            acting[title] = None
            if silent and own & everyone == everyone:
                denying[title] = None
        unprotected = tuple(sorted(self.names.id(bit) for bit in indices(rows & ~isolated)))
        whole = rows or stranger
        status = OK if denying or (acting and not whole & ~isolated) else WARN if acting else FAIL
        return Direction(status, tuple(sorted(denying)), tuple(sorted(acting)), unprotected)


def _subject(isolation: Isolation, direction: str) -> Expr:
    return isolation.destination if direction == "ingress" else isolation.source
