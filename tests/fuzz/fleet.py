"""All targets by all engines, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fuzz.engines import guidance
from tests.fuzz.judge import LONGEST_S
from tests.fuzz.targets import ROOT, TARGETS

#: Shares of the inputs; what is dear gets fewer. Of a target, so much goes to each engine: structured, then bytes.
WEIGHTS = {"scenario": 8, "command": 3, "graphml": 8, "topology": 12, "gml": 12, "mahimahi": 12, "rates": 12,
           "arrivals": 12, "frames": 12, "hands": 12, "hub": 12}  # fmt: skip
STRUCTURED = 0.5
WORKER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Result:
    """Of one worker. flaw: what went wrong, "" when nothing did."""

    target: str
    engine: str
    asked: int
    facts: dict[str, Any]
    flaw: str = ""


def campaign(inputs: int, seed: int, say: Callable[[str], None]) -> list[Result]:
    """At least `inputs` of them. Hypothesis may find that a space holds fewer than it was asked for: bytes make up."""
    total = sum(WEIGHTS.values())
    out = []
    for target in TARGETS:
        share = -(-inputs * WEIGHTS[target] // total)
        first = worker(target, "structured", int(share * STRUCTURED), seed)
        rest = max(share - first.facts.get("count", 0), 1)
        for result in (first, worker(target, "blind" if guidance() else "guided", rest, seed)):
            out.append(result)
            say(line(result))
    return out


def worker(target: str, engine: str, count: int, seed: int) -> Result:
    words = [sys.executable, "-m", "tests.fuzz.worker", target, engine, str(count), str(seed)]
    done = subprocess.run(
        words, capture_output=True, text=True, errors="replace", cwd=ROOT, timeout=WORKER_S, check=False
    )
    lines = [text for text in done.stdout.splitlines() if text.startswith('{"target"')]
    facts = json.loads(lines[-1]) if lines else {}
    wrong = done.returncode != 0 or not facts
    return Result(target, engine, count, facts, done.stderr[-3000:] or f"exit code {done.returncode}" if wrong else "")


def line(result: Result) -> str:
    f = result.facts
    said = f"{result.target:9} {result.engine:10} {f.get('count', 0):7} inputs, {f.get('accepted', 0):6} accepted"
    said += f", slowest {f.get('slowest', float('nan')):.2f} s, {f.get('peak_mb', float('nan')):.0f} MB at most"
    return said + (f"\n  FLAW {result.flaw}" if result.flaw else "")


def report(results: list[Result], seed: int) -> str:
    count = sum(r.facts.get("count", 0) for r in results)
    flaws = sum(bool(r.flaw) for r in results)
    slowest = max((r.facts.get("slowest", 0.0) for r in results), default=0.0)
    words = [f"{count} inputs, seed {seed}: {flaws} flaws, slowest {slowest:.2f} s of {LONGEST_S:g} s"]
    return "\n".join([*words, *filter(None, [guidance()])])
