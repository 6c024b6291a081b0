"""Bursts, duplicates, reordering, corruption in the relay's arithmetic; fixed seeds, bounds at 99.9 % or wider."""

from __future__ import annotations

import math
from itertools import groupby, pairwise

import pytest

from testbed.topology.model import Shape
from testbed.world.live.links.shaper import Pipe

RATE = 8e6  # bit/s: 1 byte per µs
FAR = 1e6


def losses(shape: Shape, number: int, seed: str = "5/l/ab") -> list[bool]:
    pipe, out = Pipe(shape, seed), []
    for index in range(number):
        before = pipe.lost
        pipe.offer(index * 0.01, bytes(60))
        pipe.due(index * 0.01)
        out.append(pipe.lost > before)
    return out


@pytest.mark.parametrize(("loss", "burst", "bad", "good"), [(0.05, 8, 1.0, 0.0), (0.1, 20, 0.5, 0.01)])
def test_gilbert_elliott_has_its_mean_and_its_chain(loss: float, burst: float, bad: float, good: float) -> None:
    """Mean: variance of a two-state chain is that of a coin times (1 + ρ)/(1 − ρ), ρ = 1 − p − r (an upper bound here).

    Chain: P(lost | the one before was lost) = Σ over states, in closed form.
    """
    shape = Shape(RATE, loss=loss, loss_burst=burst, loss_bad=bad, loss_good=good)
    p, r = shape.chain()
    assert (p * bad + r * good) / (p + r) == pytest.approx(loss)
    assert 1 / r == burst
    number = 100_000
    lost = losses(shape, number)
    rho = 1 - p - r
    assert abs(sum(lost) - loss * number) < 3.3 * math.sqrt(number * loss * (1 - loss) * (1 + rho) / (1 - rho))
    share_bad = p / (p + r)
    both = share_bad * bad * ((1 - r) * bad + r * good) + (1 - share_bad) * good * (p * bad + (1 - p) * good)
    found = sum(a and b for a, b in pairwise(lost)) / sum(lost)
    assert found == pytest.approx(both / loss, rel=0.1)


def test_full_loss_in_the_bad_state_gives_geometric_bursts() -> None:
    runs = [len(list(g)) for is_lost, g in groupby(losses(Shape(RATE, loss=0.05, loss_burst=8), 100_000)) if is_lost]
    assert sum(runs) / len(runs) == pytest.approx(8, rel=3.3 / math.sqrt(len(runs)))


def test_a_burst_too_short_for_its_mean_and_means_outside_the_states_are_mistakes() -> None:
    assert Shape(RATE, loss=0.1, loss_burst=4).mistake() == ""
    assert "too short" in Shape(RATE, loss=0.8, loss_burst=1).mistake()
    assert "between" in Shape(RATE, loss=0.1, loss_burst=4, loss_good=0.2).mistake()
    assert "give loss" in Shape(RATE, loss_burst=4).mistake()
    assert "delay" in Shape(RATE, reorder=0.1).mistake()


def test_a_duplicate_follows_its_frame_and_uses_the_link() -> None:
    pipe = Pipe(Shape(RATE, delay=0.01, duplicate=0.25), "1/l/ab")
    for index in range(4000):
        pipe.offer(index * 1.0, index.to_bytes(2, "big") * 500)
    gone = pipe.due(FAR)
    copies = [(a, b) for a, b in pairwise(gone) if a[1] == b[1]]
    assert len(gone) == 4000 + len(copies)
    assert abs(len(copies) - 1000) < 3.3 * math.sqrt(4000 * 0.25 * 0.75)
    assert all(b[0] - a[0] == pytest.approx(1000 * 8 / RATE, abs=1e-9) for a, b in copies)
    assert pipe.flow().duplicated == len(copies)


def test_a_reordered_frame_skips_the_delay_and_the_others_keep_their_order() -> None:
    pipe = Pipe(Shape(RATE, delay=0.01, reorder=0.1), "1/l/ab")
    sent, gone = {}, []
    for index in range(4000):
        now = index * 0.001
        gone += pipe.due(now)
        sent[index] = now
        pipe.offer(now, index.to_bytes(2, "big") * 50)
    gone += pipe.due(FAR)
    lag = {int.from_bytes(f[:2], "big"): at - sent[int.from_bytes(f[:2], "big")] for at, f in gone}
    early = {i for i, late in lag.items() if late == pytest.approx(1e-4)}
    assert all(late == pytest.approx(0.0101) for i, late in lag.items() if i not in early)
    assert abs(len(early) - 400) < 3.3 * math.sqrt(4000 * 0.1 * 0.9)
    assert pipe.flow().reordered == len(early)
    calm = [int.from_bytes(f[:2], "big") for _, f in gone if int.from_bytes(f[:2], "big") not in early]
    assert calm == sorted(calm)


def test_what_waits_keeps_its_fate_when_the_rate_changes() -> None:
    pipe = Pipe(Shape(RATE, delay=0.05, reorder=0.3, queue=1e9), "2/l/ab")
    for index in range(100):
        pipe.offer(0.0, index.to_bytes(2, "big") * 500)  # finish at 1, 2, … 100 ms
    early = pipe.flow().reordered
    pipe.change(0.0, Shape(RATE / 2, delay=0.05, queue=1e9))
    gone = pipe.due(FAR)
    lag = [round(at - 0.002 * (int.from_bytes(f[:2], "big") + 1), 6) for at, f in gone]
    assert sorted(set(lag)) == [0.0, 0.05]
    assert lag.count(0.0) == early


def test_a_corrupted_frame_differs_in_one_bit() -> None:
    pipe = Pipe(Shape(RATE, corrupt=0.2), "1/l/ab")
    for index in range(3000):
        pipe.offer(index * 1.0, bytes(200))
    flipped = [sum(b.bit_count() for b in frame) for _, frame in pipe.due(FAR)]
    assert set(flipped) == {0, 1}
    assert abs(sum(flipped) - 600) < 3.3 * math.sqrt(3000 * 0.2 * 0.8)
    assert pipe.flow().corrupted == sum(flipped)
