"""Runs and comparisons from Python, their results as Arrow tables (`.to_pandas()` where pandas is installed).

from testbed.api import Scenario, compare, run

busy = Scenario("scenarios/demo.yaml").changed({"load": 1.5})
print(run(busy, world="twin", out="results/busy").summary["on_time_rate"])
print(compare(busy, ["two_tier", "nearest"], seeds=3, world="twin", out="results/both").table())
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from testbed.campaign import compare as comparison
from testbed.errors import CannotRun
from testbed.record.folder import ask, read
from testbed.report.comparison import figures
from testbed.run.execute import execute, run_id_of
from testbed.run.prepare import inabilities, load, prepare
from testbed.run.worlds import bins, make_world

if TYPE_CHECKING:
    import pyarrow

World = Literal["live", "twin"]
Value = bool | int | float | str


@dataclass(frozen=True)
class Scenario:
    """A scenario file, and values changed in it. sets: as `--set`. Raises InputError with every mistake at once."""

    file: str | Path
    sets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        load(Path(self.file), self.sets)

    def changed(self, values: Mapping[str, Value]) -> Scenario:
        """The same with other values by their paths: `changed({"load": 2, "run.duration": "20 s"})`."""
        return replace(self, sets=(*self.sets, *(f"{path}={_yaml(value)}" for path, value in values.items())))


@dataclass(frozen=True)
class Run:
    """A finished run: its folder and its `summary.json`."""

    folder: Path
    summary: dict[str, Any]

    @classmethod
    def at(cls, folder: str | Path) -> Run:
        """One that was made before. Raises InputError where there is none."""
        return cls(Path(folder), read(Path(folder))[0])

    def tasks(self) -> pyarrow.Table:
        """A row per task (times in s since t = 0), columns as in `tasks.sqlite`."""
        return self._rows("tasks")

    def stages(self) -> pyarrow.Table:
        """A row per stage and attempt."""
        return self._rows("stages")

    def _rows(self, name: str) -> pyarrow.Table:
        columns = [row[1] for row in ask(self.folder, f"pragma table_info({name})")]
        return _table(dict(zip(columns, row, strict=True)) for row in ask(self.folder, f"select * from {name}"))


@dataclass(frozen=True)
class Comparison:
    """Policies on the same seeds. found: what `comparison.json` of `testbed compare` holds."""

    folder: Path
    found: dict[str, Any]

    def table(self) -> pyarrow.Table:
        """A row per policy and value of the sweep: means with two-sided 95 % intervals over the runs."""
        return _table(
            {"policy": row["policy"], "value": row["value"], "runs": row["runs"]}
            | {f"{name}_{part}": row[name][part] for name in ("on_time", "cost") for part in ("mean", "lower", "upper")}
            for row in self.found["rows"]
        )

    def runs(self) -> pyarrow.Table:
        """A row per run: policy, value, seed, on-time rate (0 to 1), cost per slot."""
        return _table(
            {"policy": row["policy"], "value": row["value"], "seed": int(seed), **measures}
            for row in self.found["rows"]
            for seed, measures in row["by_seed"].items()
        )

    def figures(self) -> dict[str, str]:
        """File name → SVG: `cost.svg`, on-time rate against cost; `sweep.svg`, against the swept value."""
        return figures(self.found)


def run(
    scenario: Scenario, *, world: World, out: str | Path, policy: str | None = None, seed: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Run:  # fmt: skip
    """One run, its records in `out`, an empty folder or none yet. Raises InputError and CannotRun."""
    given = {"policy.name": policy, "run.seed": seed}
    changed = scenario.changed({path: value for path, value in given.items() if value is not None})
    prepared = prepare(Path(changed.file), changed.sets, world)
    run_id = run_id_of(prepared)
    built = make_world(world, run_id, say)
    if problems := inabilities(prepared, built):
        raise CannotRun(f"the {world} world can't run this scenario:\n  " + "\n  ".join(problems))
    execute(prepared, built, Path(out), bins(), lambda status: None, say, run_id)
    return Run.at(out)


def compare(
    scenario: Scenario, policies: Sequence[str], *, seeds: int, world: World, out: str | Path,
    sweep: tuple[str, Sequence[Value]] | None = None, workers: int | None = None,
) -> Comparison:  # fmt: skip
    """Each policy on the same seeds, at each value of `sweep` (path, values). What `out` holds already is kept.

    Twin runs go to processes of their own: a script guards its work by `if __name__ == "__main__":`.
    """
    swept = None if sweep is None else f"{sweep[0]}={','.join(map(_yaml, sweep[1]))}"
    plan = comparison.plan_of(Path(scenario.file), scenario.sets, ",".join(policies), seeds, swept, world)
    found = comparison.compare(plan, Path(out), workers or len(os.sched_getaffinity(0)), _quiet)
    return Comparison(Path(out), found)


def _quiet(*progress: Any, **more: Any) -> None:
    """Nobody is told."""


def _yaml(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _table(rows: Iterable[Mapping[str, Any]]) -> pyarrow.Table:
    import pyarrow

    return pyarrow.Table.from_pylist(list(rows))
