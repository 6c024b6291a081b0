"""Random variables from counted uniforms: known answers, moments and whole distributions against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from controller.model import Law
from testbed.load import laws
from testbed.scenario.streams import uniforms

N = 40_000
UNLIKELY = 1e-3  # a fixed seed: a test passes or fails for good


def drawn(n=N, *key):
    return uniforms(0, n, 11, *key)


def more_of(*key):
    return lambda row, turn: uniforms(turn, 1, 11, *key, row)[0]


def philox(counter, key):
    """Philox 4x64-10 by its definition (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011)."""
    word, (a, b, c, d), (k0, k1) = 2**64 - 1, counter, key
    for _ in range(10):
        p, q = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
        a, b, c, d = (q >> 64) ^ b ^ k0, q & word, (p >> 64) ^ d ^ k1, p & word
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & word, (k1 + 0xBB67AE8584CAA73B) & word
    return a, b, c, d


def test_the_reference_gives_the_known_answer():
    """Random123's kat_vectors: philox4x64 10, counter and key 0."""
    known = (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B)
    assert philox((0, 0, 0, 0), (0, 0)) == known


def test_uniforms_are_philox_of_their_counter(monkeypatch):
    monkeypatch.setattr("testbed.topology.streams._key", lambda seed, parts: (5 << 64) + 3)
    found = uniforms(7, 3, 1, "x")
    words = [philox((8 + i, 0, 0, 0), (3, 5)) for i in range(3)]
    assert found.tolist() == [[(w >> 11) / 2**53 for w in row] for row in words]


def test_any_part_of_a_key_is_had_without_what_lies_before():
    assert np.array_equal(drawn(100, "a")[40:60], uniforms(40, 20, 11, "a"))
    assert not np.array_equal(drawn(4, "a"), drawn(4, "b"))
    assert not np.array_equal(drawn(4, 1), drawn(4, "1"))


def test_normals_are_two_and_independent():
    x, y = laws.normals(drawn(N, "normal"))
    assert stats.kstest(x, "norm").pvalue > UNLIKELY and stats.kstest(y, "norm").pvalue > UNLIKELY
    assert abs(np.corrcoef(x, y)[0, 1]) < 4 / N**0.5 and abs(np.corrcoef(x**2, y**2)[0, 1]) < 4 / N**0.5


@pytest.mark.parametrize("shape", [0.5, 0.9, 1.0, 2.0, 3.0, 7.5, 100.0])
def test_gamma(shape):
    u = drawn(N, "gamma", shape * 2)
    asked = []

    def more(row, turn):
        asked.append((row, turn))
        return more_of("gamma", shape * 2)(row, turn)

    x = laws.gamma(shape, u, more)
    assert stats.kstest(x, stats.gamma(shape).cdf).pvalue > UNLIKELY
    assert x.mean() == pytest.approx(shape, abs=4 * (shape / N) ** 0.5)
    assert len(asked) < 0.06 * N and (asked or shape > 3), "the way past the first tries is rare, and tested too"


def test_gamma_of_one_row_does_not_depend_on_the_others():
    u = drawn(2000, "gamma", 1)
    whole = laws.gamma(1.0, u, more_of("m"))
    assert [laws.gamma(1.0, u[k : k + 1], lambda _, t, k=k: more_of("m")(k, t))[0] for k in range(2000)] == list(whole)


@pytest.mark.parametrize(
    ("law", "cdf"),
    [
        (Law("uniform", spread=0.3), stats.uniform(0.7, 0.6).cdf),
        (Law("exponential"), stats.expon.cdf),
        (Law("lognormal", cv=0.8), stats.lognorm(s=np.log1p(0.64) ** 0.5, scale=np.exp(-np.log1p(0.64) / 2)).cdf),
    ],
)
def test_laws_of_the_work_have_mean_one(law, cdf):
    x = laws.factors(law, drawn(N, law.kind), more_of(law.kind))
    assert stats.kstest(x, cdf).pvalue > UNLIKELY
    assert x.mean() == pytest.approx(1.0, abs=4 * x.std() / N**0.5)


def test_a_deterministic_law_is_one():
    assert laws.factors(Law(), drawn(5, "d"), more_of("d")).tolist() == [1.0] * 5


def test_a_gamma_rate_divides_and_is_floored():
    law = Law("gamma", shape=1.0, floor=0.1)
    x = laws.factors(law, drawn(N, "floor"), more_of("floor"))
    assert x.max() == pytest.approx(10.0)
    assert np.mean(x == x.max()) == pytest.approx(1 - np.exp(-0.1), abs=4 * (0.095 * 0.905 / N) ** 0.5)
    above = 1 / x[x < x.max()] - 0.1  # memoryless: what lies over the floor is exponential again
    assert stats.kstest(above, "expon").pvalue > UNLIKELY
