"""`python -m tests.soak --minutes 60 --out DIR`: the soak, then the same seed without moves; prints the figures."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.soak.figures import table, verdicts
from tests.soak.story import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=60.0, help="s from one fault to the next")
    parser.add_argument("--length", type=float, default=10.0, help="s of each fault")
    parser.add_argument("--still", type=float, help="minutes of the run without moves; left out: as long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    say = lambda text: print(text, flush=True)  # noqa: E731
    moving = soak(asked.out / "moving", asked.minutes * 60, asked.every, asked.length, seed=asked.seed, say=say)
    say(table(moving, None))
    minutes = asked.minutes if asked.still is None else asked.still
    still = None
    if minutes:
        still = soak(asked.out / "still", minutes * 60, asked.every, asked.length, "static", asked.seed, say)
        say(table(moving, still))
    found = verdicts(moving)
    say("\n".join(found) or "all holds")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
