"""The ingress gateway's process: `python3 /app/gateway/main.py` or `python3 -m gateway.main` (README.md)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # started by path: /app, not /app/gateway, holds the packages
    sys.path[0] = str(Path(__file__).absolute().parent.parent)
sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]  # nothing here is encrypted; saves 4 MB

import asyncio  # noqa: E402

from common import runtime  # noqa: E402
from common.control import Control, Message  # noqa: E402

from gateway.runner import Runner  # noqa: E402


class Gateway:
    """Carries out what the hub says."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._control: Control | None = None
        self._ready: Message | None = None
        self._early: list[Message] = []

    async def on_config(self, config: dict[str, Any], control: Control) -> None:
        """Listen for results, say ready."""
        loop = asyncio.get_running_loop()
        runner = Runner(config, control.send)
        await loop.create_server(runner.connection, runtime.listen_address(), config["port"])
        self._runner, self._control = runner, control
        early, self._early = self._early, []
        for message in early:
            runner.on_message(message)
        self._ready = {"t": "ready", "at": loop.time()}
        control.send(self._ready)

    def on_message(self, message: Message) -> None:
        if message.get("t") == "config":  # the hub after a reconnect
            if self._ready is not None and self._control is not None:
                self._control.send(self._ready)
        elif self._runner is None:
            self._early.append(message)
        else:
            self._runner.on_message(message)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.stop()


if __name__ == "__main__":
    runtime.run("gateway", Gateway())
