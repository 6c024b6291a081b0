"""Progress of many runs: a line that is overwritten in a terminal, a line per run where output is none."""

from __future__ import annotations

import time

from rich.console import Console


class Progress:
    """Called with (runs ended, of how many, words on the last). Time left by the pace so far."""

    def __init__(self, console: Console) -> None:
        self.console, self.begun = console, time.monotonic()

    def __call__(self, ended: int, total: int, text: str) -> None:
        line = f"[{ended}/{total}] {text}  {self._left(ended, total)}".rstrip()
        if self.console.is_terminal and ended < total and text.endswith("done"):
            width = self.console.width - 1
            self.console.print(line[:width].ljust(width), end="\r")
        else:
            self.console.print(line)

    def _left(self, ended: int, total: int) -> str:
        if not 0 < ended < total:
            return ""
        seconds = (time.monotonic() - self.begun) / ended * (total - ended)
        return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"
