"""The live table: where the run stands, what runs where, what is being shaken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from testbed.dashboard.step import GOES_ON, Reminder, Step

TARGET = 0.84  # the claim that started this; the rate is coloured against it


class Dashboard:
    """Shows each slot's status: redrawn in a terminal, one line per few slots where it is none or dumb.

    A line that ends in "…" begins a step, over with the next line or slot: at a terminal it is shown with its time as
    long as it lasts, elsewhere once it has lasted, and every ten seconds from then on.
    """

    def __init__(self, console: Console, every: int = 5) -> None:
        self.console = console
        self.every = every
        self._live: Live | None = None
        self._last: list[str] = []
        self._status: Mapping[str, Any] | None = None
        self._step: Step | None = None
        self._reminder = Reminder(lambda: self._step, Step.line)

    def __enter__(self) -> Dashboard:
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = Live(get_renderable=self._now, console=self.console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        else:
            self._reminder.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*error)
            self._live = None
        self._reminder.__exit__()

    def say(self, text: str) -> None:
        """A line that stays, or a step. What it quotes (a question, an error) may hold brackets: no markup."""
        self._step = Step(text) if text.endswith(GOES_ON) else None
        if self._step is not None:
            return
        with suppress(OSError):  # a closed terminal, a full disk: the run and its removal matter more than telling
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, status: Mapping[str, Any]) -> None:
        """One slot."""
        self._last = (self._last + list(status["reasons"]))[-4:]
        self._status, self._step = status, None
        if self._live is None and status["slot"] % self.every == 0:
            self.say(line(status))

    def _now(self) -> RenderableType:
        """Drawn when the terminal is due, not when a slot is over: a simulated world has many in between."""
        step, status = self._step, self._status
        goes_on = [] if step is None else [Text(step.line(), style="dim")]
        return Group(*([] if status is None else [render(status, self._last)]), *goes_on)


def line(status: Mapping[str, Any]) -> str:
    """A status as one line of text."""
    rate = status["on_time"] / status["resolved"] if status["resolved"] else 1.0
    faults = f"  fault: {', '.join(status['faults'])}" if status["faults"] else ""
    return (
        f"slot {status['slot']:3d}  t {status['now']:6.1f}/{status['horizon']:.0f} s  offered {status['offered']:5d}"
        f"  on time {rate:6.1%}  instances {len(status['instances']):3d}  moves {status['moves']:2d}{faults}"
    )


def render(status: Mapping[str, Any], reasons: list[str]) -> RenderableType:
    """A status as a table: services by node, links, the last decisions."""
    rate = status["on_time"] / status["resolved"] if status["resolved"] else 1.0
    head = Text.assemble(
        (f"t {status['now']:.1f}/{status['horizon']:.0f} s  slot {status['slot']}  ", "bold"),
        f"offered {status['offered']}  ",
        (f"on time {rate:.1%}", "bold green" if rate >= TARGET else "bold red"),
        f"  moves {status['moves']}  starts {status['starts']}  ",
        (" ".join(status["faults"]) or "no fault", "bold yellow" if status["faults"] else "dim"),
    )
    return Group(head, _nodes(status), _links(status), *(Text("  " + r, style="dim") for r in reasons))


def _nodes(status: Mapping[str, Any]) -> Table:
    by_node: dict[str, list[str]] = defaultdict(list)
    queue: dict[str, int] = defaultdict(int)
    for i in status["instances"]:
        mark = {"ready": "", "draining": "↓", "starting": "↑"}[i["state"]]
        by_node[i["node"]].append(f"{i['service']}{mark}×{i['workers']}")
        queue[i["node"]] += i["backlog"]
    table = Table("node", "queue", "instances", box=None, pad_edge=False)
    for node in status["nodes"]:
        table.add_row(Text(node), str(queue[node]), Text("  ".join(sorted(by_node[node]))))
    return table


def _links(status: Mapping[str, Any]) -> Table:
    table = Table("trunk", "rate now", "", box=None, pad_edge=False)
    for name, rate, nominal, up in status["links"]:
        share = rate / nominal if up else 0.0
        bar = "█" * round(share * 20)
        table.add_row(
            Text(name),
            f"{rate / 1e6:.0f} Mbit/s" if up else "down",
            Text(bar, style="cyan" if share > 0.6 else "yellow"),
        )
    return table
