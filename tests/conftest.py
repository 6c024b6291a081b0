"""Markers: `live` tests use the machine, `long` ones take their time. Nothing is skipped in silence.

A live test is skipped where the machine lacks what every live test needs, and the reason names it. With
SHAKETABLE_REQUIRE_LIVE=1 (`./shaketable test`, and so CI) that skip is a failure, and so is a session in which no
live test ran. A test that needs one capability more (a kernel module, say) calls `pytest.skip("capability: …")`;
that one stays a skip.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Generator
from functools import cache

import pytest

REQUIRE_LIVE = os.environ.get("SHAKETABLE_REQUIRE_LIVE") == "1"
CAPABILITY = "capability:"
_ran_live = pytest.StashKey[int]()


@cache
def missing_for_live() -> str:
    """What keeps live tests from running here, or the empty string."""
    if os.geteuid() != 0:
        return "not root"
    if not answers(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")):
        return "Docker does not answer on its socket"
    for program in ("ovs-vsctl", "mnexec", "ip", "tc", "ethtool", "nsenter"):
        if shutil.which(program) is None:
            return f"no {program}"
    shown = subprocess.run(["ovs-vsctl", "--timeout=5", "--no-wait", "show"], capture_output=True, check=False)
    return "" if shown.returncode == 0 else "Open vSwitch does not answer"


def answers(path: str) -> bool:
    """Whether a Docker daemon does, on this socket."""
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(10)
            door.connect(path)
            door.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in door.recv(64)
    except OSError:
        return False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked long, too")


def pytest_configure(config: pytest.Config) -> None:
    # started in the background or under nohup, we ignore these; our children would inherit that and outlive a test
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.stash[_ran_live] = 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Quick tests first, live ones last; long ones only when asked for."""
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
    items.sort(key=lambda item: item.get_closest_marker("live") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("live") and (missing := missing_for_live()):
        pytest.skip(f"live tests cannot run here: {missing}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.HookRecorder, None]:
    outcome = yield
    report = outcome.get_result()
    if item.get_closest_marker("live") is None:
        return
    if report.when == "call" and not report.skipped:
        item.config.stash[_ran_live] += 1
    if REQUIRE_LIVE and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if CAPABILITY not in reason:
            report.outcome = "failed"
            report.longrepr = f"a live test may not be skipped under SHAKETABLE_REQUIRE_LIVE=1. {reason}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(f"live tests that ran: {config.stash[_ran_live]}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if REQUIRE_LIVE and exitstatus == pytest.ExitCode.OK and session.config.stash[_ran_live] == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
