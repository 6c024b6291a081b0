"""One target, one engine, in a process of its own with bounded memory.

`python -m tests.fuzz.worker TARGET ENGINE N SEED`. By coverage: guided.py.
Prints one line of JSON. An input that is answered wrongly is printed, kept in a file, and ends it with code 1.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.fuzz import engines
from tests.fuzz.judge import MOST_MEMORY, Judge, bound_memory
from tests.fuzz.targets import TARGETS, Flaw, prepare


def main(name: str, engine: str, count: int, start: int) -> int:
    target = TARGETS[name]
    with tempfile.TemporaryDirectory(prefix="shaketable-fuzz-") as place:
        folder = Path(place)
        prepare(folder)
        judge = Judge(target, folder)
        for text in target.corpus():  # what is imported late is there before memory is bounded
            judge(text)
        bound_memory()
        code = 0
        try:
            getattr(engines, engine)(target.corpus(), count, start, judge)
        except Flaw as error:
            code = 1
            print(f"{error}\nthe input: {kept(judge)}", file=sys.stderr)
        print(line(judge, engine), flush=True)
        return code


def kept(judge: Judge) -> str:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))  # room to say it
    data = judge.tally.input
    path = Path(tempfile.gettempdir()) / f"flaw-{judge.target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return str(path)


def line(judge: Judge, engine: str, **more: int) -> str:
    tally = {k: v for k, v in asdict(judge.tally).items() if k != "input"}
    return json.dumps(tally | {"engine": engine, "peak_mb": judge.tally.peak_mb, "most_mb": MOST_MEMORY >> 20, **more})


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
