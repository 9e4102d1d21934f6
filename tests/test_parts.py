"""A row told in parts (near and far of its namespace) is the row told whole, in every recorded scenario of every API."""

from __future__ import annotations

import pytest

from bot.policies.compile import lower
from bot.reachability.cells import Cell
from bot.reachability.world import World
from tests.corpora import scenarios
from tests.policies.worlds import snapshot


def _by_atom(cells: list[Cell], atoms: int, among: int, start: int = 0) -> dict[int, tuple[object, ...]]:
    """For each atom: the slots `among` that are open and possible, and the requests that they are limited to."""
    out: dict[int, tuple[object, ...]] = {}
    for cell in cells:
        limits = {l7: bits << start & among for l7, bits in cell.limits if bits << start & among}
        for atom in range(atoms.bit_length()):
            if cell.mask >> atom & 1:
                out[atom] = (cell.open << start & among, cell.maybe << start & among, limits)
    return out


@pytest.mark.parametrize("corpus", ["kubernetes", "cilium", "calico"])
def test_parts_are_the_whole(corpus: str) -> None:
    compared = 0
    for scenario in scenarios(corpus):
        read = snapshot(scenario["manifests"])
        cni = corpus if corpus != "kubernetes" else None
        world = World(read, read, lower(read, read, cni))
        world.prepare()
        evaluator, atoms = world.evaluator, world.atoms.everything
        for namespace in world.universe.windows:
            run = world.resolver.run_of(namespace)
            if run is None:
                continue
            inside = ((1 << run[1]) - 1) << run[0]
            outside = world.resolver.everything & ~inside
            for axis in ("source", "destination"):
                for checkpoint in world.checkpoints[True]:
                    stack = world.stack(checkpoint, axis, True)
                    for slot in range(run[0], sum(run)):
                        key = evaluator.key(stack, slot)
                        whole = evaluator.row(stack, slot, key)
                        far, near = (evaluator.cells(part) for part in evaluator.parts(stack, key, run))
                        assert _by_atom(far, atoms, outside) == _by_atom(whole, atoms, outside), scenario["id"]
                        assert _by_atom(near, atoms, inside, run[0]) == _by_atom(whole, atoms, inside), scenario["id"]
                        compared += any(key)
    assert compared > 100
