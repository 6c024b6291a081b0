"""Units: what they mean, what is refused and which spelling is proposed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.units import FREQUENCY, RATE, SIZE, TIME, parse, parse_range, show


@pytest.mark.parametrize(
    ("text", "table", "value"),
    [
        ("20 ms", TIME, 0.02),
        ("20ms", TIME, 0.02),
        (" 1.5 min ", TIME, 90),
        ("3 µs", TIME, 3e-6),
        ("1e-3 s", TIME, 1e-3),
        ("2 h", TIME, 7200),
        ("50 Mbit/s", RATE, 50e6),
        (".5 Gbit/s", RATE, 5e8),
        ("2 GiB", SIZE, 2 * 2**30),
        ("2 GB", SIZE, 2e9),
        ("1 KiB", SIZE, 1024),
        ("60 /s", FREQUENCY, 60),
        ("60 per s", FREQUENCY, 60),
        ("30 /min", FREQUENCY, 0.5),
        ("-5 ms", TIME, -0.005),
    ],
)
def test_values(text: str, table: dict[str, float], value: float) -> None:
    assert parse(text, table, "value") == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "table", "meant"),
    [
        ("50 mbps", RATE, "Mbit/s"),
        ("50 Mbps", RATE, "Mbit/s"),
        ("50 mbit", RATE, "Mbit/s"),
        ("50 mbit/s", RATE, "Mbit/s"),
        ("1 Gbps", RATE, "Gbit/s"),
        ("2 Mb", SIZE, "MB"),
        ("2 mB", SIZE, "MB"),
        ("2 gb", SIZE, "GB"),
        ("2 KB", SIZE, "kB"),
        ("2 Gi", SIZE, "GiB"),
        ("20 sec", TIME, "s"),
        ("20 MS", TIME, "ms"),
        ("20 m", TIME, "min"),
        ("20 Hz", FREQUENCY, "/s"),
    ],
)
def test_slips_are_refused_with_the_spelling_that_is_meant(text: str, table: dict[str, float], meant: str) -> None:
    with pytest.raises(ValueError, match=f"Did you mean '{meant}'"):
        parse(text, table, "value")


@pytest.mark.parametrize(
    "bad", [20, 20.5, "20", None, True, [], {}, "ms", "", "x ms", "1 2 ms", "1,5 ms", "٣ ms", "nan s", "inf s"]
)
def test_no_unit_no_number_no_value(bad: object) -> None:
    with pytest.raises(ValueError, match=r"'20 ms' \(units: us, ms, s, min, h\)|Units: us"):
        parse(bad, TIME, "duration")


def test_ranges() -> None:
    assert parse_range("6..14 ms", TIME, "duration") == pytest.approx((0.006, 0.014))
    assert parse_range("600 us .. 0.014 s", TIME, "duration") == pytest.approx((0.0006, 0.014))
    assert parse_range("5 ms", TIME, "duration") == (0.005, 0.005)
    for bad in ("14..6 ms", "6..14", "..", "6.. ms", 7):
        with pytest.raises(ValueError, match="duration"):
            parse_range(bad, TIME, "duration")


@pytest.mark.parametrize(
    ("value", "table", "text"),
    [
        (0.253, TIME, "253 ms"),
        (51.0, TIME, "51 s"),
        (3600.0, TIME, "3600 s"),
        (2e-6, TIME, "2 us"),
        (0.0, TIME, "0 us"),
        (8e8, RATE, "800 Mbit/s"),
        (0.5, RATE, "0.5 bit/s"),
        (4e3, SIZE, "4 kB"),
        (48e9, SIZE, "48 GB"),
    ],
)
def test_show(value: float, table: dict[str, float], text: str) -> None:
    assert show(value, table) == text


@given(st.floats(min_value=1e-6, max_value=1e9), st.sampled_from([TIME, RATE, SIZE]))
def test_what_is_shown_reads_back(value: float, table: dict[str, float]) -> None:
    assert parse(show(value, table), table, "value") == pytest.approx(value, rel=1e-3)


@given(st.text())
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    try:
        assert isinstance(parse(text, SIZE, "size"), float)
        assert isinstance(parse_range(text, SIZE, "size"), tuple)
    except ValueError:
        pass
