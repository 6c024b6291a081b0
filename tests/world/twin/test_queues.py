"""The engine against queueing theory: M/M/1, M/M/c, M/G/1, tandems, disciplines (confidence: replications.py)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from testbed.world.twin import stations
from testbed.world.twin.reference.engine import Reference
from testbed.world.twin.stations import Station, Times, Wire, simulate
from tests.world.twin.replications import CUSTOMERS, ENGINE, WARM, Floats, agrees, generator, queue, waits


def exponential(mean: float):
    return lambda rng, shape: rng.exponential(mean, shape)


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_mm1_waits(rho: float) -> None:
    """Mean wait ρ/(μ − λ), P(W > t) = ρ e^{−(μ−λ)t}, P(W > 0) = ρ; μ = 1."""
    at = [0.0, 1.0, 3.0]

    def measure(seed: int) -> Floats:
        w = waits(queue(seed, rho, [1], exponential(1.0)))
        return np.array([w.mean(), *((w > t).mean() for t in at)])

    agrees(measure, [rho / (1 - rho), *(rho * math.exp(-(1 - rho) * t) for t in at)], narrow=0.35)


def test_mm1_sojourn_is_exponential() -> None:
    """Sojourn ~ Exp(μ − λ): mean and standard deviation alike, quantiles where they should be."""
    levels = np.array([0.5, 0.9, 0.99])

    def measure(seed: int) -> Floats:
        t = queue(seed, 0.5, [1], exponential(1.0))
        stay = (t.ended - t.arrived)[WARM:, 0]
        return np.array([stay.mean(), stay.std(), *np.quantile(stay, levels)])

    agrees(measure, [2.0, 2.0, *(-2.0 * np.log1p(-levels))], narrow=0.35)


def erlang_c(c: int, a: float) -> float:
    """P(W > 0) by the sum it is defined by."""
    last = a**c / math.factorial(c) * c / (c - a)
    return last / (sum(a**k / math.factorial(k) for k in range(c)) + last)


@pytest.mark.parametrize(("c", "rho"), [(2, 0.6), (5, 0.7), (12, 0.75)])
def test_mmc_waits(c: int, rho: float) -> None:
    """P(W > 0) = C(c, a), mean wait C/(cμ − λ), P(W > t) = C e^{−(cμ−λ)t}; μ = 1."""
    t = 0.5
    probability = erlang_c(c, c * rho)

    def measure(seed: int) -> Floats:
        w = waits(queue(seed, c * rho, [c], exponential(1.0), 1000 * c))
        return np.array([(w > 0).mean(), w.mean(), (w > t).mean()])

    gap = c * (1 - rho)
    agrees(measure, [probability, probability / gap, probability * math.exp(-gap * t)], narrow=0.5)


def gamma(shape: float):
    """Mean 1, E[S²] = 1 + 1/shape."""
    return lambda rng, size: rng.gamma(shape, 1.0 / shape, size)


def lognormal(cv: float):
    sigma2 = math.log1p(cv**2)
    return lambda rng, size: rng.lognormal(-sigma2 / 2, math.sqrt(sigma2), size)


@pytest.mark.parametrize(
    ("name", "draw", "square"),
    [
        ("deterministic", lambda rng, size: np.ones(size), 1.0),
        ("gamma 2", gamma(2.0), 1.5),
        ("gamma 0.5", gamma(0.5), 3.0),
        ("lognormal 0.5", lognormal(0.5), 1.25),
        ("lognormal 1", lognormal(1.0), 2.0),
    ],
)
def test_mg1_mean_wait_is_pollaczek_and_khinchines(name: str, draw: object, square: float) -> None:
    """E[W] = λ E[S²] / 2(1 − ρ); and the server is busy a share ρ of the time."""
    rho = 0.6

    def measure(seed: int) -> Floats:
        t = queue(seed, rho, [1], draw)  # type: ignore[arg-type]
        busy = float((t.ended - t.started).sum() / t.ended.max())
        return np.array([waits(t).mean(), busy])

    agrees(measure, [rho * square / (2 * (1 - rho)), rho], narrow=0.35)


def numbers(times: Times, station: int, at: Floats) -> Floats:
    """How many are at a station at each of these times."""
    came, left = np.sort(times.arrived[:, station]), np.sort(times.ended[:, station])
    return (np.searchsorted(came, at, side="right") - np.searchsorted(left, at, side="right")).astype(float)


def test_a_tandem_has_product_form() -> None:
    """Jackson: numbers at the stations are independent, geometric at M/M/1 ones; the mean sojourn is Σ 1/(μ_k − λ)."""
    rates = [1.0, 1.25, 0.9]
    lam = 0.6
    rhos = [lam / m for m in rates]

    def measure(seed: int) -> Floats:
        t = queue(seed, lam, [1, 1, 1], lambda rng, n: rng.exponential(1.0, n) / np.array(rates))
        at = np.linspace(float(WARM), float(t.arrived[-1, 0]), 20_000)
        n = [numbers(t, k, at) for k in range(3)]
        stay = (t.ended[:, 2] - t.arrived[:, 0])[WARM:]
        empty = (n[0] == 0) & (n[1] == 0) & (n[2] == 0)
        some = (n[0] >= 1) & (n[1] >= 2) & (n[2] >= 1)
        return np.array([empty.mean(), some.mean(), *((k == 0).mean() for k in n), stay.mean()])

    exact = [
        math.prod(1 - r for r in rhos),
        rhos[0] * rhos[1] ** 2 * rhos[2],
        *(1 - r for r in rhos),
        sum(1 / (m - lam) for m in rates),
    ]
    agrees(measure, exact, narrow=0.35)


def test_a_tandem_of_several_servers_keeps_its_marginals() -> None:
    """Burke: what leaves an M/M/c is Poisson again, so the second station waits like an M/M/c of its own."""

    def measure(seed: int) -> Floats:
        t = queue(seed, 2.4, [3, 4], exponential(1.0))
        return np.array([(waits(t, k) > 0).mean() for k in (0, 1)])

    agrees(measure, [erlang_c(3, 2.4), erlang_c(4, 2.4)], narrow=0.2)


# -- disciplines: exact, whatever the draws


def served(at: Floats, work: Floats, due: Floats, edf: bool, workers: int = 1) -> Times:
    """One station whose queue is by deadline or by arrival."""
    desk = [Station("desk", workers)]
    layout, table = stations._layout(desk, replace(stations._rules(at, 1, 0.0), edf=edf))
    machine = Reference(layout)  # the compiled engine equals it, row for row
    stations._build(machine, layout, table, desk)
    return stations._through(machine, at, due, work[:, None])


def test_edf_and_fifo_do_the_same_work_and_only_edf_keeps_to_deadlines() -> None:
    """Σ S W is the integral of the workload less Σ S²/2, and no order of service changes the workload."""
    rng = generator(3)
    at = np.cumsum(rng.exponential(1.0, 3000))
    work = rng.gamma(0.7, 0.85 / 0.7, 3000)
    due = 1e6 + rng.uniform(0.0, 30.0, 3000)
    edf, fifo = served(at, work, due, True), served(at, work, due, False)
    held = [float(work @ (t.started - t.arrived)[:, 0]) for t in (edf, fifo)]
    assert held[0] == pytest.approx(held[1], rel=1e-9)
    assert edf.ended.max() == pytest.approx(fifo.ended.max(), rel=1e-12)
    assert np.all(np.diff(fifo.started[:, 0]) >= 0)
    for t, kept in ((edf, True), (fifo, False)):
        assert in_order(t, at + due) is kept


def in_order(times: Times, deadline: Floats) -> bool:
    """Whether nobody was begun while somebody with an earlier deadline waited."""
    came, begun = times.arrived[:, 0], times.started[:, 0]
    for k in range(len(begun)):
        waiting = (came < begun[k]) & (begun > begun[k])
        if np.any(deadline[waiting] < deadline[k]):
            return False
    return True


def test_with_equal_services_the_discipline_changes_no_mean_wait() -> None:
    rng = generator(4)
    at = np.cumsum(rng.exponential(1.0, 2000))
    due = 1e6 + rng.uniform(0.0, 30.0, 2000)
    mean = [
        float((t.started - t.arrived).mean())
        for t in (served(at, np.full(2000, 1.8), due, e, 2) for e in (True, False))
    ]
    assert mean[0] == pytest.approx(mean[1], rel=1e-9)


# -- links


def test_a_saturated_link_is_busy_all_the_time() -> None:
    """Offered 1.6 times what it carries: bytes leave at exactly its rate, in the order they came."""
    rng = generator(5)
    at = np.cumsum(rng.exponential(1.0, 2000))
    wire = Wire(8e6 / 1.6, 0.02)  # 1 MB takes 1.6 s
    t = simulate(at, [Station("sink", workers=2000, wires=(wire,), bytes=1e6)], np.zeros((2000, 1)), engine=ENGINE)
    came = t.arrived[:, 0]
    assert np.all(np.diff(came) >= 1.6 - 1e-9)
    busy = 2000 * 1.6 / (came[-1] - 0.02 - at[0])
    assert 0.99 < busy <= 1.0 + 1e-9
    assert came[-1] - came[1000] == pytest.approx(999 * 1.6, rel=1e-9)


@pytest.mark.parametrize("rho", [0.4, 0.7])
def test_a_link_with_poisson_messages_is_an_md1(rho: float) -> None:
    """Wait before the wire ρ s / 2(1 − ρ), s = 0.01 s per message; propagation on top."""
    s = 0.01

    def measure(seed: int) -> float:
        rng = generator(seed)
        at = np.cumsum(rng.exponential(s / rho, CUSTOMERS))
        t = simulate(
            at, [Station("sink", CUSTOMERS, (Wire(8e6, 0.005),), s * 1e6)], np.zeros((CUSTOMERS, 1)), engine=ENGINE
        )
        return float((t.arrived[:, 0] - at)[WARM:].mean())

    agrees(measure, rho * s / (2 * (1 - rho)) + s + 0.005, narrow=0.1)
