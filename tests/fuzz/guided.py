"""Targets by coverage: atheris keeps what reached new code of ours, and edits that further.

`python -m tests.fuzz.guided SEED TARGET MOST [TARGET MOST …]`; MOST: so many inputs, or a time, `30s`. Our code is
instrumented once; then each target has a process of its own, with bounded memory. Prints a line of JSON for each.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import random
import sys
import tempfile
import time
from pathlib import Path
from types import FunctionType

import atheris

import testbed
from tests.fuzz import engines
from tests.fuzz.judge import LONGEST_S, Judge, bound_memory
from tests.fuzz.targets import TARGETS, Flaw, prepare
from tests.fuzz.worker import kept, line

OURS = ("testbed.", "common.", "yaml.")
COMPILED = ("testbed.world.twin.",)  # by Numba, which can't compile what counts its branches
LONGEST = 4096  # bytes of an input


def main(start: int, asked: list[tuple[str, str]]) -> int:
    _instrument()
    codes = []
    for name, most in asked:
        with tempfile.TemporaryDirectory(prefix="shaketable-fuzz-") as place:
            child = os.fork()
            if child == 0:
                _fuzz(name, Path(place), most, start)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return int(any(codes))


def _instrument() -> None:
    for module in pkgutil.walk_packages(testbed.__path__, "testbed."):
        if not module.name.startswith(COMPILED) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for found in gc.get_objects():
        where = str(found.__module__) if isinstance(found, FunctionType) else ""
        if where.startswith(OURS) and not where.startswith(COMPILED):
            atheris.instrument_func(found)


def _fuzz(name: str, folder: Path, most: str, start: int) -> None:
    """Ends the process: with 0 when there was enough, with 1 at the first flaw."""
    prepare(folder)
    judge = Judge(TARGETS[name], folder)
    seeds = folder / "corpus"
    seeds.mkdir()
    for k, text in enumerate(judge.target.corpus()):
        judge(text)
        (seeds / str(k)).write_bytes(text)
    bound_memory()
    timed = most.endswith("s")
    count = float("inf") if timed else int(most)
    end = time.monotonic() + float(most.removesuffix("s")) if timed else float("inf")

    def one(data: bytes) -> None:
        try:
            judge(data)
        except Flaw as error:
            print(f"{error}\nthe input: {kept(judge)}", file=sys.stderr, flush=True)
            leave(1)
        if judge.tally.count >= count or time.monotonic() >= end:
            leave(0)

    def leave(code: int) -> None:
        print(line(judge, "guided", kept=len(list(seeds.iterdir()))), flush=True)
        os._exit(code)

    def mutate(data: bytes, longest: int, dice: int) -> bytes:
        """Half by libFuzzer's bytes, half by our tokens."""
        either = engines.retold(data, random.Random(dice)) if dice % 2 else atheris.Mutate(data, longest)
        return bytes(either[:longest])

    options = [
        f"-seed={start}", f"-max_len={LONGEST}", "-rss_limit_mb=0", "-verbosity=0", f"-timeout={int(LONGEST_S) * 6}"
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], str(seeds), *options], one, custom_mutator=mutate)
    atheris.Fuzz()
    os._exit(1)


if __name__ == "__main__":
    words = sys.argv[2:]
    raise SystemExit(main(int(sys.argv[1]), list(zip(words[::2], words[1::2], strict=True))))
