"""Rates from a CSV: what a file means, how it repeats, where a mistake is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import InputError
from testbed.load import rate_csv
from testbed.load.bandwidth import LEAST_RATE, tracks
from testbed.scenario.model import Bandwidth
from testbed.topology.build import build

GOOD = "time_s,note,rate_Mbit_s\n10,a,40\n12.5,b,12.5\n16,c,0\n"


def written(folder: Path, text: str) -> str:
    path = folder / "rates.csv"
    path.write_text(text)
    return str(path)


def test_times_begin_at_the_first_line_and_the_last_rate_holds_as_long_as_the_one_before(tmp_path: Path) -> None:
    assert rate_csv.read(written(tmp_path, GOOD)) == ([0.0, 2.5, 6.0], [40e6, 12.5e6, 0.0], 9.5)
    assert rate_csv.read(written(tmp_path, "rate_kbit_s,time_ms\n5,100\n7,350\n")) == ([0, 0.25], [5e3, 7e3], 0.5)
    assert rate_csv.read(written(tmp_path, "time_s,rate_bit_s\n3,9\n")) == ([0.0], [9.0], 1.0)


def test_a_track_repeats_the_file_to_the_horizon(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    net = build("metro9", ["big", "medium", "small"], 1)
    spec = Bandwidth(links="s1->s2", law="trace", file=file, scale=2.0)

    def bins(file: str) -> tuple[list[float], list[float]]:
        raise AssertionError("a CSV is no packet-opportunity file")

    (track,) = tracks([spec], net, 16.0, 1, bins)
    assert track.times == (0.0, 2.5, 6.0, 9.5, 12.0, 15.5)
    assert track.rates == (80e6, 25e6, LEAST_RATE, 80e6, 25e6, LEAST_RATE)
    assert (track.file, track.source, track.link) == (None, file, "s1->s2")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "found nothing"),
        ("time,rate\n0,1\n", 1, "time_s"),
        ("time_s,rate_mbit_s\n0,1\n", 1, "rate_Mbit_s"),
        ("time_s,time_ms,rate_bit_s\n0,0,1\n", 1, "time_ms"),
        ("time_s,rate_bit_s\n", 2, "no line"),
        ("time_s,rate_bit_s\n0,1\n1,x\n", 3, "'x' is not a number"),
        ("time_s,rate_bit_s\n0,1\n1,nan\n", 3, "not a number"),
        ("time_s,rate_bit_s\n0,1\n1\n", 3, "1 fields"),
        ("time_s,rate_bit_s\n0,1\n0,2\n", 3, "after the line before"),
        ("time_s,rate_bit_s\n0,-1\n", 2, "no rate"),
        ("time_s,rate_Gbit_s\n0,1e9\n", 2, "no rate"),
        ('time_s,rate_bit_s\n0,"1\n', 2, "no CSV"),
    ],
)
def test_a_mistake_is_located(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        rate_csv.read(written(tmp_path, text))
    (problem,) = caught.value.problems
    assert problem.line == line
    assert message in problem.message


def test_a_file_that_is_missing_or_repeats_without_end_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        rate_csv.read(str(tmp_path / "none.csv"))
    spec = Bandwidth(links="s1--s2", law="trace", file=written(tmp_path, "time_s,rate_bit_s\n0,1\n1e-9,2\n"))
    net = build("metro9", ["big", "medium", "small"], 1)
    with pytest.raises(InputError, match="longer file"):
        tracks([spec], net, 10.0, 1, lambda file: ([], []))


@given(data=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_track_or_an_input_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(b"time_s,rate_bit_s\n" + data)
    try:
        times, rates, period = rate_csv.read(str(path))
    except InputError:
        return
    assert times[0] == 0.0
    assert times == sorted(set(times))
    assert period > times[-1]
    assert min(rates) >= 0
