"""One queueing network in three simulators: `python -m benchmarks.tandem twin|simpy|ciw CUSTOMERS` prints JSON.

Three stations in tandem, each an M/M/4 at utilisation 0.8, every customer routed on to the next station, the times of
every visit kept. All three get the same numbers: arrivals and service times are drawn beforehand and not timed. Ciw
hands service times out in the order of service, so its second and third stations are equal in law only.
"""

from __future__ import annotations

import json
import math
import resource
import sys
from collections.abc import Callable
from time import process_time

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STATIONS, SERVERS, RATE, MEAN = 3, 4, 3.2, 1.0


def draws(customers: int) -> tuple[Floats, Floats]:
    """Arrival times, s, and service times [customer, station], s."""
    rng = np.random.Generator(np.random.Philox(7))
    return np.cumsum(rng.exponential(1.0 / RATE, customers)), rng.exponential(MEAN, (customers, STATIONS))


def twin(arrivals: Floats, services: Floats) -> Floats:
    from testbed.world.twin.stations import Station, simulate

    times = simulate(arrivals, [Station(f"s{k}", SERVERS) for k in range(STATIONS)], services)
    return times.started - times.arrived


def by_simpy(arrivals: Floats, services: Floats) -> Floats:
    import simpy

    at, work = arrivals.tolist(), services.tolist()
    env = simpy.Environment()
    desks = [simpy.Resource(env, SERVERS) for _ in range(STATIONS)]
    waits = [[0.0] * STATIONS for _ in at]

    def customer(i: int):  # type: ignore[no-untyped-def]
        for k, desk in enumerate(desks):
            came = env.now
            with desk.request() as turn:
                yield turn
                waits[i][k] = env.now - came
                yield env.timeout(work[i][k])

    def source():  # type: ignore[no-untyped-def]
        for i, t in enumerate(at):
            yield env.timeout(t - env.now)
            env.process(customer(i))

    env.process(source())
    env.run()
    return np.array(waits)


def by_ciw(arrivals: Floats, services: Floats) -> Floats:
    import ciw

    gaps = [*np.diff(arrivals, prepend=0.0).tolist(), math.inf]
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential(gaps), None, None],
        service_distributions=[ciw.dists.Sequential(services[:, k].tolist()) for k in range(STATIONS)],
        number_of_servers=[SERVERS] * STATIONS,
        routing=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(len(arrivals), method="Finish")
    waits = np.full((len(arrivals), STATIONS), np.nan)
    for record in simulation.get_all_records():
        waits[record.id_number - 1, record.node - 1] = record.waiting_time
    return waits


SIMULATORS: dict[str, Callable[[Floats, Floats], Floats]] = {"twin": twin, "simpy": by_simpy, "ciw": by_ciw}


def peak() -> float:
    """Largest resident memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def measure(simulator: str, customers: int) -> dict[str, float]:
    """CPU seconds of a run (each is one thread), what the process has held at most, and mean waits to compare by.

    first: CPU seconds of a run of 100 customers before it, in which everything is imported, and compiled if need be.
    """
    run, begun = SIMULATORS[simulator], process_time()
    run(*draws(100))
    first = process_time() - begun
    arrivals, services = draws(customers)
    before, begun = peak(), process_time()
    waits = run(arrivals, services)
    seconds = process_time() - begun
    means = np.nanmean(waits, axis=0)
    return {
        "customers": customers, "first": first, "seconds": seconds, "rate": customers / seconds, "peak_bytes": peak(),
        "more_bytes": peak() - before, **{f"wait{k}": float(w) for k, w in enumerate(means)},
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
