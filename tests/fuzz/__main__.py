"""`python -m tests.fuzz --inputs 100000`: every target by every engine; prints how many inputs each answered.

`--seconds 600`: instead, so long in all by coverage alone (atheris, the extra `fuzz`).
"""

from __future__ import annotations

import argparse
import secrets

from testbed.errors import InputError
from tests.fuzz.fleet import by_time, campaign, guided, report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    asked = parser.parse_args()
    try:
        if asked.seconds is None:
            results = campaign(asked.inputs, asked.seed, lambda text: print(text, flush=True))
        else:
            results = guided(by_time(asked.seconds), asked.seed, lambda text: print(text, flush=True))
    except InputError as error:
        parser.error(str(error))
    print(report(results, asked.seed))
    return int(any(r.flaw for r in results))


if __name__ == "__main__":
    raise SystemExit(main())
