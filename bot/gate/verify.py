"""Expectations and one side of the manifests in; which hold, which do not and why, out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from bot.errors import InternalError
from bot.gate.expectations import Expectation
from bot.policies.model import Lowered
from bot.policies.traffic import ICMP, ICMPV6
from bot.reachability.ask import End, Ends, Questions, cuts, pair_masks
from bot.reachability.decide import Judge
from bot.reachability.endpoints import Row
from bot.reachability.explain import CLOSED, OPEN, POSSIBLE, Probe
from bot.reachability.facts import Names
from bot.reachability.world import World

if TYPE_CHECKING:
    from bot.manifests.snapshot import Snapshot
    from bot.policies.dns_rules import Lookup
    from bot.policies.http_rules import Request

_SAID = {OPEN: "allow", CLOSED: "deny", POSSIBLE: "possible", "absent": "deny"}


class Answer(NamedTuple):
    """What was found for one expectation: allow, deny or possible, at both checkpoints and at each; `why` in words."""

    expectation: Expectation
    held: bool
    got: str
    egress: str
    ingress: str
    why: str


class Answers(NamedTuple):
    """All answers in the order of the file, and the expectations with an end that is not there."""

    answers: tuple[Answer, ...]
    unmatched: tuple[tuple[Expectation, str], ...]


def check(expectations: Sequence[Expectation], snapshot: Snapshot, lowered: Lowered) -> Answers:
    """Judge every expectation on one side. IPv6 ones are judged by the pods' IPv6 addresses; no source port means a client's."""
    answers: dict[int, Answer] = {}
    unmatched: dict[int, tuple[Expectation, str]] = {}
    for family in (0, 6):
        asked = [(i, e) for i, e in enumerate(expectations) if (e.family == 6) == (family == 6)]
        if not asked:
            continue
        questions = Questions(snapshot, lowered)
        for _, e in asked:
            questions.ask(e.source, e.destination)
        sets = [pair for _, e in asked for text in (e.source, e.destination) for pair in cuts(text)]
        world = World(snapshot, snapshot, questions.lowered(), cuts=sets, family=family)
        world.prepare()
        names = Names(world.universe, snapshot, snapshot)
        ends = Ends(world, names, questions=questions)
        judge = Judge(world, names)
        ports = _port_names(snapshot)
        for i, expectation in asked:
            source = ends.find(expectation.source, expectation.destination)
            destination = ends.find(expectation.destination, expectation.source)
            missing = expectation.source if source is None else expectation.destination
            if source is None or destination is None:
                near = ends.suggestions(missing)
                unmatched[i] = (expectation, f"{missing} is not there" + (f"; near: {', '.join(near)}" if near else ""))
                continue
            answers[i] = _answer(world, judge, expectation, source, destination, ports)
    return Answers(tuple(answers[i] for i in sorted(answers)), tuple(unmatched[i] for i in sorted(unmatched)))


def _port_names(snapshot: Snapshot) -> dict[tuple[str, ...], list[tuple[str, int, int]]]:
    out: dict[tuple[str, ...], list[tuple[str, int, int]]] = {}
    for workload in snapshot.workloads:
        key = ("workload", workload.namespace, workload.kind, workload.name)
        out.setdefault(key, []).extend((port.name, port.protocol, port.number) for port in workload.ports)
    return out


def _answer(
    world: World,
    judge: Judge,
    expectation: Expectation,
    source: End,
    destination: End,
    ports: dict[tuple[str, ...], list[tuple[str, int, int]]],
) -> Answer:
    if expectation.self_traffic:
        held = expectation.expect == "allow"
        return Answer(expectation, held, "allow", "allow", "allow", "a pod always reaches its own address")
    wanted = (source.needed, destination.needed) if expectation.expect == "allow" else (source.rows, destination.rows)
    got = egress = ingress = ""
    why = ""
    for a in wanted[0]:
        for b in wanted[1]:
            found = _pair(world, judge, expectation, a, b, ports)
            worse = found[0] != expectation.expect
            if not got or (worse and got == expectation.expect):
                got, egress, ingress, why = found
    return Answer(expectation, got == expectation.expect, got, egress, ingress, why)


def _pair(
    world: World,
    judge: Judge,
    expectation: Expectation,
    source: Row,
    destination: Row,
    ports: dict[tuple[str, ...], list[tuple[str, int, int]]],
) -> tuple[str, str, str, str]:
    """(verdict, egress, ingress, why) of one pair of rows."""
    points = _points(world, expectation, destination, ports)
    if points is None:
        masks = {name: pair_masks(world, source, destination, True, name) for name in ("egress", "ingress", None)}
        point = _telling_point(world, expectation, masks[None][0] | masks[None][1])
        _, decisions = judge.decide(source, destination, Probe(point), True)
        universe = _protocol_mask(world, expectation)
        said = [_any(masks[name][0] & universe, masks[name][1] & universe) for name in (None, "egress", "ingress")]
        return said[0], said[1], said[2], "; ".join(d.text for d in decisions)
    if not points:
        return "deny", "deny", "deny", f"{judge.names.id_of(destination)} has no port named {expectation.port}"
    best: tuple[str, str, str, str] | None = None
    for point in points:
        found = _at(world, judge, expectation, source, destination, point)
        if best is None or (best[0] == "deny" and found[0] != "deny"):
            best = found
    assert best is not None
    return best


def _at(
    world: World, judge: Judge, expectation: Expectation, source: Row, destination: Row, point: int
) -> tuple[str, str, str, str]:
    request = _request(expectation)
    verdict, decisions = judge.decide(source, destination, Probe(point, expectation.source_port, request), True)
    atom = world.atoms.atom(point, expectation.source_port)
    if request is None and atom is not None:
        open_, maybe = pair_masks(world, source, destination, True)
        by_rows = OPEN if open_ & atom else POSSIBLE if maybe & atom else CLOSED
        if by_rows != verdict:
            raise InternalError(
                f"two readings of {expectation.source} -> {expectation.destination} disagree: {by_rows}, {verdict}"
            )
    each = {d.checkpoint: d.verdict for d in decisions}
    egress, ingress = (_SAID[each.get(name, OPEN)] for name in ("egress", "ingress"))
    return _SAID[verdict], egress, ingress, "; ".join(d.text for d in decisions)


def _request(expectation: Expectation) -> Request | Lookup | None:
    if expectation.dns is not None:
        from bot.policies.dns_rules import Lookup

        return Lookup(expectation.dns)
    if expectation.http is None:
        return None
    from bot.policies.http_rules import Request

    parts = {key: str(value) for key, value in expectation.http.items() if key != "headers"}
    headers = expectation.http.get("headers")
    named = tuple((str(name), str(value)) for name, value in headers.items()) if isinstance(headers, dict) else ()
    return Request(**parts, headers=named)


def _points(
    world: World, expectation: Expectation, destination: Row, ports: dict[tuple[str, ...], list[tuple[str, int, int]]]
) -> list[int] | None:
    """The points of the traffic line that are asked about; None: every port."""
    if expectation.protocol in (ICMP, ICMPV6) and expectation.icmp_type is not None:
        return [expectation.protocol << 16 | expectation.icmp_type << 8 | (expectation.icmp_code or 0)]
    if isinstance(expectation.port, int) and expectation.protocol is not None:
        return [expectation.protocol << 16 | expectation.port]
    if isinstance(expectation.port, str):
        known = ports.get(destination.identity, [])
        return [
            protocol << 16 | number
            for name, protocol, number in known
            if name == expectation.port and protocol == expectation.protocol
        ]
    return None


def _protocol_mask(world: World, expectation: Expectation) -> int:
    if expectation.protocol is None:
        return world.atoms.everything
    return world.atoms.touching(expectation.protocol << 16, expectation.protocol << 16 | 0xFFFF)


def _telling_point(world: World, expectation: Expectation, mask: int) -> int:
    """A point where something is open, else the first of the protocol."""
    traffic = world.atoms.traffic(mask & _protocol_mask(world, expectation))
    return traffic[0].first if traffic else (expectation.protocol or 6) << 16 | 1


def _any(open_: int, maybe: int) -> str:
    return "allow" if open_ else "possible" if maybe else "deny"
