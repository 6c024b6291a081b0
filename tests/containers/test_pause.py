"""The node's pause process does nothing, and ends when told to."""

import subprocess
import sys

import pytest

from tests.containers.bed import ROOT, until


@pytest.mark.parametrize("signal", ["TERM", "INT"])
def test_it_waits_for_its_signal_and_ends_cleanly(signal):
    process = subprocess.Popen([sys.executable, str(ROOT / "containers" / "pause" / "pause.py")])
    try:
        number = 15 if signal == "TERM" else 2
        until(lambda: catches(process.pid, number))
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()


def catches(pid, number):
    """Whether the process has a handler for the signal and sleeps."""
    with open(f"/proc/{pid}/status") as f:
        status = dict(line.split(":", 1) for line in f)
    mask = int(status["SigCgt"], 16)
    # Python itself catches SIGINT from its start: wait for SIGTERM's handler and the one set after it
    return mask >> 14 & 1 and mask >> (number - 1) & 1 and status["State"].split()[0] == "S"
