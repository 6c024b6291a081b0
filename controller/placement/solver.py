"""The one door to a solver: HiGHS or CBC, status, bound and gap honest on a limit, nothing on standard output.

Deterministic: one thread, fixed seed. Limits by gap or nodes give the same answer on every machine; a limit in
seconds doesn't, and is there for people who look at large instances.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import highspy
import pulp

#: "optimal" means proven to this relative gap; below it solvers differ by their tolerances only.
OPTIMAL_GAP = 1e-6
#: Asked of a solver by default: tighter than OPTIMAL_GAP, so that the two solvers' definitions of a gap don't matter.
DEFAULT_GAP = 1e-7
SEED = 1


@dataclass(frozen=True, slots=True)
class Solved:
    """status: "optimal" | "feasible" (a limit was reached; bound is proven) | "infeasible" | "unknown" (a limit was
    reached before any solution). objective is +inf and values empty without a solution; bound −inf when none is known.
    """

    status: str
    objective: float
    bound: float
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def gap(self) -> float:
        """(objective − bound) / objective; 0 for equal values, nan without a solution."""
        return relative_gap(self.objective, self.bound)


def relative_gap(objective: float, bound: float) -> float:
    """(objective − bound) / |objective|: 0 where they are equal, nan without a solution, +inf without a bound."""
    if not math.isfinite(objective):
        return math.nan
    if objective <= bound:
        return 0.0
    return (objective - bound) / abs(objective) if objective else math.inf


def solve(
    problem: pulp.LpProblem,
    backend: str | None = None,
    gap: float = DEFAULT_GAP,
    nodes: int | None = None,
    seconds: float | None = None,
) -> Solved:
    """Minimise the problem to a relative gap, within a number of branch-and-bound nodes, or seconds.

    backend: "highs", "cbc", or None for the first of these. Raises ValueError for another name, or a problem that the
    two would not see alike (maximisation, a constant in the objective), RuntimeError when the solver breaks.
    """
    name = backend or "highs"
    if name not in BACKENDS:
        raise ValueError(f"there is no solver {name!r}. There are: {', '.join(BACKENDS)}")
    if problem.sense != pulp.LpMinimize or problem.objective.constant:
        raise ValueError("the solver door takes a minimisation without a constant: a relative gap would lie otherwise")
    if math.isnan(gap) or gap < 0:
        raise ValueError(f"gap: found {gap}, allowed is 0 or more")
    if nodes is not None and nodes < 1:
        raise ValueError(f"nodes: found {nodes}, allowed is 1 (the root) or more")
    return BACKENDS[name](problem, gap, nodes, seconds)


def _judged(feasible: bool, objective: float, bound: float, values: Mapping[str, float]) -> Solved:
    """A solver's answer with the status that its own bound supports, whatever it calls itself."""
    if not feasible:
        return Solved("unknown", math.inf, bound)
    bound = min(bound, objective)
    status = "optimal" if relative_gap(objective, bound) <= OPTIMAL_GAP else "feasible"
    return Solved(status, objective, bound, values)


class _Quiet(highspy.Highs):
    """HiGHS without its banner: its own constructor writes one to standard output before any option can be set."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()  # the constructor below its own: no callbacks, no banner
        self.setOptionValue("output_flag", False)


def _highs(problem: pulp.LpProblem, gap: float, nodes: int | None, seconds: float | None) -> Solved:
    """HiGHS by its own interface: PuLP's reader calls a time limit optimal and doesn't know a node limit."""
    # HiGHS keeps one pool of threads per process and refuses another size: start from none.
    highspy.Highs.resetGlobalScheduler(True)
    highs = _Quiet()
    options: dict[str, int | float | str] = {"threads": 1, "parallel": "off", "random_seed": SEED}
    options |= {"mip_rel_gap": gap, "mip_abs_gap": 0.0}
    if nodes is not None:
        options["mip_max_nodes"] = nodes
    if seconds is not None:
        options["time_limit"] = float(seconds)
    for key, value in options.items():
        if highs.setOptionValue(key, value) != highspy.HighsStatus.kOk:
            raise RuntimeError(f"HiGHS {highs.version()} refuses its option {key} = {value}")
    problem.solverModel = highs
    pulp.HiGHS().buildSolverModel(problem)
    problem.solverModel = None  # the problem outlives the solver, and pickles without it
    if highs.run() == highspy.HighsStatus.kError:
        raise RuntimeError(f"HiGHS failed: {highs.modelStatusToString(highs.getModelStatus())}")
    status, info = highs.getModelStatus(), highs.getInfo()
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return Solved("infeasible", math.inf, math.inf)
    feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    columns = highs.getSolution().col_value
    values = {x.name: float(columns[x.index]) for x in problem.variables()} if feasible else {}
    continuous = not any(x.cat == pulp.LpInteger for x in problem.variables())
    if continuous:
        proven = status == highspy.HighsModelStatus.kOptimal
        bound = info.objective_function_value if proven else -math.inf
    else:
        bound = info.mip_dual_bound
    return _judged(feasible, info.objective_function_value, bound, values)


def _cbc(problem: pulp.LpProblem, gap: float, nodes: int | None, seconds: float | None) -> Solved:
    """CBC as PuLP ships it, in a scratch folder; the bound comes from its log, which is the only place it says it."""
    options = [f"randomCbcSeed {SEED}", f"randomSeed {SEED}"]
    with TemporaryDirectory(prefix="placement-") as folder:
        log = Path(folder, "cbc.log")
        cbc = pulp.COIN_CMD(
            path=pulp.PULP_CBC_CMD.pulp_cbc_path,  # the one in PuLP's wheel; the class itself is deprecated
            msg=False,
            gapRel=gap,
            maxNodes=nodes,
            timeLimit=seconds,
            logPath=str(log),
            options=options,
        )
        if not cbc.available():
            raise RuntimeError("CBC is not available for this machine: use the solver 'highs'")
        cbc.tmpDir = folder
        try:
            status = problem.solve(cbc)
        except pulp.PulpSolverError as error:
            raise RuntimeError(f"CBC failed: {error}") from error
        text = log.read_text(errors="replace")
    if status == pulp.LpStatusInfeasible:
        return Solved("infeasible", math.inf, math.inf)
    feasible = problem.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
    values = {x.name: float(x.varValue) for x in problem.variables()} if feasible else {}
    objective = float(problem.objective.value()) if feasible else math.inf
    return _judged(feasible, objective, _cbc_bound(text, objective), values)


def _cbc_bound(log: str, objective: float) -> float:
    """The bound CBC has proven: said in its closing summary, or the objective, or its last search line."""
    if summary := re.search(r"^Lower bound:\s+(\S+)", log, re.MULTILINE):
        return float(summary.group(1))
    if "Result - Optimal solution found" in log or "Optimal - objective value" in log:
        return objective
    search = re.findall(r"best possible (-?[\d.]+(?:e[+-]?\d+)?)", log)
    return float(search[-1]) if search else -math.inf


BACKENDS: Mapping[str, Callable[[pulp.LpProblem, float, int | None, float | None], Solved]] = {
    "highs": _highs,
    "cbc": _cbc,
}
