"""Rules and allow entries of the config and both sides in, what each rule and each entry comes to on this change out.

`deny` is broken where something is open between its ends, `require` where something is closed that must be open; what is
only possible proves neither. *Newly* broken is what the base was not; pairs with pods that are not in Git count only there,
unless a rule is about nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.gate.ends import PODS, End, declared_ports, end, traffic_to
from bot.policies.model import Lowered
from bot.policies.traffic import TCP, Traffic
from bot.reachability.ask import Questions
from bot.reachability.cells import Cell
from bot.reachability.change import EndpointFacts, Witness
from bot.reachability.decide import Judge, point_words
from bot.reachability.endpoints import Hypothetical, Row, indices
from bot.reachability.explain import Probe
from bot.reachability.facts import Names
from bot.reachability.hypothetical import representatives
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.config import Allow, Config, Match, Rule
    from bot.manifests.snapshot import Snapshot

HOLDS, NEWLY, ALREADY, MENDED = "holds", "newly broken", "already broken", "mended"
ALLOWED, NOTHING = "allowed", "matches nothing"
IN_FORCE, EXPIRED, USELESS = "in force", "expired", "useless"


class Judged(NamedTuple):
    """What a rule comes to. `status`: holds, newly broken, already broken, mended, allowed or matches nothing.

    `certain`: not only possibly broken. `paths`: the pairs that break it (those of the status). `witness`: one of them.
    `allowed_by`: entries that answer for what would be newly broken. `why`: what it matches nothing of. `fails`: the gate fails for it.
    """

    rule: Rule
    status: str
    certain: bool = True
    paths: int = 0
    witness: Witness | None = None
    allowed_by: tuple[str, ...] = ()
    why: str = ""
    fails: bool = False


class Allowance(NamedTuple):
    """What an allow entry comes to. `status`: in force, expired, or useless (`why`: nothing it speaks of is open on either side)."""

    entry: Allow
    status: str
    why: str = ""


class Gated(NamedTuple):
    """Everything that the config's rules and allow entries come to."""

    rules: tuple[Judged, ...] = ()
    allow: tuple[Allowance, ...] = ()


class _Piece(NamedTuple):
    """Pairs (sources × destinations, bitsets of rows) and atoms; `sure` where it is not only possible."""

    sources: int
    destinations: int
    mask: int
    sure: bool

    @property
    def pairs(self) -> int:
        return self.sources.bit_count() * self.destinations.bit_count() - (self.sources & self.destinations).bit_count()


class _Area(NamedTuple):
    """What a match means in a world: rows of both ends, and for each mask of atoms the destinations that it holds for."""

    sources: int
    destinations: int
    ports: tuple[tuple[int, int], ...]
    why: str = ""


class _Broken(NamedTuple):
    newly: list[_Piece]
    already: list[_Piece]
    mended: bool


def judge(
    config: Config, base: Snapshot, head: Snapshot, lowered: Lowered, today: str, complete: Sequence[str] = ()
) -> Gated:
    """Every rule and entry, in the config's order. `today`: the day (YYYY-MM-DD) that entries expire by."""
    if not config.rules and not config.allow:
        return Gated()
    field = _Field(config, base, head, lowered, complete)
    live = [entry for entry in config.allow if entry.expires >= today]
    areas = [(entry, field.area(entry.match, True, False)) for entry in config.allow]
    answered = [(entry.id, area) for entry, area in areas if entry in live and not area.why]
    allow = tuple(_allowance(field, entry, area, entry in live) for entry, area in areas)
    return Gated(tuple(_judged(field, rule, answered) for rule in config.rules), allow)


class _Field:
    """The world in which every end and port of the config is told apart from all others."""

    def __init__(
        self, config: Config, base: Snapshot, head: Snapshot, lowered: Lowered, complete: Sequence[str]
    ) -> None:
        self.snapshots = (base, head)
        self.groups = dict(config.groups)
        self.declared = declared_ports(base, head)
        self.pods = lowered.vocabulary.pod_addresses
        matches = [*(rule.match for rule in config.rules), *(entry.match for entry in config.allow)]
        self.questions = Questions(head, lowered)
        ends: dict[str, End] = {}
        for match in matches:
            source, destination = (self.groups.get(text, text) for text in (match.source, match.destination))
            self.questions.ask(source, destination)
            for text, other in ((source, destination), (destination, source)):
                meant = self.questions.means(text, other) or ()
                ends[text] = end(text, {}, self.pods, (extra.id for extra in meant))
        self.ends = ends
        strangers = [one for one in ends.values() if one.scheme in ("ns", "label") and not self._is_known(one)]
        found = representatives(base, head, lowered, everything=bool(strangers), complete=complete).pods
        extra = [
            Hypothetical((), one.rest)
            for one in strangers
            if one.scheme == "ns" and any(one.rest in side.namespaces for side in self.snapshots)
        ]
        cuts = [one.ranges for one in ends.values() if one.ranges]
        traffic = [
            traffic_to(match, EndpointFacts("", "workload", *key), self.declared, lowered.vocabulary.universe, False)
            for match in matches
            for key in ([(kind, ns, name) for ns, kind, name in self.declared] if _named(match) else [("", "", "")])
        ]
        pods = tuple(dict.fromkeys((*found, *extra)))
        self.world = World(base, head, self.questions.lowered(), pods, cuts=cuts, traffic=traffic)
        self.world.prepare()
        self.universe = self.world.universe
        self.names = Names(self.universe, base, head)
        self.judge = Judge(self.world, self.names)
        self._facts = {bit: self.names.facts(bit) for bit in self.universe.rows}
        self._rows: dict[str, int] = {}
        self._cells: dict[object, tuple[list[Cell], list[Cell]]] = {}

    def _is_known(self, one: End) -> bool:
        return any(
            one.touches(EndpointFacts("", "workload", w.kind, w.namespace, w.name, tuple(w.labels.items())))
            for side in self.snapshots
            for w in side.workloads
        )

    def rows(self, text: str) -> int:
        """The rows that an end means."""
        text = self.groups.get(text, text)
        found = self._rows.get(text)
        if found is None:
            one = self.ends[text]
            found = self._rows[text] = sum(1 << bit for bit, facts in self._facts.items() if one.touches(facts))
        return found

    def area(self, match: Match, strangers: bool, exact: bool) -> _Area:
        """The area of a match. `strangers`: pods that are not in Git count; else only where nothing else is meant."""
        sources = self.rows(match.source) & self.universe.sources
        destinations = self.rows(match.destination) & self.universe.destinations
        if not strangers:
            sources = self._certain(match.source, sources)
            destinations = self._certain(match.destination, destinations)
        for text, rows in ((match.source, sources), (match.destination, destinations)):
            if not rows:
                return _Area(sources, destinations, (), f"nothing is {text}{self._near(text)}")
        if not match.ports:
            return _Area(sources, destinations, ((self.world.atoms.everything, destinations),))
        by_mask: dict[int, int] = {}
        universe = self.world.lowered.vocabulary.universe
        for bit in indices(destinations):
            traffic = traffic_to(match, self._facts[bit], self.declared, universe, exact)
            mask = self.world.atoms.mask(traffic) if traffic else 0
            by_mask[mask] = by_mask.get(mask, 0) | 1 << bit
        missing = by_mask.pop(0, 0)
        if not by_mask:
            names = ", ".join(port.name or str(port.first) for port in match.ports)
            return _Area(sources, 0, (), f"nothing of {match.destination} has the port {names}")
        return _Area(sources, destinations & ~missing, tuple(sorted(by_mask.items())))

    def _certain(self, text: str, rows: int) -> int:
        """What must be reachable: workloads rather than pods that are not in Git; of `*` and of sets of pods nothing else."""
        if self.ends[self.groups.get(text, text)].scheme not in ("*", "ns", "label"):
            return rows & ~self.universe.hypothetical or rows
        known = sum(1 << bit for bit in indices(rows) if self._facts[bit].kind == "workload")
        return known or sum(1 << bit for bit in indices(rows) if self._facts[bit].kind in PODS)

    def _near(self, text: str) -> str:
        import difflib

        text = self.groups.get(text, text)
        known = {f"ns:{name}" for side in self.snapshots for name in side.namespaces}
        known |= {facts.id for facts in self._facts.values() if facts.kind == "workload"}
        known |= {
            f"label:{key}={value}"
            for facts in self._facts.values()
            if facts.kind == "workload"
            for key, value in facts.labels
        }
        found = difflib.get_close_matches(text, sorted(known), 1, 0.7)
        return f"; did you mean {found[0]}?" if found else ""

    def known(self, rows: int) -> int:
        """Without the pods that are not in Git, where there are others."""
        return rows & ~self.universe.hypothetical or rows

    def sides(self, sources: int) -> Iterable[tuple[int, list[Cell], list[Cell], int]]:
        """(rows, cells before, cells after, ends that count) for each class of sources."""
        classes: dict[object, int] = {}
        for bit in indices(sources):
            row = self.universe.rows[bit]
            at = (
                tuple(self.world.key(slot, "source", False) for slot in row.base),
                tuple(self.world.key(slot, "source", True) for slot in row.head),
                self.universe.inside >> bit & 1,
            )
            classes[at] = classes.get(at, 0) | 1 << bit
        for key, rows in classes.items():
            row = self.universe.rows[indices(rows)[0]]
            if key not in self._cells:
                before, after = (self.world.row_cells(row, "source", head) for head in (False, True))
                self._cells[key] = (before, after)
            inside = self.universe.inside & rows
            yield rows, *self._cells[key], -1 if inside else self.universe.inside


def _named(match: Match) -> bool:
    return any(port.name is not None for port in match.ports)


def _allowance(field: _Field, entry: Allow, area: _Area, live: bool) -> Allowance:
    if not live:
        return Allowance(entry, EXPIRED, f"it ended on {entry.expires}")
    if area.why:
        return Allowance(entry, USELESS, area.why)
    for _, before, after, ends in field.sides(area.sources):
        for cells in (before, after):
            for cell in cells:
                for mask, destinations in area.ports:
                    if cell.mask & mask and (cell.open | cell.maybe) & destinations & ends:
                        return Allowance(entry, IN_FORCE)
    return Allowance(entry, USELESS, "nothing that it speaks of is open, before or after")


def _judged(field: _Field, rule: Rule, allow: Sequence[tuple[str, _Area]]) -> Judged:
    deny = rule.action == "deny"
    area = field.area(rule.match, deny, not deny)
    stays = field.universe.head_rows
    if not area.why:
        for text, rows in ((rule.match.source, area.sources), (rule.match.destination, area.destinations)):
            if not field.known(rows) & stays:
                area = area._replace(why=f"nothing is {text} any more")
    if area.why:
        return Judged(rule, NOTHING, why=area.why)
    found = _denied(field, area) if deny else _required(field, area, bool(rule.match.ports))
    left, used = _answered(found.newly, allow)
    known = (field.known(area.sources), field.known(area.destinations))
    already = [
        piece._replace(sources=piece.sources & known[0], destinations=piece.destinations & known[1])
        for piece in found.already
    ]
    already = [piece for piece in already if piece.pairs]
    for status, pieces in ((NEWLY, left), (ALLOWED, found.newly), (ALREADY, already)):
        if pieces:
            certain = any(piece.sure for piece in pieces)
            return Judged(
                rule,
                status,
                certain,
                _count(pieces),
                _witness(field, [piece for piece in pieces if piece.sure == certain]),
                used if status == ALLOWED else (),
            )
    return Judged(rule, MENDED if found.mended else HOLDS)


def _count(pieces: Sequence[_Piece]) -> int:
    """Distinct pairs: the pieces of one class of sources may be about the same ends on other ports."""
    by_source: dict[int, int] = {}
    for piece in pieces:
        for bit in indices(piece.sources):
            by_source[bit] = by_source.get(bit, 0) | piece.destinations & ~(1 << bit)
    return sum(found.bit_count() for found in by_source.values())


def _denied(field: _Field, area: _Area) -> _Broken:
    newly: list[_Piece] = []
    already: list[_Piece] = []
    mended = False
    for rows, before, after, ends in field.sides(area.sources):
        for b in before:
            for a in after:
                for mask, destinations in area.ports:
                    atoms, bits = a.mask & b.mask & mask, destinations & ends
                    if not atoms:
                        continue
                    had = b.open | b.maybe
                    for sure, new, old in (
                        (True, a.open & ~b.open, a.open & b.open),
                        (False, a.maybe & ~had, a.maybe & had),
                    ):
                        newly += _piece(rows, new & bits, atoms, sure)
                        already += _piece(rows, old & bits, atoms, sure)
                    mended = mended or bool(had & ~(a.open | a.maybe) & bits)
    return _Broken(newly, already, mended)


def _required(field: _Field, area: _Area, each: bool) -> _Broken:
    """`each`: every port must be open; else one is enough."""
    newly: list[_Piece] = []
    already: list[_Piece] = []
    mended = False
    base, head = field.universe.base_rows, field.universe.head_rows
    for rows, before, after, ends in field.sides(area.sources):
        rows &= head
        if not rows:
            continue
        if not each:
            before, after = ([_any(cells, field.world.atoms.everything)] for cells in (before, after))
        for b in before:
            for a in after:
                for mask, destinations in area.ports:
                    atoms, bits = a.mask & b.mask & mask, destinations & ends & head
                    if not atoms:
                        continue
                    there = base if rows & base else 0
                    was_closed = ~b.open & there
                    for sure, bad in ((True, ~(a.open | a.maybe)), (False, a.maybe)):
                        newly += _piece(rows, bad & bits & ~was_closed, atoms, sure)
                        already += _piece(rows, bad & bits & was_closed, atoms, sure)
                    mended = mended or bool(a.open & was_closed & bits)
    return _Broken(newly, already, mended)


def _any(cells: Sequence[Cell], everything: int) -> Cell:
    """What is open on any of the ports."""
    sure = may = 0
    for cell in cells:
        sure |= cell.open
        may |= cell.maybe
    return Cell(everything, sure, may & ~sure)


def _piece(sources: int, destinations: int, mask: int, sure: bool) -> list[_Piece]:
    piece = _Piece(sources, destinations, mask, sure)
    return [piece] if sources and destinations and piece.pairs else []


def _answered(pieces: Sequence[_Piece], allow: Sequence[tuple[str, _Area]]) -> tuple[list[_Piece], tuple[str, ...]]:
    """What no entry answers for, and the entries that answer for something."""
    left = list(pieces)
    used: dict[str, None] = {}
    for name, area in allow:
        for mask, destinations in area.ports:
            rest: list[_Piece] = []
            for piece in left:
                inside = piece.sources & area.sources
                both = piece.destinations & destinations
                if not (inside and both and piece.mask & mask):
                    rest.append(piece)
                    continue
                used[name] = None
                for part in (
                    piece._replace(sources=piece.sources & ~inside),
                    piece._replace(sources=inside, destinations=piece.destinations & ~both),
                    piece._replace(sources=inside, destinations=both, mask=piece.mask & ~mask),
                ):
                    if part.sources and part.mask and part.pairs:
                        rest.append(part)
            left = rest
    return left, tuple(used)


# --- One path that shows it ---


def _witness(field: _Field, pieces: Sequence[_Piece]) -> Witness:
    """Known workloads first, smallest names, a port that the destination declares before the lowest."""
    source, destination, mask = min(
        (_best(field, piece) for piece in pieces), key=lambda found: (found[3], found[4], found[5])
    )[:3]
    point = _point(field, destination, mask)
    (before, why_before), (after, why_after) = (
        field.judge.decide(source, destination, Probe(point), head) for head in (False, True)
    )
    ends = (field.names.id_of(source), field.names.id_of(destination))
    return Witness(*ends, point_words(point), before, after, why_before, why_after)


def _best(field: _Field, piece: _Piece) -> tuple[Row, Row, int, tuple[int, int], str, str]:
    def order(bit: int) -> tuple[int, str]:
        return (_KINDS.get(field.universe.rows[bit].kind, 3), field.names.id(bit))

    source = min(indices(piece.sources), key=order)
    others = piece.destinations & ~(1 << source)
    if not others:
        source = min(indices(piece.sources & ~piece.destinations), key=order)
        others = piece.destinations
    destination = min(indices(others), key=order)
    ranks = (order(source)[0], order(destination)[0])
    rows = field.universe.rows
    return rows[source], rows[destination], piece.mask, ranks, field.names.id(source), field.names.id(destination)


_KINDS = {"workload": 0, "addresses": 1, "exposure": 2, "hypothetical": 4}


def _point(field: _Field, destination: Row, mask: int) -> int:
    traffic = field.world.atoms.traffic(mask)
    own: Iterable[tuple[str, int, int]] = ()
    if destination.kind == "workload":
        _, namespace, kind, name = destination.identity
        own = field.declared.get((namespace, kind, name), ())
    for point in [*sorted(protocol << 16 | number for _, protocol, number in own), TCP << 16 | 443]:
        if _has(traffic, point):
            return point
    first = next((box.first for box in traffic if box.first >> 16 == TCP), traffic[0].first)
    return first if first & 0xFFFF or not _has(traffic, first + 1) else first + 1


def _has(traffic: Traffic, point: int) -> bool:
    return any(box.first <= point <= box.last for box in traffic)
