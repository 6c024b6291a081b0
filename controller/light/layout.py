"""Where the workers of one pool stand: a small facility-location search (docs/mathematics.md, eq. (26)).

S: nodes with an instance. Per slot, in cost units,

    J(S) = V Σ_{v∈S} price_v c_mt + ν Σ_g λ_g min_{v∈S} c_gv / w

c_gv: predicted seconds of a request of cluster g served on v (path in, service on v, path out); ν/w turns a second
of delay into the penalty of a lost share of the waiting budget. An opening pays c_dp, a closing has to save c_dp, a
move pays c_dp once; each must earn that within the horizon. All of it is deterministic, ties go to the first name.

Nodes are columns, numbered from 0. All openings, closings and swaps are valued at once, from the least and the second
least cost of each cluster (loops/search.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.light import loops
from controller.light.law import Array, Whole
from controller.light.sites import Offers
from controller.light.slot import Slot
from controller.model import Light

#: Changes that a first layout may make, each because it pays; later ones make one at most.
ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Layout:
    """Of one pool. workers: by node; gains: why a voluntary change pays, node → sentence."""

    workers: Mapping[str, int]
    gains: Mapping[str, str]


def arrange(
    slot: Slot, m: Light, there: Offers, demand: Array, members: Whole, first: Whole, due: Whole, workers: Whole,
    only: int, changes: Whole,
) -> list[Layout]:  # fmt: skip
    """Of the pools `due`: forced openings and closings, then at most `changes` that pay, then the workers are split.

    demand: λ_g, per s, by cluster; members: clusters of all pools, each from `first`; workers: wanted, by pool; only:
    the pool outside which there will be no instance, so that one must stay (−1: none); changes: of those due.
    """
    p, found = slot.state.parameters, slot.index
    price = p.V * found.price
    at, given, begin, *changed = loops.arranged_each(
        there.costs, demand, members, first, due, there.begin, there.columns, there.domain, there.current, there.fixed,
        there.room, found.by_name, price, m.costs.keep, m.costs.deploy, p.delay_value / slot.state.budgets[m.name],
        p.move_horizon, workers, only, changes,
    )  # fmt: skip
    nodes = there.columns.tolist()
    stands = list(zip([found.names[nodes[v]] for v in at.tolist()], given.tolist(), strict=True))
    starts = begin.tolist()
    layouts: list[Layout] = []
    for k, (opened, closed, gain, saved) in enumerate(zip(*(x.tolist() for x in changed), strict=True)):
        ends = [nodes[v] for v in (opened, closed) if v >= 0]
        gains: dict[str, str] = {}
        if ends:
            total = float(demand[members[first[due[k]] : first[due[k] + 1]]].sum())
            keep = [float(price[nodes[v]]) * m.costs.keep if v >= 0 else 0.0 for v in (opened, closed)]
            sentence = _gain(saved / total if total > 0 else 0.0, keep[0] - keep[1], gain, p.move_horizon)
            gains = dict.fromkeys([found.names[v] for v in ends], sentence)
        layouts.append(Layout(dict(stands[starts[k] : starts[k + 1]]), gains))
    return layouts


def _gain(each: float, keep: float, gain: float, horizon: float) -> str:
    """Why a change pays. each: s saved per request; keep: more of V c_mt per slot; gain: cost units over `horizon`."""
    return (
        f"{'saves' if each >= 0 else 'costs'} {1e3 * abs(each):.1f} ms per request and changes "
        f"c_mt by {keep:+.2f} per slot: worth {gain:.2f} over {horizon:.0f} slots after c_dp"
    )
