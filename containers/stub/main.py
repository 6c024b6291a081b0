"""The stub service's process: `python3 /app/stub/main.py` or `python3 -m stub.main` (README.md)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started by path: /app, not /app/stub, holds the packages
    sys.path[0] = str(Path(__file__).absolute().parent.parent)
sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]  # nothing here is encrypted; saves 4 MB each

import asyncio  # noqa: E402

from common import runtime  # noqa: E402
from common.control import Control, Message  # noqa: E402

from stub import state  # noqa: E402
from stub.service import Service  # noqa: E402

COUNTER = "/run/shaketable/node/busy"


class Stub:
    """Carries out what the hub says."""

    def __init__(self, counter_path: str) -> None:
        self._counter_path = counter_path
        self._service: Service | None = None
        self._control: Control | None = None
        self._ready: Message | None = None
        self._early: list[Message] = []  # messages before the config was carried out

    async def on_config(self, config: dict[str, Any], control: Control) -> None:
        """Start up: wait, fetch the state, listen, say ready."""
        loop = asyncio.get_running_loop()
        service = Service(config, control.send, self._counter_path)
        self._service, self._control = service, control
        early, self._early = self._early, []
        for message in early:
            self.on_message(message)
        whole = True
        if config["state_from"] is not None:
            address, port = config["state_from"]
            whole = await state.fetch(address, port, float(config["view_interval"]))
        await asyncio.sleep(max(0.0, config["ready_at"] - loop.time()))
        await loop.create_server(service.connection, runtime.listen_address(), config["port"])
        service.ready = True
        self._ready = {"t": "ready", "at": loop.time(), "state": whole}
        control.send(self._ready)

    def on_message(self, message: Message) -> None:
        service, kind = self._service, message.get("t")
        if kind == "config":  # the hub after a reconnect
            if self._ready is not None and self._control is not None:
                self._control.send(self._ready)
        elif service is None:
            self._early.append(message)
        elif kind == "view":
            service.on_view(message["v"], message["view"])
        elif kind == "resize":
            service.workers.resize(int(message["workers"]))
        elif kind == "trouble":
            service.trouble(float(message["pace"]), float(message["errors"]))
        elif kind == "drain":
            service.drain()
        else:
            print(f"control: a message {kind!r} is not for a service; ignored", file=sys.stderr)

    async def stop(self) -> None:
        if self._service is not None:
            await self._service.stop()


if __name__ == "__main__":
    import os

    runtime.run("stub", Stub(os.environ.get("SHAKETABLE_COUNTER", COUNTER)))
