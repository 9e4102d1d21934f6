"""The evaluator against the second reading, and the diff against itself, on random clusters and random changes of them."""

from __future__ import annotations

import itertools
import re
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from bot.reachability.analysis import Difference
from bot.reachability.change import Change, EndpointFacts, PairChange
from tests.fuzz import examples
from tests.product import Ends, compared, listed, sides, telling_ports, verdict_at
from tests.reference.cluster import Cluster, Pod
from tests.reference.reading import End, Question, Verdict, verdict
from tests.worlds import PROTOCOLS, World, changes, worlds

POD_CIDRS = st.sampled_from(((), ("10.0.0.0/8",), ("10.1.0.0/16", "10.2.0.0/16")))
Traffics = tuple[Any, Any]
NOTHING: Traffics = ((), ())
MOST_ENDPOINTS = 14  # of one diff; each costs a second reading of every port to and from each other one


def _questions(cluster: Cluster, source: End, destination: End, ports: list[int], pod_cidrs: tuple[str, ...]) -> Any:
    for protocol, port in itertools.product(PROTOCOLS, ports):
        yield protocol, port, verdict(Question(cluster, source, destination, protocol, port, pod_cidrs=pod_cidrs))


def _agrees(
    ends: Ends, source: str, destination: str, ports: list[int], pod_cidrs: tuple[str, ...], traffics: Traffics
) -> None:
    for one, other in itertools.product(ends.of(source), ends.of(destination)):
        if isinstance(one, str) and isinstance(other, str):
            continue
        for protocol, port, wanted in _questions(ends.cluster, one, other, ports, pod_cidrs):
            got = verdict_at(*traffics, protocol, port)
            assert got == wanted, (
                f"{source} -> {destination} {port}/{protocol}: {got.name}, second reading: {wanted.name}"
            )


def _check_listing(world: World, pod_cidrs: tuple[str, ...]) -> None:
    loaded, found = listed(world, pod_cidrs)
    ends = Ends(world, loaded.lowered, found.endpoints.values())
    ports = telling_ports(world, free=ends.free)
    paths = {(path.source, path.destination): (path.open, path.possible) for path in found.paths}
    assert len(paths) == len(found.paths), "a pair is listed twice"
    for source, destination in itertools.permutations(found.endpoints, 2):
        _agrees(ends, source, destination, ports, pod_cidrs, paths.get((source, destination), NOTHING))


@examples(60)
@given(worlds(), POD_CIDRS)
def test_open_paths_are_those_of_the_second_reading(world: World, pod_cidrs: tuple[str, ...]) -> None:
    _check_listing(world, pod_cidrs)


@examples(30)
@given(worlds(admin=True, most=3))
def test_open_paths_with_admin_policies_are_those_of_the_second_reading(world: World) -> None:
    _check_listing(world, ())


# --- The diff ---


class Values(NamedTuple):
    """What a diff says of a pair, whether it stands in a row or in the list of pairs."""

    before: Any
    after: Any
    before_possible: Any
    after_possible: Any
    endpoint: str


NO_CHANGE = Values((), (), (), (), "")


def _values(said: PairChange | Change) -> Values:
    return Values(said.before, said.after, said.before_possible, said.after_possible, said.endpoint)


def _pairs(found: Difference) -> dict[tuple[str, str], Values]:
    assert found.pairs is not None
    pairs = {(pair.source, pair.destination): _values(pair) for pair in found.pairs}
    assert len(pairs) == len(found.pairs), "a pair is listed twice"
    return pairs


def _cells(rows: tuple[Change, ...]) -> dict[tuple[str, str], Values]:
    cells: dict[tuple[str, str], Values] = {}
    for row in rows:
        assert row.paths == len(row.sources) * len(row.destinations)
        for cell in itertools.product(row.sources, row.destinations):
            assert cell not in cells, "a pair stands in two rows"
            cells[cell] = _values(row)
    return cells


@examples(50)
@given(changes(exposed=True), POD_CIDRS)
def test_rows_expand_to_the_changed_pairs(change: tuple[World, World], pod_cidrs: tuple[str, ...]) -> None:
    found = compared(sides(*change, pod_cidrs))
    cells = _cells(found.changes)
    assert {cell: values for cell, values in cells.items() if cell[0] != cell[1]} == {
        cell: values for cell, values in _pairs(found).items() if cell[0] != cell[1]
    }
    for said in cells.values():
        assert (said.before, said.before_possible) != (said.after, said.after_possible)
    assert [row.id for row in found.changes] == [f"c{n}" for n in range(1, len(found.changes) + 1)]
    for row in found.changes:
        assert {*row.sources, *row.destinations} <= {*found.endpoints}
        assert row.causes, "a row without a cause"


@examples(50)
@given(changes(exposed=True), POD_CIDRS)
def test_the_reverse_change_is_the_mirror(change: tuple[World, World], pod_cidrs: tuple[str, ...]) -> None:
    forth = compared(sides(*change, pod_cidrs))
    back = compared(sides(change[1], change[0], pod_cidrs))
    mirrored = {
        cell: Values(said.after, said.before, said.after_possible, said.before_possible, _mirrored(said.endpoint))
        for cell, said in _pairs(back).items()
    }
    assert _pairs(forth) == mirrored
    assert (forth.totals.opened, forth.totals.closed) == (back.totals.closed, back.totals.opened)
    assert forth.totals.changed == back.totals.changed


def _mirrored(endpoint: str) -> str:
    swapped = {"added": "removed", "removed": "added"}
    return re.sub("added|removed", lambda found: swapped[found[0]], endpoint)


@examples(20)
@given(worlds(exposed=True), POD_CIDRS, st.booleans())
def test_nothing_changes_between_a_world_and_itself(world: World, pod_cidrs: tuple[str, ...], apart: bool) -> None:
    found = compared(sides(world, world, pod_cidrs, apart))
    assert found.changes == ()
    assert found.pairs == ()


@examples(60)
@given(changes(exposed=True, edits=4), POD_CIDRS)
def test_the_incremental_diff_is_the_full_one(change: tuple[World, World], pod_cidrs: tuple[str, ...]) -> None:
    loaded = sides(*change, pod_cidrs)
    quick, full = compared(loaded), compared(loaded, full=True)
    assert _pairs(quick) == _pairs(full)
    assert _causes(quick.changes) == _causes(full.changes)
    assert quick.totals == full.totals
    assert quick.endpoints == full.endpoints
    assert (quick.assumptions, quick.objects, quick.over_budget) == (full.assumptions, full.objects, full.over_budget)


def _causes(rows: tuple[Change, ...]) -> dict[tuple[str, str], tuple[Any, ...]]:
    """By pair: how rows are cut may differ, what they say of a pair may not."""
    return {cell: row.causes for row in rows for cell in itertools.product(row.sources, row.destinations)}


@examples(40)
@given(changes(), POD_CIDRS)
def test_the_diff_is_that_of_the_second_reading(change: tuple[World, World], pod_cidrs: tuple[str, ...]) -> None:
    """What is listed has the right verdicts on both sides; what is not listed did not change."""
    loaded = sides(*change, pod_cidrs)
    found = compared(loaded)
    facts = [*found.endpoints.values(), *_every_known(*change, found)]
    facts.sort(key=lambda fact: fact.kind == "workload")
    before = Ends(change[0], loaded.lowered, facts, change[1])
    after = Ends(change[1], loaded.lowered, facts, change[0])
    ports = telling_ports(*change, free=before.free)
    pairs = _pairs(found)
    for source, destination in itertools.permutations([fact.id for fact in facts[-MOST_ENDPOINTS:]], 2):
        said = pairs.get((source, destination), NO_CHANGE)
        if said is not NO_CHANGE:
            traffics = (said.before, said.before_possible), (said.after, said.after_possible)
            _agrees(before, source, destination, ports, pod_cidrs, traffics[0])
            _agrees(after, source, destination, ports, pod_cidrs, traffics[1])
        else:
            _unchanged(before, after, source, destination, ports, pod_cidrs)


def _every_known(base: World, head: World, found: Difference) -> list[EndpointFacts]:
    """Workloads of both sides that no row has; addresses are told apart only where rows have them."""
    have = {(f.object_kind, f.namespace, f.name) for f in found.endpoints.values() if f.kind == "workload"}
    ends = Ends([*base, *head], sides(base, head).lowered, ())
    return [
        EndpointFacts(f"{pod.namespace}/{pod.kind}/{pod.name}", "workload", pod.kind, pod.namespace, pod.name)
        for pod in ends.cluster.pods
        if (pod.kind, pod.namespace, pod.name) not in have
    ]


def _unchanged(
    before: Ends, after: Ends, source: str, destination: str, ports: list[int], pod_cidrs: tuple[str, ...]
) -> None:
    pairs_before = list(itertools.product(before.of(source), before.of(destination)))
    pairs_after = list(itertools.product(after.of(source), after.of(destination)))
    for was, became in itertools.zip_longest(pairs_before, pairs_after):
        verdicts = []
        for cluster, pair in ((before.cluster, was), (after.cluster, became)):
            if pair is None or all(isinstance(end, str) for end in pair):
                verdicts.append([Verdict.CLOSED] * len(PROTOCOLS) * len(ports))
            else:
                verdicts.append([v for *_, v in _questions(cluster, pair[0], pair[1], ports, pod_cidrs)])
        assert verdicts[0] == verdicts[1], f"{source} -> {destination} changed, and no row says so"


# --- Pods that are in no repository ---

SMALL = {"tier", "team"}
POD_VALUES, NAMESPACE_VALUES = (None, "web", "", "x"), (None, "prod", "x")


def _small(value: Any) -> Any:
    """A world over one pod label and one namespace label, so that all possible pods can be written out."""
    if isinstance(value, dict):
        return {key: _small(inner) for key, inner in value.items() if key not in SMALL}
    if isinstance(value, list):
        return [_small(inner) for inner in value if not (isinstance(inner, dict) and inner.get("key") in SMALL)]
    return value


@examples(40)
@given(changes().map(lambda change: (_small(change[0]), _small(change[1]))))
def test_every_opening_among_all_possible_pods_is_shown(change: tuple[World, World]) -> None:
    """For each port that opens between any two pods there could be, a row opens it between representatives."""
    loaded = sides(*change)
    found = compared(loaded)
    assert not found.over_budget
    elsewhere = {f"elsewhere-{value}": _label("env", value) for value in NAMESPACE_VALUES}
    ends = [Ends(world, loaded.lowered, ()) for world in change]
    clusters = [_with(one.cluster, elsewhere) for one in ends]
    pods = [
        Pod("possible", namespace, f"{namespace}/{value}", _label("app", value), ends[0].free)
        for namespace in clusters[0].namespaces
        if namespace in clusters[1].namespaces
        for value in POD_VALUES
    ]
    points = set(itertools.product(PROTOCOLS, telling_ports(*change, free=ends[0].free, around=0)))
    for pair in found.pairs or ():
        points -= {point for point in points if _opens(pair, *point)}
    for source, destination in itertools.permutations(pods, 2):
        for protocol, port in points:
            was, became = (verdict(Question(cluster, source, destination, protocol, port)) for cluster in clusters)
            assert became <= was, f"{source.name} -> {destination.name} {port}/{protocol} opens, and no row says so"


def _label(key: str, value: str | None) -> dict[str, str]:
    return {} if value is None else {key: value}


def _with(cluster: Cluster, namespaces: dict[str, dict[str, str]]) -> Cluster:
    named = {name: {**labels, "kubernetes.io/metadata.name": name} for name, labels in namespaces.items()}
    return cluster._replace(namespaces={**named, **cluster.namespaces})


def _opens(pair: PairChange, protocol: str, port: int) -> bool:
    was = verdict_at(pair.before, pair.before_possible, protocol, port)
    return was < verdict_at(pair.after, pair.after_possible, protocol, port)


def test_a_pod_that_the_other_policy_leaves_out() -> None:
    """A changed selector is met without each other one too: here that pod is the only one for which a path opens."""
    egress = {"podSelector": {}, "policyTypes": ["Egress"]}
    others = {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}
    stays = _policy("stays", {**egress, "podSelector": others})
    found = compared(sides([stays, _policy("p", egress)], [stays, _policy("p", {"podSelector": {}})]))
    opened = {source for row in found.changes if row.change == "opened" for source in row.sources}
    assert "a pod {app: web} in namespace alpha" in opened


def _policy(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "alpha"}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
