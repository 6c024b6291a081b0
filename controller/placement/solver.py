"""The one door to a solver: status, bound and gap honest on a limit, nothing on standard output.

Back ends: "highs" (HiGHS by its own interface), "cbc" and "pulp-highs" (the same matrix as a PuLP model).
Deterministic: one thread, fixed seed. Limits by gap or nodes give the same answer on every machine; a limit in
seconds doesn't, and is there for people who look at large instances.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import highspy
import numpy as np

from controller.placement import pulp_model
from controller.placement.matrix import Floats, Matrix
from controller.placement.outcome import DEFAULT_GAP, OPTIMAL_GAP, SEED, Limits, Solved, judged, relative_gap

__all__ = ["BACKENDS", "DEFAULT_GAP", "OPTIMAL_GAP", "Limits", "Solved", "relative_gap", "solve"]

_NO_SOLUTION = (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible)


def solve(
    matrix: Matrix,
    backend: str | None = None,
    gap: float = DEFAULT_GAP,
    nodes: int | None = None,
    seconds: float | None = None,
    start: Floats | None = None,
) -> Solved:
    """Minimise to a relative gap, within a number of branch-and-bound nodes, or seconds.

    backend: one of BACKENDS, None for the first. start (columns,): values to begin from, taken by "highs" only. Raises
    ValueError for another name or a senseless limit, RuntimeError when the solver breaks.
    """
    name = backend or "highs"
    if name not in BACKENDS:
        raise ValueError(f"there is no solver {name!r}. There are: {', '.join(BACKENDS)}")
    return BACKENDS[name](matrix, Limits(gap, nodes, seconds), start)


class _Quiet(highspy.Highs):
    """HiGHS without its banner: its own constructor writes one to standard output before any option can be set."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()  # the constructor below its own: no callbacks, no banner
        self.setOptionValue("output_flag", False)


def _highs(matrix: Matrix, limits: Limits, start: Floats | None) -> Solved:
    """HiGHS by its own interface: the fastest way in, and the only one that takes a start."""
    highs = loaded(matrix, limits)
    if start is not None:
        known = highspy.HighsSolution()
        known.col_value = start.tolist()
        highs.setSolution(known)
    return answer(highs, matrix)


def loaded(matrix: Matrix, limits: Limits) -> highspy.Highs:
    """A HiGHS that holds the problem and the options."""
    # HiGHS keeps one pool of threads per process and refuses another size: start from none.
    highspy.Highs.resetGlobalScheduler(True)
    highs = _Quiet()
    options: dict[str, int | float | str] = {"threads": 1, "parallel": "off", "random_seed": SEED}
    options |= {"mip_rel_gap": limits.gap, "mip_abs_gap": 0.0}
    if limits.nodes is not None:
        options["mip_max_nodes"] = limits.nodes
    if limits.seconds is not None:
        options["time_limit"] = float(limits.seconds)
    for key, value in options.items():
        if highs.setOptionValue(key, value) != highspy.HighsStatus.kOk:
            raise RuntimeError(f"HiGHS {highs.version()} refuses its option {key} = {value}")
    if highs.passModel(_lp(matrix)) == highspy.HighsStatus.kError:
        raise RuntimeError("HiGHS refuses the problem")
    return highs


def _lp(matrix: Matrix) -> highspy.HighsLp:
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = matrix.columns, matrix.rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = matrix.cost, matrix.lower, matrix.upper
    lp.row_lower_, lp.row_upper_ = matrix.row_lower, matrix.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = matrix.start.astype(np.int32)
    lp.a_matrix_.index_ = matrix.index.astype(np.int32)
    lp.a_matrix_.value_ = matrix.value
    if matrix.integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(whole)] for whole in matrix.integer]
    return lp


def answer(highs: highspy.Highs, matrix: Matrix) -> Solved:
    """Run, and read what was found and proven."""
    if highs.run() == highspy.HighsStatus.kError:
        raise RuntimeError(f"HiGHS failed: {highs.modelStatusToString(highs.getModelStatus())}")
    status, info = highs.getModelStatus(), highs.getInfo()
    if status in _NO_SOLUTION:
        return Solved("infeasible", math.inf, math.inf)
    feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    solution = highs.getSolution()
    values = np.array(solution.col_value) if feasible else np.empty(0)
    objective = info.objective_function_value
    if matrix.integer.any():
        return judged(feasible, objective, info.mip_dual_bound, values)
    proven = status == highspy.HighsModelStatus.kOptimal
    found = judged(feasible, objective, objective if proven else -math.inf, values)
    return Solved(found.status, found.objective, found.bound, found.values, np.array(solution.row_dual))


Backend = Callable[[Matrix, Limits, Floats | None], Solved]
BACKENDS: Mapping[str, Backend] = {"highs": _highs, "cbc": pulp_model.cbc, "pulp-highs": pulp_model.highs}
