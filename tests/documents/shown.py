"""What a page shows, done: its files written, its commands run, their outputs as they come.

A page holds ```yaml blocks whose first line names a file, ```console blocks with commands, and after one, where
its output is shown, a ```text block. `python -m tests.documents.shown docs/tutorial.md` fills these in anew.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """language; text; where the text begins and ends in the page."""

    language: str
    text: str
    begin: int
    end: int

    @property
    def commands(self) -> list[list[str]]:
        """Words after `./shaketable`."""
        lines = [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ./shaketable ")]
        return [shlex.split(line, comments=True)[1:] for line in lines]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(m[1], m[2], m.start(2), m.end(2)) for m in BLOCK.finditer(text)]


def furnish(folder: Path) -> None:
    """`folder` looks like the repository to a command that is run there."""
    for name in ("scenarios", "topologies"):
        (folder / name).symlink_to(ROOT / name)


def follow(page: Path, folder: Path, skip: frozenset[str] = frozenset()) -> Iterator[tuple[Block, list[int], str]]:
    """Every console block but those with a word of `skip`: exit codes, and what was printed but for progress."""
    for block in blocks(page):
        named = re.match(r"# ([\w./-]+\.ya?ml)\n", block.text)
        if block.language == "yaml" and named:
            (folder / named[1]).write_text(block.text.partition("\n")[2])
        if (
            block.language == "console"
            and block.commands
            and not skip & {word for command in block.commands for word in command}
        ):
            done = [run(command, folder) for command in block.commands]
            yield block, [code for code, _ in done], "".join(text for _, text in done)


def run(words: list[str], folder: Path) -> tuple[int, str]:
    """`testbed words…` in `folder`: its exit code, and what a terminal would show, results and what is told beside."""
    done = subprocess.run(
        [sys.executable, "-m", "testbed.cli", *words], cwd=folder, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT), "COLUMNS": "120", "HOME": str(folder)},
    )  # fmt: skip
    return done.returncode, calm(done.stdout)


def calm(text: str) -> str:
    """Without the lines of progress, which tell of the machine."""
    progress = re.compile(r"\[\d+(/| of at most )\d+\] |slot +\d|up in |  \d+ runs: |testbed: (\[.*|.* (left|s))$")
    kept = [line.rstrip() for line in text.splitlines() if not progress.match(line)]
    return "".join(f"{line}\n" for line in kept)


def refresh(page: Path) -> None:
    """Write what the commands print now into the page."""
    text, shift = page.read_text(encoding="utf-8"), 0
    after = {b.begin: follower for b, follower in zip(blocks(page), blocks(page)[1:], strict=False)}
    with tempfile.TemporaryDirectory() as place:
        furnish(Path(place))
        for block, _, printed in follow(page, Path(place)):
            shown = after.get(block.begin)
            if shown is not None and shown.language == "text":
                text = text[: shown.begin + shift] + printed + text[shown.end + shift :]
                shift += len(printed) - (shown.end - shown.begin)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        refresh(Path(name))
