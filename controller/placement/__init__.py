"""Core placement, once per run: an integer program (docs/mathematics.md §2)."""

from __future__ import annotations

from controller.decision import Placement
from controller.model import Model
from controller.placement import explain
from controller.placement.parameters import PlacementParameters
from controller.placement.program import Program, build
from controller.placement.solver import DEFAULT_GAP, Solved, solve

__all__ = ["Infeasible", "LimitReached", "PlacementParameters", "place"]

#: Branch-and-bound nodes before the best placement so far is taken.
DEFAULT_NODES = 500
#: Shares below this are the solver's tolerance.
NOTICEABLE = 1e-6


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

    status is "optimal", or "feasible" at a limit with bound and gap as proven. Raises Infeasible with the reason.
    """
    chosen = parameters or PlacementParameters()
    if not model.nodes or not model.ingresses:
        raise Infeasible("a placement needs a node and an ingress at the least; the topology has none")
    if homeless := explain.homeless(model, chosen):
        raise Infeasible("; ".join(homeless))
    program = build(model, chosen)
    if not program.tables.services:
        return Placement(
            {m.name: () for m in model.core}, "optimal", 0.0, 0.0, 0.0, {}, {}, "no task uses a core service"
        )
    solved = solve(program.problem, backend, gap, nodes, seconds)
    if solved.status == "infeasible":
        reason = explain.shortage(model, chosen, backend)
        raise Infeasible(reason or "the constraints of the placement contradict each other: relax r or sigma")
    if solved.status == "unknown":
        raise LimitReached(_limits(nodes, seconds))
    return _placement(program, solved)


def _limits(nodes: int | None, seconds: float | None) -> str:
    limits = [f"{nodes} branch-and-bound nodes"] * (nodes is not None) + [f"{seconds} s"] * (seconds is not None)
    return f"no core placement was found within {' and '.join(limits)}, and none ruled out: raise the limit"


def _placement(program: Program, solved: Solved) -> Placement:
    """The solver's values in the words of the model."""
    model, tables, values = program.model, program.tables, solved.values
    present = {key for key, y in program.y.items() if values[y.name] > 0.5}
    unserved = dict.fromkeys((m.name for m in tables.services), 0.0)
    for (m, o), s in program.s.items():
        unserved[m] += tables.demand[m, o] / tables.total[m] * values[s.name]
    unserved = {m: min(1.0, share) for m, share in unserved.items() if share > NOTICEABLE}
    left = [f"{m}: {share:.1%} of its planned demand is left unserved" for m, share in unserved.items()]
    return Placement(
        instances={m.name: tuple(v.name for v in model.nodes if (m.name, v.name) in present) for m in model.core},
        status=solved.status,
        objective=solved.objective,
        bound=solved.bound,
        gap=solved.gap,
        flows={key: min(1.0, values[z.name]) for key, z in program.z.items() if values[z.name] > NOTICEABLE},
        unserved=unserved,
        explanation="; ".join([*explain.concessions(model, program.parameters), *left]),
    )
