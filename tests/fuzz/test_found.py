"""What fuzzing has found, one by one: each was a traceback, and is a refusal that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.cli import main
from testbed.errors import InputError
from testbed.load.trace import window
from testbed.scenario.loader import load
from testbed.scenario.model import ArrivalTrace
from testbed.world.live.links import mahimahi
from tests.fuzz.judge import Judge
from tests.fuzz.targets import SMALL, TARGETS, prepare

LONG = "a" * 5000


def test_a_trace_whose_first_request_comes_after_the_run(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("TIMESTAMP\n0\n" + "1" + "0" * 300 + "\n")
    spec = ArrivalTrace.model_validate({"file": str(tmp_path / "a.csv"), "start": "1 s"})
    with pytest.raises(InputError, match=r"a\.csv:2.*comes after the run's 60 s.*give a later start, or a rate"):
        window(spec, 1.0, {"gw1": 1.0}, 60.0, 1)


def test_a_round_of_two_months_is_not_kept_in_bins(tmp_path: Path) -> None:
    (tmp_path / "t.down").write_text("0\n1\n1\n5555555555\n")
    with pytest.raises(InputError, match=r"t\.down:4:.*5555555555 ms is more than 24 h: cut the file"):
        mahimahi.bins(str(tmp_path / "t.down"))


@pytest.mark.parametrize("words", [("check", LONG), ("plan", LONG + ".yaml"), ("report", LONG), ("replay", LONG)])
def test_a_name_that_no_file_can_have(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(words)) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and said.strip()


@pytest.mark.parametrize("line", [f"topology: {LONG}.gml", f"topology: ./{LONG}/x.yaml", f"extends: {LONG}.yaml"])
def test_a_scenario_that_names_such_a_file(line: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SMALL.replace("topology: metro9", line))
    with pytest.raises(InputError, match=r"s\.yaml:3:"):
        load(tmp_path / "s.yaml")


@pytest.mark.parametrize("value", ["Infinity", "NaN", "1e400", "-Infinity"])
def test_numbers_that_are_none_in_what_a_container_reports(value: str, tmp_path: Path) -> None:
    """The hub drops that container's connection; it used to be an error in its event loop."""
    prepare(tmp_path)
    text = TARGETS["hub"].corpus()[0].replace(b'"backlog": 2', b'"backlog": ' + value.encode())
    judge = Judge(TARGETS["hub"], tmp_path)
    judge(text)
    assert judge.tally.accepted == 0
