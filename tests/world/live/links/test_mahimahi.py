"""Packet-opportunity files: what is refused and where, the period, the means."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.errors import InputError
from testbed.world.live.links import mahimahi


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "trace.down"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("1\n2\nabc\n", 3, "'abc' is not a time"),
        ("1\n-2\n", 2, "'-2' is not a time"),
        ("1\n2.5\n", 2, "'2.5' is not a time"),
        ("1\n\n3\n", 2, "'' is not a time"),
        ("5\n4\n", 2, "4 comes after 5"),
        ("", 1, "empty"),
        ("0\n0\n", 2, "the last time is the period"),
        ("1\n" + "9" * 400 + "\n", 2, "is not a time"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        mahimahi.parse(path)
    assert f"{path}:{line}:1: " in str(caught.value)
    assert said in str(caught.value)


def test_a_huge_or_missing_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mahimahi, "MAX_BYTES", 3)
    with pytest.raises(InputError, match="at most 3 are read"):
        mahimahi.parse(written(tmp_path, "1\n2\n"))
    with pytest.raises(InputError, match="cannot be read"):
        mahimahi.parse(str(tmp_path / "none"))


def test_the_last_time_is_the_period(tmp_path: Path) -> None:
    trace = mahimahi.parse(written(tmp_path, "0\n3\n3\n10\n"))
    assert trace.period == 0.010
    assert [trace.at(k) for k in range(9)] == pytest.approx([0, 0.003, 0.003, 0.01, 0.01, 0.013, 0.013, 0.02, 0.02])
    assert [trace.count(t) for t in (-1, 0, 0.0031, 0.0099, 0.0101, 0.0131)] == [0, 1, 3, 3, 5, 7]
    assert trace.scaled(2.0).period == 0.020


def test_bins_carry_every_opportunity_of_a_round(tmp_path: Path) -> None:
    path = written(tmp_path, "".join(f"{t}\n" for t in [0, 50, 99, 100, 100, 199, 250]))
    times, rates = mahimahi.bins(path, 0.1)
    assert times == pytest.approx([0.0, 0.1, 0.2])
    assert [r * w / 8 / 1500 for r, w in zip(rates, (0.1, 0.1, 0.05), strict=True)] == pytest.approx([3, 3, 1])


def test_one_line_of_one_is_twelve_megabits(tmp_path: Path) -> None:
    assert mahimahi.bins(written(tmp_path, "1"), 0.001) == ([0.0], [pytest.approx(12e6)])
