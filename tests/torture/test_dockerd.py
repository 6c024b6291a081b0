"""A real dockerd ends under a run and is started anew: the run ends as unknown, in time, and nothing of it stays."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_run.kit import Command, docker, until
from tests.torture.dockerd import Dockerd, dockerd
from tests.torture.kit import gone, left, tiny
from tests.torture.test_parts import LONGER, summary_of, under_load

pytestmark = [pytest.mark.live, pytest.mark.long]
BACK_S = 30.0  # after the daemon is back, in which all must be gone


@pytest.fixture(scope="module")
def daemon() -> Iterator[Dockerd]:
    if shutil.which("dockerd") is None:
        pytest.skip("capability: no program dockerd; the machine's Docker is another's")
    with dockerd() as one, pytest.MonkeyPatch.context() as ours:
        ours.setenv("DOCKER_HOST", f"unix://{one.socket}")
        yield one


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_under_load(number: signal.Signals, daemon: Dockerd, tmp_path: Path) -> None:
    """By SIGTERM it stops its containers. By SIGKILL they go on alone, until the next one finds and ends them."""
    with tiny(tmp_path / "run", *LONGER) as run:
        under_load(run)
        assert containers(run), "they are this daemon's"
        daemon.end(number)
        daemon.start()
        log = ended(run, 3)
        summary = summary_of(run.folder)
        assert summary["verdict"] == "unknown" and summary["tasks"]["on_time"] > 0, log
        assert any("the container of" in why or "it broke off" in why for why in summary["invalid_because"])
        print(f"{number.name}: {summary['invalid_because']}")


def test_while_a_run_comes_up(daemon: Dockerd, tmp_path: Path) -> None:
    """Some pods are there, others are asked for: one line says that Docker was lost, and no records are left."""
    with tiny(tmp_path / "run", *LONGER) as run:
        until(lambda: containers(run), "the first pod", 60.0)
        daemon.end(signal.SIGKILL)
        daemon.start()
        assert "Docker" in ended(run, 4) and not run.folder.exists()


def containers(run: Command) -> list[str]:
    return docker("ps", "-aq", "--filter", f"label=shaketable.run={run.run_id}").split()


def ended(run: Command, code: int) -> str:
    """What it said; nothing of it is left."""
    found = run.end(60.0)
    log = run.log.read_text()
    print(f"exit {found}: {log}")
    assert found == code and "Traceback" not in log
    assert gone(lambda: left(run) == [], BACK_S), left(run)
    return log
