"""Start of a container's process: environment, event loop, control socket, signals."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from common.control import Control, Message


class App(Protocol):
    """What a role does with the hub's messages."""

    async def on_config(self, config: Message, control: Control) -> None: ...
    def on_message(self, message: Message) -> None: ...
    async def stop(self) -> None: ...


def environment() -> tuple[str, str, str]:
    """SHAKETABLE_ID, SHAKETABLE_TOKEN, SHAKETABLE_SOCKET; exits 2 when the first two are not set."""
    missing = [name for name in ("SHAKETABLE_ID", "SHAKETABLE_TOKEN") if not os.environ.get(name)]
    if missing:
        print(f"environment: {' and '.join(missing)} not set; the run that starts this container sets them")
        raise SystemExit(2)
    path = os.environ.get("SHAKETABLE_SOCKET", "/run/shaketable/hub.sock")
    return os.environ["SHAKETABLE_ID"], os.environ["SHAKETABLE_TOKEN"], path


def listen_address() -> str:
    """Where the service listens; the namespace holds nothing but the pod, so: everywhere."""
    return os.environ.get("SHAKETABLE_LISTEN", "0.0.0.0")


def run(role: str, app: App) -> None:
    """Serve until SIGTERM, SIGINT or the hub's stop."""
    # epoll rounds timers up to whole milliseconds, select does not; a container has a few dozen descriptors.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_main(role, app))
    finally:
        loop.close()


async def _main(role: str, app: App) -> None:
    identity, token, path = environment()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    background: set[asyncio.Task[Any]] = set()

    def spawn(work: Coroutine[Any, Any, None]) -> None:
        task = loop.create_task(work)
        background.add(task)
        task.add_done_callback(background.discard)
        task.add_done_callback(lambda t: _complain(t, stopping))

    control = Control(path, {"t": "hello", "id": identity, "role": role, "token": token}, lambda m: dispatch(m))
    dispatch = _dispatcher(app, control, stopping, spawn)
    spawn(control.run())
    await stopping.wait()
    await app.stop()
    control.close()
    await asyncio.sleep(0.05)  # let the control socket's last bytes out


def _dispatcher(
    app: App, control: Control, stopping: asyncio.Event, spawn: Callable[[Coroutine[Any, Any, None]], None]
) -> Callable[[Message], None]:
    """config once (a reconnect brings it again: the state here is newer), stop, everything else to the role."""
    configured = False

    def dispatch(message: Message) -> None:
        nonlocal configured
        if message.get("t") == "stop":
            stopping.set()
        elif message.get("t") == "config" and not configured:
            configured = True
            spawn(_configure(app, message, control))
        else:
            app.on_message(message)

    return dispatch


async def _configure(app: App, config: Message, control: Control) -> None:
    """Tell the hub why when it fails, so that the run can say more than "not ready"."""
    try:
        await app.on_config(config, control)
    except Exception as error:
        control.send({"t": "failed", "why": f"{type(error).__name__}: {error}"})
        raise


def _complain(task: asyncio.Task[Any], stopping: asyncio.Event) -> None:
    if not task.cancelled() and task.exception() is not None:
        print(f"stopping: {task.exception()!r}", file=sys.stderr)
        stopping.set()
