"""The program as a PuLP model, for CBC and for PuLP's own way to HiGHS: what one would write without a matrix.

PuLP wants names without surprises: columns are x0, x1, … in the order of the matrix.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import highspy
import numpy as np
import pulp

from controller.placement.matrix import Floats, Matrix
from controller.placement.outcome import SEED, Limits, Solved, judged


def model(matrix: Matrix) -> tuple[pulp.LpProblem, list[pulp.LpVariable]]:
    """The matrix as a PuLP minimisation, and its variables by column."""
    problem = pulp.LpProblem("placement", pulp.LpMinimize)
    x = [
        pulp.LpVariable(
            f"x{j}", low, high if math.isfinite(high) else None, pulp.LpInteger if whole else pulp.LpContinuous
        )
        for j, (low, high, whole) in enumerate(
            zip(matrix.lower.tolist(), matrix.upper.tolist(), matrix.integer.tolist(), strict=True)
        )
    ]
    problem.addVariables(x)
    problem.setObjective(pulp.LpAffineExpression(list(zip(x, matrix.cost.tolist(), strict=True))))
    start, index, value = matrix.start.tolist(), matrix.index.tolist(), matrix.value.tolist()
    for i, (low, high) in enumerate(zip(matrix.row_lower.tolist(), matrix.row_upper.tolist(), strict=True)):
        terms = [(x[index[k]], value[k]) for k in range(start[i], start[i + 1])]
        for sense, side in _sides(low, high):
            problem.addConstraint(pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, rhs=side))
    return problem, x


def _sides(low: float, high: float) -> list[tuple[int, float]]:
    if low == high:
        return [(pulp.LpConstraintEQ, low)]
    sides = [(pulp.LpConstraintGE, low)] if math.isfinite(low) else []
    return sides + ([(pulp.LpConstraintLE, high)] if math.isfinite(high) else [])


def _values(x: list[pulp.LpVariable]) -> Floats:
    return np.array([v.varValue or 0.0 for v in x])


def cbc(matrix: Matrix, limits: Limits, start: Floats | None = None) -> Solved:
    """CBC as PuLP ships it, in a scratch folder; the bound comes from its log, which is the only place it says it."""
    problem, x = model(matrix)
    options = [f"randomCbcSeed {SEED}", f"randomSeed {SEED}"]
    with TemporaryDirectory(prefix="placement-") as folder:
        log = Path(folder, "cbc.log")
        solver = pulp.COIN_CMD(
            path=pulp.PULP_CBC_CMD.pulp_cbc_path,  # the one in PuLP's wheel; the class itself is deprecated
            msg=False,
            gapRel=limits.gap,
            maxNodes=limits.nodes,
            timeLimit=limits.seconds,
            logPath=str(log),
            options=options,
        )
        if not solver.available():
            raise RuntimeError("CBC is not available for this machine: use the solver 'highs'")
        solver.tmpDir = folder
        try:
            status = problem.solve(solver)
        except pulp.PulpSolverError as error:
            raise RuntimeError(f"CBC failed: {error}") from error
        text = log.read_text(errors="replace")
    if status == pulp.LpStatusInfeasible:
        return Solved("infeasible", math.inf, math.inf)
    feasible = problem.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
    objective = float(problem.objective.value()) if feasible else math.inf
    return judged(feasible, objective, _cbc_bound(text, objective), _values(x) if feasible else np.empty(0))


def _cbc_bound(log: str, objective: float) -> float:
    """The bound CBC has proven: said in its closing summary, or the objective, or its last search line."""
    if summary := re.search(r"^Lower bound:\s+(\S+)", log, re.MULTILINE):
        return float(summary.group(1))
    if "Result - Optimal solution found" in log or "Optimal - objective value" in log:
        return objective
    search = re.findall(r"best possible (-?[\d.]+(?:e[+-]?\d+)?)", log)
    return float(search[-1]) if search else -math.inf


def highs(matrix: Matrix, limits: Limits, start: Floats | None = None) -> Solved:
    """PuLP's own way to HiGHS; what was proven is read from HiGHS, since PuLP calls every limit optimal."""
    problem, _ = model(matrix)
    highspy.Highs.resetGlobalScheduler(True)
    options = {"parallel": "off", "random_seed": SEED, "mip_abs_gap": 0.0}
    if limits.nodes is not None:
        options["mip_max_nodes"] = limits.nodes
    solver = pulp.HiGHS(msg=False, gapRel=limits.gap, timeLimit=limits.seconds, threads=1, **options)
    with suppress(KeyError):  # raised for a limit that PuLP has no name for; HiGHS itself is asked below
        problem.solve(solver)
    inner = problem.solverModel
    status, info = inner.getModelStatus(), inner.getInfo()
    problem.solverModel = None  # it outlives the solver otherwise
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return Solved("infeasible", math.inf, math.inf)
    feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    objective = info.objective_function_value
    bound = info.mip_dual_bound
    if not matrix.integer.any():
        bound = objective if status == highspy.HighsModelStatus.kOptimal else -math.inf
    values = np.array(inner.getSolution().col_value) if feasible else np.empty(0)
    return judged(feasible, objective, bound, values)
