"""The ends of one path and one or two sides in, each side's verdict and decisions out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bot.errors import UsageError
from bot.policies.model import Lowered
from bot.policies.traffic import PROTOCOLS, TCP
from bot.reachability.ask import Ends, Questions, cuts, pair_masks
from bot.reachability.change import Decision, PolicyText
from bot.reachability.decide import Judge, point_words
from bot.reachability.diagnose import Hint, diagnose
from bot.reachability.endpoints import Row
from bot.reachability.explain import Probe
from bot.reachability.facts import Names
from bot.reachability.hypothetical import representatives
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot

Sides = tuple[tuple[str, str, tuple[Decision, ...]], ...]


class Walked(NamedTuple):
    """Both ends and the port as they are called, the sides, remarks on the question, and what to look at on the head."""

    source: str
    destination: str
    port: str
    sides: Sides
    hints: tuple[str, ...]
    help: tuple[Hint, ...]


def walk(
    source: str,
    destination: str,
    port: str | None,
    snapshots: tuple[Snapshot, Snapshot],
    lowered: Lowered,
    names_of_sides: tuple[str, ...],
) -> Walked:
    """One path, on one side or both. `names_of_sides`: one name for the head alone, or two.

    Without a port: one where the sides differ, else one that is open, else one that the destination declares, else 80/tcp.
    Raises UsageError for an end that is not there or a bad port.
    """
    both = len(names_of_sides) == 2
    pods = representatives(*snapshots, lowered, everything=not both).pods
    questions = Questions(snapshots[1], lowered)
    try:
        sets = [pair for text in (source, destination) for pair in cuts(text)]
        questions.ask(source, destination)
    except ValueError as error:
        raise UsageError(str(error)) from None
    world = World(*snapshots, questions.lowered(), pods, cuts=sets)
    world.prepare()
    names = Names(world.universe, *snapshots)
    rows = []
    for text, other in ((source, destination), (destination, source)):
        found = None
        for head in (True, False) if both else (True,):
            ends = Ends(world, names, head, questions)
            found = found or ends.exact(text) or ends.find(text, other)
        if found is None:
            near = ends.suggestions(text)
            raise UsageError(f"{text} is not there" + (f"; did you mean {' or '.join(near)}?" if near else ""))
        rows.append(found.rows)
    a, b = rows[0][0], rows[1][0]
    point = parse_port(port) if port is not None else _point(world, snapshots, a, b, both)
    judge = Judge(world, names)
    sides = tuple(
        (name, *judge.decide(a, b, Probe(point), head))
        for name, head in zip(names_of_sides, (False, True) if both else (True,), strict=True)
    )
    hints = tuple(
        f"{text} stands for {len(found)} endpoints; shown is {names.id_of(found[0])}"
        for text, found in ((source, rows[0]), (destination, rows[1]))
        if len(found) > 1
    )
    help_ = diagnose(world, names, a, b, point, sides[-1][2])
    return Walked(names.id_of(a), names.id_of(b), point_words(point), sides, hints, help_)


def changed_objects(sides: Sides, lowered: Lowered) -> tuple[PolicyText, ...]:
    """The policies that differ between the sides."""
    before = {policy.key: policy for policy in lowered.base.policies}
    after = {policy.key: policy for policy in lowered.head.policies}
    said = " ".join(d.text for _, _, decisions in sides for d in decisions)
    out = []
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        policy = new or old
        if old is not new and policy is not None and policy.title in said:
            out.append(PolicyText(policy.title, old.object if old else None, new.object if new else None))
    return tuple(out)


def parse_port(text: str) -> int:
    """`8080/tcp`, `53/UDP` or `8080` (TCP) as a point of the traffic line. Raises UsageError."""
    number, _, name = text.partition("/")
    by_name = {known.lower(): value for known, value in PROTOCOLS.items()}
    protocol = by_name.get(name.lower(), TCP if not name else None)
    if protocol is None or not (number.isascii() and number.isdigit() and int(number[:6]) <= 0xFFFF):
        raise UsageError(f"--port {text}: give a number from 1 to 65535 and a protocol, like 8080/tcp")
    return protocol << 16 | int(number)


def _point(world: World, snapshots: tuple[Snapshot, Snapshot], source: Row, destination: Row, both: bool) -> int:
    after = pair_masks(world, source, destination, True)
    open_ = after[0] | after[1]
    if both:
        before = pair_masks(world, source, destination, False)
        open_ = (before[0] ^ after[0]) | (before[1] ^ after[1]) or open_
    declared = [
        port.protocol << 16 | port.number
        for snapshot in reversed(snapshots)
        for workload in snapshot.workloads
        if destination.identity == ("workload", workload.namespace, workload.kind, workload.name)
        for port in workload.ports
    ]
    traffic = world.atoms.traffic(open_)
    for point in declared:
        if any(box.first <= point <= box.last for box in traffic):
            return point
    if traffic and open_ != world.atoms.everything:
        return traffic[0].first
    return declared[0] if declared else TCP << 16 | 80
