"""Questions about concrete ends (`frontend/web`, `ip:203.0.113.7`, `internet`) in, rows of a world out, and their verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bot.policies import addresses as address_line
from bot.policies import intervals
from bot.policies.intervals import Intervals
from bot.policies.model import ExtraEndpoint, Lowered
from bot.reachability.endpoints import Row
from bot.reachability.facts import Names
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot, Workload


class End(NamedTuple):
    """What an end names: rows, every one of which must allow for `allow` (those of `needed`), none of which for `deny` (`rows`)."""

    rows: tuple[Row, ...]
    needed: tuple[Row, ...]


def cuts(text: str) -> list[Intervals]:
    """The address sets that an end names, so that the world tells them apart. Raises ValueError for a bad address."""
    scheme, _, rest = text.partition(":")
    if scheme in ("ip", "cidr"):
        return [address_line.parse_cidr(rest)]
    if scheme == "entity" and "@" in rest:
        return [address_line.parse_cidr(rest.partition("@")[2])]
    return []


class Questions:
    """The ends of questions about one side, and the endpoints that only those name (an address of a DNS name, one node)."""

    def __init__(self, snapshot: Snapshot, lowered: Lowered) -> None:
        self._lowered = lowered
        self._asked: dict[str, ExtraEndpoint] = {}
        self._workloads: dict[str, list[Workload]] = {}
        for workload in snapshot.workloads:
            for text in (workload.name, f"{workload.kind}/{workload.name}"):
                self._workloads.setdefault(f"{workload.namespace}/{text}", []).append(workload)

    def ask(self, source: str, destination: str) -> None:
        """Take note of both ends of a question."""
        for text, other in ((source, destination), (destination, source)):
            for extra in self.means(text, other) or ():
                self._asked.setdefault(extra.id, extra)

    def means(self, text: str, other: str) -> tuple[ExtraEndpoint, ...] | None:
        """The endpoints that an end may mean, given the other end; None where the vocabulary has no word for it."""
        ask = self._lowered.vocabulary.ask
        if ask is None:
            return None
        own = self._workloads.get(text) if self._lowered.vocabulary.hosts is not None else None
        if own is not None:
            hosts = {workload.node for workload in own if workload.host_network}
            if len(hosts) != 1 or "" in hosts or not all(workload.host_network for workload in own):
                return None
            text = f"node:{hosts.pop()}"
        return ask(text, self._node(other))

    def _node(self, text: str) -> str:
        """The node that an end is on, where that is known."""
        scheme, colon, rest = text.partition(":")
        if colon:
            return rest if scheme in ("node", "host") else ""
        found = {workload.node for workload in self._workloads.get(text, ())}
        return found.pop() if len(found) == 1 else ""

    def lowered(self) -> Lowered:
        """The chains, with the endpoints that were asked for."""
        vocabulary = self._lowered.vocabulary
        known = {extra.id for extra in vocabulary.extra}
        extra = (*vocabulary.extra, *(found for id_, found in self._asked.items() if id_ not in known))
        return self._lowered._replace(vocabulary=vocabulary._replace(extra=extra))


class Ends:
    """Finds the ends of one world by name. `questions`: those that the world was made for."""

    def __init__(self, world: World, names: Names, head: bool = True, questions: Questions | None = None) -> None:
        self.world = world
        self.head = head
        self._questions = questions
        self._by_id: dict[str, Row] = {}
        self._short: dict[str, list[Row]] = {}
        self._known: dict[int, Row] = {}
        self._ranges: list[tuple[Intervals, Row]] = []
        slots = world.universe.slots
        for bit, row in world.universe.rows.items():
            own = row.head if head else row.base
            if not own:
                continue
            self._by_id[names.id(bit)] = row
            if row.kind in ("workload", "exposure"):
                prefix = "" if row.kind == "workload" else "ingress:"
                self._short.setdefault(f"{prefix}{row.identity[1]}/{row.identity[3]}", []).append(row)
                self._by_id[f"{prefix}{row.identity[1]}/{row.identity[2]}/{row.identity[3]}"] = row
            for slot in own:
                known = slots[slot].personas[0].addresses
                if row.kind == "addresses":
                    self._ranges.append((known or (), row))
                elif row.kind in ("workload", "node"):
                    for first, _ in known or ():
                        self._known.setdefault(first, row)
        if not world.lowered.vocabulary.cidr_meets_pods:
            self._know_every_address()

    def _know_every_address(self) -> None:
        """Where no address set tells a pod's addresses apart, each of them names the pod."""
        rows = {row.identity: row for row in self._by_id.values() if row.kind == "workload"}
        for workload in self.world.snapshots[self.head].workloads:
            row = rows.get(("workload", workload.namespace, workload.kind, workload.name))
            if row is not None:
                for address in workload.addresses:
                    self._known.setdefault(address_line.parse_address(address), row)

    def exact(self, text: str) -> End | None:
        """The row that a report calls so."""
        row = self._by_id.get(text)
        return End((row,), (row,)) if row is not None else None

    def find(self, text: str, other: str = "") -> End | None:
        """The rows of an end (given the other one), or None where it names nothing that is there."""
        meant = self._questions.means(text, other) if self._questions is not None else None
        if meant is not None:
            rows = tuple(self._by_id[extra.id] for extra in meant if extra.id in self._by_id)
            return End(rows, rows) if rows else None
        scheme, colon, rest = text.partition(":")
        if text == "internet":
            return self._internet()
        if colon and scheme == "ip":
            return self._address(rest)
        if colon and scheme == "cidr":
            return self._range(address_line.parse_cidr(rest))
        if text == "entity:world":
            return self._rest()
        if colon and scheme == "entity" and "@" in rest:
            return self._address(rest.partition("@")[2])
        row = self._by_id.get(text)
        if row is None and colon and scheme in ("node", "host"):
            row = next(
                (r for r in self._by_id.values() if r.kind == "node" and r.identity[1] in (f"node:{rest}", rest)), None
            )
        if row is not None:
            return End((row,), (row,))
        named = self._short.get(text)
        return End(tuple(named), tuple(named)) if named else None

    def suggestions(self, text: str) -> list[str]:
        """Names that a person may have meant."""
        import difflib

        return difflib.get_close_matches(text, sorted({*self._short, *self._by_id}), 3, 0.6)

    def _address(self, text: str) -> End | None:
        point = address_line.parse_address(text)
        known = self._known.get(point)
        if known is not None:
            return End((known,), (known,))
        return self._range(((point, point),))

    def _range(self, ranges: Intervals) -> End | None:
        rows = tuple(row for own, row in self._ranges if intervals.intersect(own, ranges))
        return End(rows, rows) if rows else None

    def _internet(self) -> End | None:
        """Every address outside the cluster. IPv4 decides `allow`, unless the cluster's pods have IPv6 addresses alone."""
        inside = self.world.lowered.vocabulary.pod_addresses or ()
        outside = intervals.subtract(address_line.ALL, inside)
        family = (
            address_line.ALL_V6
            if inside and not intervals.intersect(inside, address_line.ALL_V4)
            else address_line.ALL_V4
        )
        found = self._range(outside)
        needed = self._range(intervals.intersect(outside, family))
        return End(found.rows, needed.rows if needed else found.rows) if found else None

    def _rest(self) -> End | None:
        """One address that no CIDR mentions, except through /0: the last but one of IPv4's last free range."""
        last = address_line.ALL_V4[0][1]
        return self._range(((last, last),))


def pair_masks(
    world: World, source: Row, destination: Row, head: bool, checkpoint: str | None = None
) -> tuple[int, int]:
    """(open, possible) atoms from one row to another, at all checkpoints or at one of them."""
    best_open = best_maybe = 0
    for i in source.head if head else source.base:
        for j in destination.head if head else destination.base:
            open_ = possible = world.atoms.everything
            for point in world.checkpoints[head]:
                if checkpoint is not None and point.name != checkpoint:
                    continue
                sure = may = 0
                for cell in world.evaluator.row(world.stack(point, "source", head), i):
                    if cell.open >> j & 1:
                        sure |= cell.mask
                    elif cell.maybe >> j & 1:
                        may |= cell.mask
                possible &= sure | may
                open_ &= sure
            best_open |= open_
            best_maybe |= possible
    return best_open, best_maybe & ~best_open
