"""Snapshots and a Chain in; what is open on one side, or what changed between two, out, in values for reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.policies.model import Assumption, Lowered
from bot.policies.traffic import Traffic
from bot.reachability.because import Doubts, Hanging, about, assumed
from bot.reachability.causes import MOST, Causes, Explained
from bot.reachability.cells import Cell
from bot.reachability.change import Change, EndpointFacts, PairChange, Path, PolicyText, Totals
from bot.reachability.diff import Profile, regions_of
from bot.reachability.endpoints import indices
from bot.reachability.facts import Names
from bot.reachability.group import rectangles
from bot.reachability.hypothetical import Representatives, representatives
from bot.reachability.limits import Span
from bot.reachability.movers import movers
from bot.reachability.narrate import Narrator, kind_of, limits_of
from bot.reachability.through import Through
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot


class Listed(NamedTuple):
    """Every open path of one side, and the endpoints there are; assumptions with the number of paths that rest on each."""

    endpoints: dict[str, EndpointFacts]
    paths: tuple[Path, ...]
    assumptions: tuple[tuple[Assumption, int], ...]


class Difference(NamedTuple):
    """What changed: rows for people, the pairs themselves where they were asked for, counts, and the objects that differ."""

    endpoints: dict[str, EndpointFacts]
    changes: tuple[Change, ...]
    pairs: tuple[PairChange, ...] | None
    totals: Totals
    assumptions: tuple[tuple[Assumption, int], ...]
    objects: tuple[PolicyText, ...]
    over_budget: tuple[str, ...]


def open_paths(snapshot: Snapshot, lowered: Lowered, hypothetical: bool = True, complete: Sequence[str] = ()) -> Listed:
    """Every pair of endpoints with something open or possible, self pairs left out.

    `complete`: namespaces whose workloads are all in Git, which get no hypothetical pods.
    """
    found = (
        representatives(snapshot, snapshot, lowered, everything=True, complete=complete)
        if hypothetical
        else Representatives((), ())
    )
    world = World(snapshot, snapshot, lowered, found.pods)
    world.prepare()
    universe = world.universe
    names = Names(universe, snapshot, snapshot)
    classes: dict[tuple[object, ...], list[int]] = {}
    for bit in indices(universe.sources & universe.head_rows):
        row = universe.rows[bit]
        key = (tuple(world.key(slot, "source", True) for slot in row.head), universe.inside >> bit & 1)
        classes.setdefault(key, []).append(bit)
    paths: list[Path] = []
    doubts = Doubts(world, True, Hanging())
    unsure: dict[str, int] = {}
    resting = about(world, lowered.vocabulary.assumptions)
    for (_, inside), members in classes.items():
        cells = world.row_cells(universe.rows[members[0]], "source", True)
        ends = universe.destinations if inside else universe.destinations & universe.inside
        for (mask_open, mask_maybe, limited), bits in _by_traffic(cells, ends).items():
            open_, maybe = world.atoms.traffic(mask_open), world.atoms.traffic(mask_maybe)
            limits = limits_of(world, Profile(0, 0, mask_open, mask_maybe, "", limited), True) if limited else ()
            for source in members:
                settling = doubts.settling(source, bits & ~(1 << source)) if maybe else {}
                for name, settled in settling.items():
                    unsure[name] = unsure.get(name, 0) + settled.bit_count()
                for name, rows in resting.items():
                    here = bits & ~(1 << source) if rows >> source & 1 else bits & ~(1 << source) & rows
                    unsure[name] = unsure.get(name, 0) + here.bit_count()
                for destination in indices(bits & ~(1 << source)):
                    because = tuple(sorted(name for name, ends in settling.items() if ends >> destination & 1))
                    paths.append(Path(names.id(source), names.id(destination), open_, maybe, because, limits))
    paths.sort()
    endpoints = {names.id(bit): names.facts(bit) for bit in sorted(universe.rows, key=names.id)}
    return Listed(endpoints, tuple(paths), assumed(lowered.vocabulary.assumptions, unsure))


def _by_traffic(cells: list[Cell], ends: int) -> dict[tuple[int, int, tuple[Span, ...]], int]:
    """(open mask, possible mask, limited spans) -> rows, for every combination that occurs."""
    groups: dict[tuple[int, int, tuple[Span, ...]], int] = {(0, 0, ()): ends}
    for cell in cells:
        fresh: dict[tuple[int, int, tuple[Span, ...]], int] = {}
        limits = [(cell.mask, None, l7) for l7, _ in cell.limits]
        for (mask_open, mask_maybe, spans), bits in groups.items():
            for part, opened, possible in (
                (bits & cell.open, cell.mask, 0),
                (bits & cell.maybe, 0, cell.mask),
                (bits & ~(cell.open | cell.maybe), 0, 0),
            ):
                rest = part
                for span, (_, members) in zip(limits, cell.limits, strict=True):
                    if rest & members:
                        at = (mask_open | opened, mask_maybe | possible, (*spans, span))
                        fresh[at] = fresh.get(at, 0) | (rest & members)
                        rest &= ~members
                if rest:
                    at = (mask_open | opened, mask_maybe | possible, spans)
                    fresh[at] = fresh.get(at, 0) | rest
        groups = fresh
    return {key: bits for key, bits in groups.items() if key[0] | key[1]}


def compare(
    base: Snapshot,
    head: Snapshot,
    lowered: Lowered,
    pairs: bool = False,
    complete: Sequence[str] = (),
    full: bool = False,
) -> Difference:
    """What changed between two sides. `pairs`: list every changed pair too; `full`: evaluate all rows, not only what can have changed."""
    found = representatives(base, head, lowered, complete=complete)
    world = World(base, head, lowered, found.pods)
    regions = regions_of(world)
    names = Names(world.universe, base, head)
    through = Through(world)
    causes = Causes(world, regions, movers(world), through.behind)
    explained = [piece._replace(causes=through.behind(piece.causes)) for piece in causes.explain(full)]
    narrator = Narrator(world, names)
    changes = _rows(world, explained, narrator)
    touched = 0
    for piece in explained:
        touched |= piece.sources | piece.destinations
    endpoints = {names.id(bit): names.facts(bit) for bit in sorted(indices(touched), key=names.id)}
    totals = _totals(world, explained)
    return Difference(
        endpoints,
        changes,
        _pairs(world, names, explained) if pairs else None,
        totals,
        assumed(lowered.vocabulary.assumptions, _unsure(world, explained)),
        narrator.changed_objects(),
        found.over_budget,
    )


Keys = tuple[tuple[str, str, str], ...]
Group = tuple[Profile, Keys, int]
Pieces = dict[Group, list[tuple[int, int]]]
READABLE = 24
MOST_ROWS = 500


def _rows(world: World, explained: list[Explained], narrator: Narrator) -> tuple[Change, ...]:
    """Rectangles for people, most dangerous first, with ids in that order.

    Rows are split by cause, unless that makes more of them than a person reads (two for each changed rule): then rows are
    made of what changed alone, each with all of its causes; and if that is not enough, of what pairs have after it. Where
    even `MOST_ROWS` do not hold them, a row names the ends of many rectangles and is marked as not every pair of them.
    """
    limit = max(READABLE, 2 * _changed_rules(world))
    pieces = _grouped(explained)
    if len(explained) > 2 * MOST_ROWS and _count(_by_outcome(pieces)) > MOST_ROWS:
        return _summed(world, explained, narrator)
    shown, alike = _apart(world, pieces)
    for coarser in (_by_change, _by_outcome):
        if _count(shown) > min(limit, MOST_ROWS):
            shown, alike = coarser(shown), coarser(alike)
    if _count(shown) + _count(alike) > MOST_ROWS:
        return _summed(world, explained, narrator)
    rows = sorted(_rectangles(shown, narrator), key=narrator.order)
    rows, spare = _first_of_each(rows) if len(rows) > limit else (rows, [])
    beside = sorted(spare + _rectangles(alike, narrator), key=narrator.order)
    behind: dict[object, str] = {}
    out: list[Change] = []
    for number, row in enumerate(rows + beside, 1):
        if number <= len(rows):
            behind.setdefault(_likeness(row), f"c{number}")
        like = behind.get(_likeness(row), "") if number > len(rows) else ""
        out.append((row if like else narrator.decided(row))._replace(id=f"c{number}", alike=like))
    return tuple(out)


def _likeness(row: Change) -> object:
    return (tuple((cause.object, cause.change) for cause in row.causes), _gains(row.change), row.endpoint)


def _first_of_each(rows: list[Change]) -> tuple[list[Change], list[Change]]:
    """Of the rows that only close something, the first for each set of causes, and the others."""
    seen: set[object] = set()
    first: list[Change] = []
    others: list[Change] = []
    for row in rows:
        if _gains(row.change) or _likeness(row) not in seen:
            first.append(row)
            seen.add(_likeness(row))
        else:
            others.append(row)
    return first, others


def _summed(world: World, explained: list[Explained], narrator: Narrator) -> tuple[Change, ...]:
    """One row for all pairs with one outcome: the ends of all of them, the number of pairs, and the largest rectangle's witness."""
    groups: dict[object, list[Explained]] = {}
    for piece in explained:
        groups.setdefault((piece.profile.endpoint, kind_of(piece.profile)), []).append(piece)
    in_git = ~world.universe.hypothetical
    rows: list[Change] = []
    for found in groups.values():
        sources = destinations = paths = known = most = 0
        largest = found[0]
        for piece in found:
            first, second = piece.sources, piece.destinations
            sources |= first
            destinations |= second
            area = first.bit_count() * second.bit_count()
            paths += area
            known += (first & in_git).bit_count() * (second & in_git).bit_count()
            if area > most or (area == most and (first, second) > (largest.sources, largest.destinations)):
                most, largest = area, piece
        keys, count = _causes_of((piece.causes, piece.too_many) for piece in found)
        row = narrator.change(largest.sources, largest.destinations, largest.profile, keys, count)
        rows.append(narrator.summed(row, sources, destinations, paths, paths - known))
    rows.sort(key=narrator.order)
    return tuple(narrator.decided(row)._replace(id=f"c{number}") for number, row in enumerate(rows, 1))


def _count(pieces: Pieces) -> int:
    return sum(len(rectangles(parts)) for parts in pieces.values())


def _grouped(explained: list[Explained]) -> Pieces:
    pieces: Pieces = {}
    for piece in explained:
        group = (piece.profile, piece.causes, piece.too_many)
        pieces.setdefault(group, []).append((piece.sources, piece.destinations))
    return pieces


def _apart(world: World, pieces: Pieces) -> tuple[Pieces, Pieces]:
    """Pairs for tables, and pairs of hypothetical pods beside which known workloads of the same namespaces change alike."""
    universe = world.universe
    hypothetical = universe.hypothetical
    known: dict[object, tuple[int, int]] = {}
    kinds = {profile: (_gains(kind_of(profile)), profile.endpoint) for profile, _, _ in pieces}
    for (profile, causes, _), parts in pieces.items():
        sources, destinations = known.get((causes, kinds[profile]), (0, 0))
        for first, second in parts:
            if first & ~hypothetical and second & ~hypothetical:
                sources |= first
                destinations |= second
        known[causes, kinds[profile]] = (sources, destinations)
    near = {
        at: tuple([hypothetical & universe.neighbours(rows & ~hypothetical) for rows in both])
        for at, both in known.items()
    }
    shown: Pieces = {}
    alike: Pieces = {}
    for group, parts in pieces.items():
        near_sources, near_destinations = near[group[1], kinds[group[0]]]
        for sources, destinations in parts:
            like_sources, like_destinations = sources & near_sources, destinations & near_destinations
            if not like_sources and not like_destinations:
                _keep(shown, group, sources, destinations)
                continue
            _keep(shown, group, sources & ~like_sources, destinations & ~like_destinations)
            covered_sources = like_sources | (sources & ~hypothetical)
            covered_destinations = like_destinations | (destinations & ~hypothetical)
            _keep(alike, group, like_sources, covered_destinations)
            _keep(alike, group, covered_sources & ~like_sources, like_destinations)
            _keep(shown, group, like_sources, destinations & ~covered_destinations)
            _keep(shown, group, sources & ~covered_sources, like_destinations)
    return shown, alike


def _gains(change: str) -> bool:
    return change in ("opened", "widened")


def _keep(pieces: Pieces, group: Group, sources: int, destinations: int) -> None:
    if sources and destinations:
        pieces.setdefault(group, []).append((sources, destinations))


def _rectangles(pieces: Pieces, narrator: Narrator) -> list[Change]:
    return [
        narrator.change(sources, destinations, profile, keys, too_many)
        for (profile, keys, too_many), parts in pieces.items()
        for sources, destinations in rectangles(parts)
    ]


def _by_change(pieces: Pieces) -> Pieces:
    """The same pairs without regard to their causes, which every rectangle then has all of."""
    by_profile: dict[Profile, list[tuple[int, int, Keys, int]]] = {}
    for (profile, keys, too_many), parts in pieces.items():
        known = by_profile.setdefault(profile, [])
        known.extend((sources, destinations, keys, too_many) for sources, destinations in parts)
    out: Pieces = {}
    for profile, found in by_profile.items():
        many = len(found) > READABLE * READABLE
        united, count = _causes_of((part[2], part[3]) for part in found) if many else ((), 0)
        for sources, destinations in rectangles((part[0], part[1]) for part in found):
            if not many:
                united, count = _causes_of(
                    (part[2], part[3]) for part in found if part[0] & sources and part[1] & destinations
                )
            _keep(out, (profile, united, count), sources, destinations)
    return out


def _by_outcome(pieces: Pieces) -> Pieces:
    """The same pairs by what they have in the end and whether they gained or lost, whatever exactly they had before."""
    merged: dict[object, Profile] = {}
    for profile, _, _ in pieces:
        at = _outcome(profile)
        known = merged.setdefault(at, profile)
        if known[:2] == profile[:2]:
            continue
        if _gains(kind_of(profile)):
            before, maybe = known.before & profile.before, known.before_maybe & profile.before_maybe
        else:
            before, maybe = known.before | profile.before, known.before_maybe | profile.before_maybe
        merged[at] = known._replace(before=before, before_maybe=maybe & ~before, varies=True)
    out: Pieces = {}
    for (profile, keys, too_many), parts in pieces.items():
        out.setdefault((merged[_outcome(profile)], keys, too_many), []).extend(parts)
    return _by_change(out)


def _outcome(profile: Profile) -> object:
    if profile.l7:
        return profile
    return (profile.after, profile.after_maybe, profile.endpoint, _gains(kind_of(profile)))


def _causes_of(parts: Iterable[tuple[Keys, int]]) -> tuple[Keys, int]:
    """All causes of some pieces, or how many there are where they are too many to name."""
    distinct = set(parts)
    united = tuple(sorted({key for keys, _ in distinct for key in keys}))
    count = max(too_many for _, too_many in distinct)
    return ((), max(count, len(united))) if count or len(united) > MOST else (united, 0)


def _changed_rules(world: World) -> int:
    """How many rules and isolations stand in changed policies."""
    sides = [{policy.key: policy for policy in policies} for policies in (world.only_base, world.only_head)]
    count = 0
    for key in {*sides[0], *sides[1]}:
        versions = [side[key].sections for side in sides if key in side]
        count += max(sum(len(section.rules) + len(section.isolates) for section in sections) for sections in versions)
    return count


def _totals(world: World, explained: list[Explained]) -> Totals:
    opened = closed = changed = possible = hypothetical = 0
    shown = world.universe.hypothetical
    for piece in explained:
        if piece.profile.endpoint:
            continue
        count = piece.sources.bit_count() * piece.destinations.bit_count()
        profile = piece.profile
        before, after = profile.before | profile.before_maybe, profile.after | profile.after_maybe
        known = (piece.sources & ~shown).bit_count() * (piece.destinations & ~shown).bit_count()
        hypothetical += count - known
        if profile.before_maybe | profile.after_maybe:
            possible += count
        if not before:
            opened += count
        elif not after:
            closed += count
        else:
            changed += count
    return Totals(opened, closed, changed, possible, hypothetical)


def _unsure(world: World, explained: list[Explained]) -> dict[str, int]:
    """How many pairs of endpoints that stay rest on each assumption, on either side."""
    hanging = Hanging()
    sides = (Doubts(world, False, hanging), Doubts(world, True, hanging))
    resting = about(world, world.lowered.vocabulary.assumptions)
    out: dict[str, int] = {}
    for piece in explained:
        possible = (piece.profile.before_maybe, piece.profile.after_maybe)
        if piece.profile.endpoint:
            continue
        counts: dict[str, int] = {}
        for name, rows in resting.items():
            counts[name] = (piece.sources & rows).bit_count() * piece.destinations.bit_count()
            counts[name] += (piece.sources & ~rows).bit_count() * (piece.destinations & rows).bit_count()
        for doubts, maybe in zip(sides, possible, strict=True):
            for name, count in (doubts.count(piece.sources, piece.destinations) if maybe else {}).items():
                counts[name] = max(counts.get(name, 0), count)
        for name, count in counts.items():
            out[name] = out.get(name, 0) + count
    return out


def _pairs(world: World, names: Names, explained: list[Explained]) -> tuple[PairChange, ...]:
    out = []
    traffic = world.atoms.traffic
    memo: dict[int, Traffic] = {}
    for piece in explained:
        four = [memo.setdefault(mask, traffic(mask)) for mask in piece.profile[:4]]
        before, after = (limits_of(world, piece.profile, head) for head in (False, True))
        for source in indices(piece.sources):
            for destination in indices(piece.destinations):
                out.append(
                    PairChange(
                        names.id(source),
                        names.id(destination),
                        four[0],
                        four[2],
                        four[1],
                        four[3],
                        piece.profile.endpoint,
                        before,
                        after,
                    )
                )
    return tuple(sorted(out))
