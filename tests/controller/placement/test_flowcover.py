"""Flow covers (51): every one that is found holds for all whole instances, and cuts the point off it was found at."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from benchmarks.instances import instance
from controller.placement import flowcover, program, relaxation
from controller.placement.flowcover import FlowCover
from controller.placement.matrix import Floats
from controller.placement.solver import solve
from controller.placement.tables import Tables, tables


def left_side(t: Tables, f: FlowCover, y: Floats, z: Floats) -> float:
    """Σ_{o∈S, v∈C∪L} Λ_mo z_mov − Σ_v closing_v y_mv, term by term."""
    flow = sum(t.demand[f.service, o] * z[f.service, o, v] for o in f.ingresses for v in f.nodes)
    return float(flow - sum(a * y[f.service, v] for a, v in zip(f.closing, f.nodes, strict=True)))


def fractional(nodes: int, seed: int) -> tuple[Tables, program.Costs, Floats, Floats]:
    model, parameters = instance(nodes, 5, seed)
    t = tables(model, parameters)
    c = relaxation.folded(t, program.costs(t))
    p = relaxation.pieces(t, c, t.holds, [])
    x = solve(p.matrix(relaxed=True)).values
    return (
        t,
        c,
        relaxation.spread(p.y_of, x[p.y], t.holds.shape),
        relaxation.spread(p.z_of, x[p.z], t.serves.shape),
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_cover_cuts_off_the_point_it_was_found_at(seed: int) -> None:
    t, _, y, z = fractional(60, seed)
    found = flowcover.violated(t, y, z)
    assert found
    for f in found:
        assert left_side(t, f, y, z) > f.most


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_whole_instances_break_a_cover(seed: int) -> None:
    """The most that any y in {0, 1} and z within (11) and (12) give its left side, by a solver without the row."""
    t, c, y, z = fractional(40, seed)
    p = relaxation.pieces(t, c, t.holds, [])
    matrix = p.matrix()
    rows = slice(0, p.rows.blocks["capacity"].stop)
    assert set(p.rows.blocks) > {"coverage", "linking", "capacity"}
    for f in flowcover.violated(t, y, z)[::7]:
        only = relaxation.pieces(t, c, t.holds, [], flows=[f])
        row = only.matrix()
        last = slice(row.start[-2], row.start[-1])
        cost = np.zeros(matrix.columns)
        cost[row.index[last]] = -row.value[last]
        most = -solve(replace(matrix, cost=cost, row_lower=_free_after(matrix.row_lower, rows))).objective
        assert most <= f.most + 1e-6


def _free_after(lower: Floats, rows: slice) -> Floats:
    """Lower sides with those of the rows after these taken away: N−1, diversity and the like ask for nothing."""
    free = np.full(len(lower), -np.inf)
    free[rows] = lower[rows]
    return free


def test_two_instances_that_share_two_ingresses_by_hand() -> None:
    """Caps 40 and 40, demands 30 and 30: λ = 20, closing = 20. y = 3/4 each carries all of it, and is cut off."""
    model, parameters = instance(8, 5, 1)
    t = tables(model, parameters)
    t = replace(
        t,
        demand=np.tile([30.0, 30.0], (5, 1)),
        cap=np.full(t.cap.shape, 40.0),
        serves=np.ones(t.serves.shape, bool),
    )
    y, z = np.zeros(t.holds.shape), np.zeros(t.serves.shape)
    y[0, :2], z[0, :, :2] = 0.75, 0.5
    both = [f for f in flowcover.violated(t, y, z) if len(f.ingresses) == 2]
    assert [(f.nodes.tolist(), f.closing.tolist(), f.most) for f in both] == [([0, 1], [20.0, 20.0], 20.0)]
    for open_ in product((0.0, 1.0), repeat=2):
        carried = min(60.0, 40.0 * sum(open_))
        assert carried - 20.0 * sum(open_) <= both[0].most
