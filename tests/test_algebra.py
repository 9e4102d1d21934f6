"""Traffic, intervals and address sets are Boolean algebras: each operation equals the one on plain sets of points."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.policies import addresses, intervals, traffic
from bot.policies.intervals import Intervals
from bot.policies.traffic import Box, Traffic
from tests.fuzz import examples

# Pieces lie within 0..12 so that edges meet; a set of points is then small enough to be written out.
PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=4)
SETS = PAIRS.map(intervals.normal)
LAST = traffic.LAST_PORT


def _points(pairs: Intervals) -> set[int]:
    return {point for first, last in pairs for point in range(first, last + 1)}


@examples(80)
@given(PAIRS)
def test_normal_intervals_are_canonical(pairs: list[tuple[int, int]]) -> None:
    found = intervals.normal(pairs)
    assert _points(found) == _points(tuple(pairs))
    assert all(before[1] + 1 < after[0] for before, after in pairwise(found))
    assert intervals.normal(found) == found


@examples(120)
@given(SETS, SETS)
def test_intervals_are_sets(left: Intervals, right: Intervals) -> None:
    a, b = _points(left), _points(right)
    for found, wanted in (
        (intervals.intersect(left, right), a & b),
        (intervals.subtract(left, right), a - b),
        (intervals.normal(left + right), a | b),
    ):
        assert _points(found) == wanted
        assert intervals.normal(found) == found, "not canonical"
    assert intervals.covers(left, right) == (b <= a)


@st.composite
def _boxes(draw: st.DrawFn) -> Box:
    protocol = draw(st.sampled_from((traffic.TCP, traffic.UDP)))
    edges = sorted(draw(st.sampled_from((0, 1, 2, 3, LAST - 1, LAST))) for _ in range(2))
    sources = (
        sorted(draw(st.sampled_from((0, 1, 2, LAST - 1, LAST))) for _ in range(2)) if draw(st.booleans()) else [0, LAST]
    )
    return Box(protocol << 16 | edges[0], protocol << 16 | edges[1], sources[0], sources[1])


TRAFFIC = st.lists(_boxes(), max_size=4).map(lambda boxes: traffic.union(tuple(boxes)))
PROBES = [
    (protocol << 16 | port, source)
    for protocol in (traffic.TCP, traffic.UDP)
    for port in (0, 1, 2, 3, 4, LAST - 2, LAST - 1, LAST)
    for source in (0, 1, 2, 3, LAST - 2, LAST - 1, LAST)
]
EVERYTHING = traffic.union(traffic.ports(traffic.TCP), traffic.ports(traffic.UDP))


def _holds(found: Traffic) -> set[tuple[int, int]]:
    return {
        (point, source)
        for point, source in PROBES
        if any(b.first <= point <= b.last and b.source_first <= source <= b.source_last for b in found)
    }


@examples(120)
@given(TRAFFIC, TRAFFIC)
def test_traffic_is_a_set_of_points(left: Traffic, right: Traffic) -> None:
    a, b = _holds(left), _holds(right)
    assert _holds(traffic.union(left, right)) == a | b
    assert _holds(traffic.intersect(left, right)) == a & b
    assert _holds(traffic.subtract(left, right)) == a - b


@examples(120)
@given(TRAFFIC, TRAFFIC, TRAFFIC)
def test_traffic_is_a_boolean_algebra(x: Traffic, y: Traffic, z: Traffic) -> None:
    union, meet, minus = traffic.union, traffic.intersect, traffic.subtract
    assert union(x, y) == union(y, x)
    assert meet(x, y) == meet(y, x)
    assert union(x, union(y, z)) == union(union(x, y), z)
    assert meet(x, meet(y, z)) == meet(meet(x, y), z)
    assert union(x, meet(x, y)) == x == meet(x, union(x, y))
    assert meet(x, union(y, z)) == union(meet(x, y), meet(x, z))
    assert union(x, meet(y, z)) == meet(union(x, y), union(x, z))
    assert union(x, minus(EVERYTHING, x)) == EVERYTHING
    assert meet(x, minus(EVERYTHING, x)) == traffic.NOTHING
    assert minus(x, y) == meet(x, minus(EVERYTHING, y))
    assert minus(EVERYTHING, union(x, y)) == meet(minus(EVERYTHING, x), minus(EVERYTHING, y))
    assert minus(EVERYTHING, minus(EVERYTHING, x)) == x


@examples(80)
@given(st.lists(TRAFFIC, min_size=1, max_size=4))
def test_atoms_turn_traffic_into_masks_and_back(used: list[Traffic]) -> None:
    atoms = traffic.Atoms(EVERYTHING, used)
    assert atoms.traffic(atoms.everything) == EVERYTHING
    for one in used:
        assert atoms.traffic(atoms.mask(one)) == one
        for other in used:
            assert atoms.mask(one) & atoms.mask(other) == atoms.mask(traffic.intersect(one, other))
            assert atoms.mask(one) | atoms.mask(other) == atoms.mask(traffic.union(one, other))
            assert atoms.mask(one) & ~atoms.mask(other) == atoms.mask(traffic.subtract(one, other))
    for point, source in PROBES:
        mask = atoms.atom(point, source)
        assert mask is not None
        assert all(bool(mask & atoms.mask(one)) == ((point, source) in _holds(one)) for one in used)


CIDRS = st.one_of(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda p: str(ip_network(p, strict=False))),
    st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(lambda p: str(ip_network(p, strict=False))),
)


@examples(120)
@given(CIDRS)
def test_a_cidr_is_its_first_to_its_last_address(cidr: str) -> None:
    network = ip_network(cidr)
    ((first, last),) = addresses.parse_cidr(cidr)
    assert (first, last) == (
        addresses.parse_address(str(network.network_address)),
        addresses.parse_address(str(network.broadcast_address)),
    )
    assert addresses.cidrs(((first, last),)) == [cidr]
    assert addresses.words(((first, last),)) == [cidr]
    assert addresses.address_word(first) == str(network.network_address)


@examples(80)
@given(st.lists(CIDRS, max_size=3), st.lists(CIDRS, max_size=3))
def test_address_sets_are_sets(left: list[str], right: list[str]) -> None:
    a, b = (intervals.normal(p for cidr in cidrs for p in addresses.parse_cidr(cidr)) for cidrs in (left, right))
    probes = {ip_network(cidr)[at] for cidr in left + right for at in (0, -1)} | {
        ip_address("0.0.0.0"),
        ip_address("::"),
    }
    for probe in probes:
        point = addresses.parse_address(str(probe))
        in_left, in_right = (
            any(probe.version == ip_network(c).version and probe in ip_network(c) for c in cidrs)
            for cidrs in (left, right)
        )
        for found, wanted in (
            (a, in_left),
            (intervals.intersect(a, b), in_left and in_right),
            (intervals.subtract(a, b), in_left and not in_right),
        ):
            assert any(first <= point <= last for first, last in found) == wanted
    rebuilt = intervals.normal(p for cidr in addresses.cidrs(a) for p in addresses.parse_cidr(cidr))
    assert rebuilt == a


@pytest.mark.parametrize(
    "text", ["10.0.0.0/33", "10.0.0/8", "256.0.0.0/8", "10.0.0.0/-1", "::/129", "fe80::1%eth0", "", "/8", "a"]
)
def test_what_is_no_cidr(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        addresses.parse_cidr(text)


def test_host_bits_are_masked_and_known() -> None:
    assert addresses.parse_cidr("10.0.1.7/24") == addresses.parse_cidr("10.0.1.0/24")
    assert addresses.host_bits("10.0.1.7/24")
    assert not addresses.host_bits("10.0.1.0/24")
    assert addresses.host_bits("fd00::1/64")
