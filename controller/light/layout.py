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
from dataclasses import dataclass, field

from controller.light import loops
from controller.light.law import Array, Flags, Whole

#: Changes that a first layout may make, each because it pays; later ones make one at most.
ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Problem:
    """One service in one pool; by column unless said.

    rank: order of the names; domain: number of the cluster; costs: c_gv, s, clusters × columns; demand: λ_g, per s, by
    cluster; current: workers of the instances that count, 0 for none; fixed: whose instance may not be closed or moved
    now (not ready yet); room: most workers a node can take, its present ones included; keep and deploy: V price c_mt
    and V price c_dp; delay: ν/w, cost units per second of delay; horizon: slots within which a change has to pay; last:
    the service has no instance outside this pool, so one must stay.
    """

    rank: Whole
    domain: Whole
    costs: Array
    demand: Array
    current: Whole
    fixed: Flags
    room: Whole
    keep: Array
    deploy: Array
    delay: float
    workers: int
    horizon: float
    last: bool = True


@dataclass(frozen=True, slots=True)
class Arrangement:
    """workers per column; `gains`: why a voluntary change pays, column → sentence; short: workers without room."""

    workers: Mapping[int, int]
    gains: Mapping[int, str] = field(default_factory=dict)
    short: int = 0


def arrange(p: Problem, changes: int = 1) -> Arrangement:
    """Forced openings and closings first, then at most `changes` voluntary ones, then the workers are split."""
    nodes, given, opened, closed, gain, saved = loops.arranged(
        p.costs, p.demand, p.current, p.fixed, p.room, p.domain, p.rank, p.keep, p.deploy, p.delay, p.horizon,
        p.workers, p.last, changes,
    )  # fmt: skip
    workers = dict(zip(nodes.tolist(), given.tolist(), strict=True))
    gains = _gains(p, opened, closed, gain, saved) if opened >= 0 or closed >= 0 else {}
    return Arrangement(workers, gains, max(0, p.workers - sum(workers.values())))


def _gains(p: Problem, opened: int, closed: int, gain: float, saved: float) -> dict[int, str]:
    """The sentence for both ends of a change. saved: request-seconds per s."""
    total = float(p.demand.sum())
    each = saved / total if total > 0 else 0.0
    keep = (float(p.keep[opened]) if opened >= 0 else 0.0) - (float(p.keep[closed]) if closed >= 0 else 0.0)
    sentence = (
        f"{'saves' if each >= 0 else 'costs'} {1e3 * abs(each):.1f} ms per request and changes "
        f"c_mt by {keep:+.2f} per slot: worth {gain:.2f} over {p.horizon:.0f} slots after c_dp"
    )
    return {v: sentence for v in (opened, closed) if v >= 0}
