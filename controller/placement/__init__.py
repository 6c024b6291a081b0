"""Core placement, once per run: an integer program (docs/mathematics.md §2)."""

from __future__ import annotations

import numpy as np

from controller.decision import Placement
from controller.model import Model
from controller.placement import explain, program, strength
from controller.placement.outcome import DEFAULT_GAP, Limits, Solved
from controller.placement.parameters import PlacementParameters
from controller.placement.program import CONSTRAINTS, Program
from controller.placement.scalable import place_large
from controller.placement.solver import BACKENDS, solve
from controller.placement.tables import tables

__all__ = ["METHODS", "Infeasible", "LimitReached", "PlacementParameters", "place"]

#: Branch-and-bound nodes before the best placement so far is taken.
DEFAULT_NODES = 500
#: Shares below this are the solver's tolerance.
NOTICEABLE = 1e-6
#: Columns up to which the whole program goes to a solver; larger ones take the scalable path.
DIRECT = 2_000
#: What `backend` may name.
METHODS = (*BACKENDS, "scalable")


class Infeasible(ValueError):
    """No placement exists; the message says which service lacks which resource, where and by how much."""


class LimitReached(ValueError):
    """The limit came before any placement was found; whether one exists is not known."""


def place(
    model: Model,
    parameters: PlacementParameters | None = None,
    backend: str | None = None,
    gap: float = DEFAULT_GAP,
    nodes: int | None = DEFAULT_NODES,
    seconds: float | None = None,
) -> Placement:
    """Where the core services stand. Limits: relative gap, branch-and-bound nodes, seconds (not reproducible).

    backend: one of METHODS; None chooses by size: "highs" on the whole program, or "scalable", which keeps limits of
    its own and takes no seconds. status is "optimal", or "feasible" at a limit with bound and gap as proven. Raises
    Infeasible with the reason.
    """
    chosen, limits = parameters or PlacementParameters(), Limits(gap, nodes, seconds)
    if backend is not None and backend not in METHODS:
        raise ValueError(f"there is no solver {backend!r}. There are: {', '.join(METHODS)}")
    if not model.nodes or not model.ingresses:
        raise Infeasible("a placement needs a node and an ingress at the least; the topology has none")
    t = tables(model, chosen)
    if homeless := explain.homeless(t):
        raise Infeasible("; ".join(homeless))
    if not t.services:
        return Placement(
            {m.name: () for m in model.core}, "optimal", 0.0, 0.0, 0.0, {}, {}, "no task uses a core service"
        )
    costs = program.costs(t)
    columns = program.everything(t, costs)
    size = sum(int(mask.sum()) for mask in (columns.y, columns.z, columns.w))
    if backend == "scalable" or (backend is None and seconds is None and size > DIRECT):
        p, solved = place_large(t, costs, limits)
    else:
        p = program.assemble(t, costs, columns, (*CONSTRAINTS, strength.carried, strength.count))
        solved = solve(p.matrix(), backend, gap, nodes, seconds)
    if solved.status == "infeasible":
        reason = explain.shortage(t)
        raise Infeasible(reason or "the constraints of the placement contradict each other: relax r or sigma")
    if solved.status == "unknown":
        raise LimitReached(_limits(nodes, seconds))
    return _placement(p, solved)


def _limits(nodes: int | None, seconds: float | None) -> str:
    limits = [f"{nodes} branch-and-bound nodes"] * (nodes is not None) + [f"{seconds} s"] * (seconds is not None)
    return f"no core placement was found within {' and '.join(limits)}, and none ruled out: raise the limit"


def _placement(p: Program, solved: Solved) -> Placement:
    """The solver's values in the words of the model."""
    t, model = p.tables, p.tables.model
    y = np.zeros(t.holds.shape, bool)
    y[p.y_of] = solved.values[p.y] > 0.5
    hosts = {m.name: tuple(model.nodes[v].name for v in np.nonzero(y[i])[0]) for i, m in enumerate(t.services)}
    lost = np.bincount(p.s_of[0], t.share[p.s_of] * solved.values[p.s], len(t.services))
    unserved = {m.name: min(1.0, float(x)) for m, x in zip(t.services, lost, strict=True) if x > NOTICEABLE}
    left = [f"{m}: {share:.1%} of its planned demand is left unserved" for m, share in unserved.items()]
    flows = {
        (t.services[m].name, model.ingresses[o].name, model.nodes[v].name): min(1.0, z)
        for m, o, v, z in zip(*(axis.tolist() for axis in p.z_of), solved.values[p.z].tolist(), strict=True)
        if z > NOTICEABLE
    }
    return Placement(
        instances={m.name: hosts.get(m.name, ()) for m in model.core},
        status=solved.status,
        objective=solved.objective,
        bound=solved.bound,
        gap=solved.gap,
        flows=flows,
        unserved=unserved,
        explanation="; ".join([*explain.concessions(t), *left]),
    )
