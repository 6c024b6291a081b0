"""The process os-ken runs in: `python -m testbed.world.live.openflow_process FD [PORT]`.

FD is the inherited end of a Unix socket pair to the owner (testbed.world.live.openflow). When the owner's end closes,
however the owner died, this process ends. PORT: listen there (a restart); default a free port of the loopback.
os-ken's native threads are not daemons and survive its close(): the end is always os._exit.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import closing
from typing import Any

from os_ken.base.app_manager import AppManager  # isort: skip  # before os_ken.controller, or its imports go round
from os_ken import cfg
from os_ken.controller import controller, ofp_handler
from os_ken.lib import hub


class Datapath(controller.Datapath):
    """os-ken's own, with native threads, waits for ever for its sender once a switch is gone, and tells nobody."""

    def _recv_loop(self) -> None:
        try:
            super()._recv_loop()
        finally:
            self.send(b"", close_socket=True)  # wakes the sender, which then ends


class Listener:
    """Stands in for os-ken's OpenFlowController, which can't listen on a port of the kernel's choice (0 means 6653)."""

    def __init__(self, port: int) -> None:
        self.socket = hub.listen(("127.0.0.1", port), backlog=1024)

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def __call__(self) -> None:
        while True:
            connection, address = self.socket.accept()
            hub.spawn(self._serve, connection, address)

    @staticmethod
    def _serve(connection: socket.socket, address: Any) -> None:
        with closing(Datapath(connection, address)) as datapath:
            datapath.serve()


def main(arguments: list[str]) -> None:
    channel = socket.socket(fileno=int(arguments[0]))
    listener = Listener(int(arguments[1]) if len(arguments) > 1 else 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's to handle; it then closes the channel
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    cfg.CONF(args=[], project="os_ken")
    ofp_handler.OpenFlowController = lambda: listener
    manager = AppManager.get_instance()
    manager.load_apps(["testbed.world.live.openflow_app"])
    manager.create_contexts()
    hub.joinall(manager.instantiate_apps(channel=channel, port=listener.port))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    finally:
        sys.stderr.flush()
        os._exit(1)
