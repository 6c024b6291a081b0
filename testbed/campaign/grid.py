"""Many runs: cells of one or more scenarios, each in a folder of its own, on as many processes as asked for.

A folder is whole or absent: a run that was cut short leaves no completion marker and is made again. Runs of one seed
share a worker, because they share their core placement, which is the longest part of a twin run.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import pickle
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, Protocol

from controller.decision import Placement
from testbed.errors import CannotRun, ShaketableError
from testbed.record.folder import MARKER
from testbed.run.execute import execute, run_id_of
from testbed.run.prepare import inabilities, load, prepare, telling
from testbed.run.summary import INTERRUPTED
from testbed.run.worlds import bins, make_world
from testbed.scenario.loader import text_and_hash
from testbed.verdict.cells import Cell

#: (a run, the part of it that is over, what it does)
Watcher = Callable[["Job", float, str], None]

PART = 0.99  # of a run while it goes on, at most: its end is told when its records are written
NEWS_S = 0.5  # how late one hears of a run on another process
_news: SimpleQueue[Outcome | tuple[Job, float, str]] | None = None  # of a worker


class Progress(Protocol):
    """Told on the way. The first call says how many runs were there before: the pace is that of the others."""

    def __call__(self, ended: int, total: int, text: str, part: float = 0.0) -> None:
        """Of `total` runs so many have ended; part: of those that go on, in runs; text: on one of them."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """One run to be made. folder: where its records go."""

    file: Path
    cell: Cell
    world: str
    folder: Path

    @property
    def sets(self) -> tuple[str, ...]:
        return (*self.cell.sets, f"run.seed={self.cell.seed}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """error: why there is no run, None where there is one."""

    job: Job
    error: str | None = None


def check(jobs: Sequence[Job]) -> None:
    """Every distinct setting is valid, or InputError, before anything runs."""
    for file, sets in dict.fromkeys((j.file, j.cell.sets) for j in jobs):
        load(file, sets)


def run_all(jobs: Sequence[Job], workers: int, progress: Progress) -> list[Outcome]:
    """Make what is not there yet. Live runs go one at a time in this process, twin runs to `workers` processes."""
    complete = {j for j in jobs if is_complete(j)}
    there = [Outcome(j) for j in jobs if j in complete]
    groups = _by_seed([j for j in jobs if j not in complete])
    total, ended = len(jobs), len(there)
    parts: dict[Job, float] = {}
    progress(ended, total, "there already" if there else "starting")

    def note(outcome: Outcome) -> None:
        nonlocal ended
        ended += 1
        parts.pop(outcome.job, None)
        words = f"{outcome.job.file.stem} {outcome.job.cell.name}: {outcome.error or 'done'}"
        progress(ended, total, words, sum(parts.values()))

    def watch(job: Job, share: float, words: str) -> None:
        parts[job] = share
        progress(ended, total, f"{job.file.stem} {job.cell.name}: {words}", sum(parts.values()))

    if workers == 1 or len(groups) < 2 or any(j.world == "live" for j in jobs):
        made = []
        for group in groups:
            for outcome in run_group(group, watch=watch):
                made.append(outcome)
                note(outcome)
        return there + made
    return there + _by_processes(groups, min(workers, len(groups)), note, watch)


def _by_processes(
    groups: Sequence[Sequence[Job]], workers: int, note: Callable[[Outcome], None], watch: Watcher
) -> list[Outcome]:
    """Groups on processes; `note` hears of each run when it has ended, not of a group when its last one has."""
    context = multiprocessing.get_context("spawn")
    news: SimpleQueue[Outcome | tuple[Job, float, str]] = context.SimpleQueue()
    with ProcessPoolExecutor(workers, context, _begin, (news,)) as pool:
        waiting = [pool.submit(run_group_whole, group) for group in groups]
        try:
            left = set(waiting)
            while left:
                over, left = wait(left, NEWS_S, FIRST_COMPLETED)
                while not news.empty():
                    heard = news.get()
                    if isinstance(heard, Outcome):
                        note(heard)
                    else:
                        watch(*heard)
                for future in over:
                    future.result()  # one that died says so now
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [outcome for future in waiting for outcome in future.result()]


def _begin(news: SimpleQueue[Outcome | tuple[Job, float, str]]) -> None:
    """In a worker, once: where it tells of each run, and that it ends with the client."""
    global _news
    _news = news
    threading.Thread(target=_end_with_the_client, name="client", daemon=True).start()


def _end_with_the_client() -> None:
    """A client that was interrupted or killed takes no more work back; its worker would wait for orders for ever.

    What it was at has no completion marker, and is made again.
    """
    client = multiprocessing.parent_process()
    if client is not None:
        client.join()
        os._exit(1)


def _by_seed(jobs: Sequence[Job]) -> list[list[Job]]:
    groups: dict[tuple[Path, int], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.file, job.cell.seed), []).append(job)
    return list(groups.values())


def run_group_whole(jobs: Sequence[Job]) -> list[Outcome]:
    """In a worker: outcomes travel back together, and each is told of when it is there."""
    outcomes, due = [], 0.0

    def watch(job: Job, share: float, words: str) -> None:
        nonlocal due
        if _news is not None and (not share or time.monotonic() > due):
            _news.put((job, share, words))
            due = time.monotonic() + NEWS_S

    for outcome in run_group(jobs, watch=watch):
        outcomes.append(outcome)
        if _news is not None:
            _news.put(outcome)
    return outcomes


def run_group(
    jobs: Sequence[Job],
    known: MutableMapping[bytes, Placement] | None = None,
    watch: Watcher | None = None,
    bound: bool = True,
) -> Iterable[Outcome]:
    """Runs that share a seed, one after the other. known: placements of earlier groups, and of later ones after it.

    watch: hears how far each is. bound: whether their summaries hold the fluid bound.
    """
    placements: MutableMapping[bytes, Placement] = {} if known is None else known
    for job in jobs:
        try:
            _one(job, placements, watch or _unwatched, bound)
        except ShaketableError as error:
            yield Outcome(job, str(error))
        else:
            yield Outcome(job)


def _one(job: Job, placements: MutableMapping[bytes, Placement], watch: Watcher, bound: bool) -> None:
    say = partial(watch, job, 0.0)
    prepared = prepare(job.file, job.sets, job.world, telling(say, remembering(placements)))
    if job.folder.exists():
        shutil.rmtree(job.folder)  # of a run that was cut short: it has no completion marker, or is another plan's
    world = make_world(job.world, run_id := run_id_of(prepared), say)
    if problems := inabilities(prepared, world):
        raise CannotRun(f"the {job.world} world can't run this: {'; '.join(problems)}")

    def part(status: Mapping[str, Any]) -> None:
        now, horizon = status["now"], status["horizon"]
        watch(job, min(now / horizon, PART), f"t {now:.0f}/{horizon:.0f} s")

    summary = execute(prepared, world, job.folder, bins(), part, say, run_id, latest=False, bound=bound)
    if INTERRUPTED in summary["invalid_because"]:  # whole, but no run to build on; and the rest was not wanted either
        shutil.rmtree(job.folder)
        raise KeyboardInterrupt


def is_complete(job: Job) -> bool:
    """Whether this very run, of this scenario, seed and world, lies there whole."""
    if not (job.folder / MARKER).is_file():
        return False
    try:
        found = json.loads((job.folder / "summary.json").read_text())
        key = found["scenario"]["sha256"], found["seed"], found["world"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(key == (text_and_hash(job.file, job.sets)[1], job.cell.seed, job.world))


def remembering(placements: MutableMapping[bytes, Placement]) -> Callable[..., Placement]:
    """A policy's `place`, asked once per policy, model and parameters: it is pure. Policies that say in `core` that
    they place alike are asked once together."""

    def place(policy: Any, model: Any, parameters: Mapping[str, float]) -> Placement:
        key = hashlib.sha256(
            pickle.dumps((getattr(policy, "core", policy.name), model, sorted(parameters.items())))
        ).digest()
        if key not in placements:
            placements[key] = policy.place(model, parameters)
        return placements[key]

    return place


def summary_of(folder: Path) -> dict[str, Any] | None:
    """summary.json of a whole run, or None."""
    if not (folder / MARKER).is_file():
        return None
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def _unwatched(job: Job, share: float, words: str) -> None:
    """A worker elsewhere tells of its runs when they are over."""
