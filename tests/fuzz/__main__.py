"""`python -m tests.fuzz --inputs 100000`: every target by every engine; prints how many inputs each answered."""

from __future__ import annotations

import argparse
import secrets

from tests.fuzz.fleet import campaign, report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    asked = parser.parse_args()
    results = campaign(asked.inputs, asked.seed, lambda text: print(text, flush=True))
    print(report(results, asked.seed))
    return int(any(r.flaw for r in results))


if __name__ == "__main__":
    raise SystemExit(main())
