"""The workers of a campaign: `distributed` on this machine, or a scheduler that is there already.

Every worker process makes one run at a time. Live runs go to workers with the resource LIVE, of which a worker has one.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from tempfile import TemporaryDirectory
from typing import Any

from testbed.campaign.identity import differences, identity
from testbed.campaign.parcel import Made, Order, carry_out
from testbed.errors import CannotRun
from testbed.world.live import capabilities

LIVE = "LIVE"
PATIENCE = "15 s"  # to reach a scheduler
LAUNCH = "dask worker ADDRESS --nthreads 1"


def quiet() -> None:
    """What there is to say about a lost worker we say ourselves."""
    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def crew(address: str | None, workers: int, live: bool) -> Iterator[Any]:
    """A client of `distributed`. address: None makes a cluster of `workers` processes here, gone at the end.

    live: where the cluster is made here it has one worker then, with LIVE: beside a live run this machine does nothing.
    """
    from distributed import Client, LocalCluster

    quiet()
    if address is not None:
        try:
            client = Client(address, timeout=PATIENCE, name="shaketable")
        except (OSError, ValueError) as error:
            raise CannotRun(f"--scheduler {address}: can't be reached ({error})") from None
        with client:
            yield client
        return
    with TemporaryDirectory(prefix="shaketable-workers-") as scratch, ExitStack() as stack:
        with _deaf():
            cluster = stack.enter_context(LocalCluster(
                n_workers=1 if live else workers, threads_per_worker=1, processes=True, host="127.0.0.1",
                dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL, local_directory=scratch,
                resources={LIVE: 1} if live else {},
            ))  # fmt: skip
            client = stack.enter_context(Client(cluster, timeout=PATIENCE))
        client.wait_for_workers(1 if live else workers)
        yield client


@contextmanager
def _deaf() -> Iterator[None]:
    """Threads and processes begun meanwhile do not hear Ctrl-C, which a terminal sends to all: the client does, and
    ends its workers. Else each would say in a traceback of its own that it was interrupted."""
    resource_tracker.ensure_running()  # the first process would start it, which makes its thread hear again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def inspect(client: Any, live: bool) -> int:
    """The number of workers. Raises CannotRun where none is there, one is not like us, or none takes live runs."""
    workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise CannotRun(f"the scheduler has no worker; start some: {LAUNCH}")
    ours = identity()
    told = client.run(identity, on_error="return")
    unlike = []
    for name in sorted(told):
        theirs = told[name]
        found = differences(ours, theirs) if isinstance(theirs, dict) else [f"it has no such testbed ({theirs})"]
        unlike += [f"worker {name}: {'; '.join(found)}"] if found else []
    if unlike:
        raise CannotRun(
            "workers must be like the client, or their runs don't belong in one table:\n" + "\n".join(unlike)
        )
    if live:
        _inspect_live(client, {name: w["resources"].get(LIVE, 0) for name, w in workers.items()})
    return len(workers)


def _inspect_live(client: Any, takes: dict[str, float]) -> None:
    """takes: worker → how many live runs at a time it says it takes."""
    if not any(takes.values()):
        raise CannotRun(
            f"the plan has live runs and no worker takes any; start one: {LAUNCH} --resources {LIVE}=1"
            " (in a host list: live)"
        )
    if max(takes.values()) > 1:
        raise CannotRun(f"a worker declares {LIVE}={max(takes.values()):g}: live runs go one at a time, {LIVE}=1")
    told = client.run(lacking, workers=[name for name, n in takes.items() if n], on_error="return")
    unfit = [f"worker {name}: {words}" for name, words in sorted(told.items()) if words]
    if unfit:
        raise CannotRun("workers that declare live runs can't make any:\n" + "\n".join(unfit))


def lacking() -> str:
    """In a worker: what its machine lacks for live runs, "" where nothing."""
    return "; ".join(f"{p.what} is missing: {p.why} (→ {p.mend})" for p in capabilities.problems(capabilities.probe()))


def made(client: Any, orders: Sequence[Order]) -> Iterator[list[Made]]:
    """What comes back, as it comes. Raises CannotRun when the scheduler is lost; a lost worker's order goes to another.

    An order whose workers died again and again comes back as runs that could not be made.
    """
    from distributed import as_completed
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    waiting = {}
    for order in orders:
        needs = {LIVE: 1} if order.world == "live" else {}
        waiting[client.submit(carry_out, order, resources=needs, pure=False)] = order
    for future in as_completed(list(waiting)):
        order = waiting.pop(future)
        try:
            found = future.result()
        except FutureCancelledError:
            raise CannotRun("the scheduler is lost; what came back is kept, --resume carries on") from None
        except KilledWorker as error:
            found = [
                Made(key, f"its worker died, the last one {error.last_worker.address}", {}) for key, _ in order.runs
            ]
        future.release()
        yield found
