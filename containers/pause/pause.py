"""The node's pause container: owns the namespace and the cgroup, does nothing until SIGTERM.

With `--own-network` it begins in the host's network namespace with CAP_SYS_ADMIN, moves into a new and empty one of
its own and gives up every capability. Docker needs twice as long to start a container when it makes the namespace
itself. Whoever started us waits until our namespace is another than the host's.
"""

import signal
import sys

CLONE_NEWNET = 0x40000000
CAPABILITY_VERSION_3 = 0x20080522  # capset(2)


def own_network() -> None:
    """unshare(2), then capset(2) to nothing; ends the process where the kernel refuses either."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.unshare(CLONE_NEWNET) or libc.capset(header, nothing):
        sys.exit(f"pause: no network namespace of its own (errno {ctypes.get_errno()})")


signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
signal.signal(signal.SIGINT, lambda number, frame: sys.exit(0))
if sys.argv[1:] == ["--own-network"]:
    own_network()
while True:
    signal.pause()
