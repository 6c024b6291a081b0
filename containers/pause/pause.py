"""The node's pause container: owns the namespace and the cgroup, does nothing until SIGTERM.

With `--own-network UID` it begins as root in the host's network namespace with CAP_SYS_ADMIN, CAP_SETUID and
CAP_SETGID, becomes that user, moves into a new and empty namespace of its own and gives up every capability. Docker
needs twice as long to start a container when it makes the namespace itself. Whoever started us waits until our
namespace is another than the host's.
"""

import os
import signal
import sys

CLONE_NEWNET = 0x40000000
CAPABILITY_VERSION_3 = 0x20080522  # capset(2)
CAP_SYS_ADMIN = 21
PR_SET_KEEPCAPS = 8  # prctl(2): what is permitted stays permitted when root becomes another user


def own_network(uid: int) -> None:
    """Another user, unshare(2), then capset(2) to nothing; ends the process where the kernel refuses any of them.

    In this order, for whoever waits for the namespace then finds no root and, an instant later, no capability.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    admin, nothing = (ctypes.c_uint32 * 6)(1 << CAP_SYS_ADMIN, 1 << CAP_SYS_ADMIN), (ctypes.c_uint32 * 6)()
    if libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0):
        sys.exit("pause: can't keep a capability while it becomes another user")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if libc.capset(header, admin) or libc.unshare(CLONE_NEWNET) or libc.capset(header, nothing):
        sys.exit(f"pause: no network namespace of its own (errno {ctypes.get_errno()})")


signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
signal.signal(signal.SIGINT, lambda number, frame: sys.exit(0))
if sys.argv[1:2] == ["--own-network"]:
    own_network(int(sys.argv[2]))
while True:
    signal.pause()
