"""The node's pause container: owns the namespace and the cgroup, does nothing until SIGTERM."""

import signal
import sys

signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
signal.signal(signal.SIGINT, lambda number, frame: sys.exit(0))
while True:
    signal.pause()
