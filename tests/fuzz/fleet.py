"""All targets by all engines, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from testbed.errors import InputError
from tests.fuzz.engines import guidance
from tests.fuzz.judge import LONGEST_S
from tests.fuzz.targets import ROOT, TARGETS

#: Shares of the inputs; what is dear gets fewer. Of a target, so much goes to each engine: structured, then bytes.
WEIGHTS = {"scenario": 8, "command": 3, "graphml": 8, "topology": 12, "gml": 12, "mahimahi": 12, "rates": 12,
           "arrivals": 12, "frames": 12, "hands": 12, "hub": 12}  # fmt: skip
STRUCTURED = 0.5
TIMES = {"scenario": 4, "command": 3}  # shares of the time; of the others 1
WORKER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Result:
    """Of one worker. flaw: what went wrong, "" when nothing did."""

    target: str
    engine: str
    facts: dict[str, Any]
    flaw: str = ""


def campaign(inputs: int, seed: int, say: Callable[[str], None]) -> list[Result]:
    """At least `inputs` of them. Hypothesis may find that a space holds fewer than it was asked for: bytes make up."""
    total = sum(WEIGHTS.values())
    out, rest = [], {}
    for target in TARGETS:
        share = -(-inputs * WEIGHTS[target] // total)
        out.append(worker(target, "structured", int(share * STRUCTURED), seed))
        say(line(out[-1]))
        rest[target] = max(share - out[-1].facts.get("count", 0), 1)
    if not guidance():
        return out + guided({t: str(n) for t, n in rest.items()}, seed, say)
    for target, count in rest.items():
        out.append(worker(target, "blind", count, seed))
        say(line(out[-1]))
    return out


def guided(shares: Mapping[str, str], seed: int, say: Callable[[str], None]) -> list[Result]:
    """Targets by coverage, each for so many inputs or such a time ("30s"). InputError where atheris is not there."""
    if missing := guidance():
        raise InputError(missing)
    words = [sys.executable, "-m", "tests.fuzz.guided", str(seed), *(w for pair in shares.items() for w in pair)]
    out = []
    with tempfile.TemporaryFile() as wrong:
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=wrong, text=True, cwd=ROOT) as process:
            for text in process.stdout or ():
                if text.startswith('{"target"'):
                    facts = json.loads(text)
                    out.append(Result(facts["target"], "guided", facts))
                    say(line(out[-1]))
        wrong.seek(0)
        said = wrong.read().decode(errors="replace")[-3000:]
    if process.returncode != 0 or len(out) != len(shares):
        out.append(Result("any", "guided", {}, said or f"exit code {process.returncode}"))
        say(line(out[-1]))
    return out


def by_time(seconds: float) -> dict[str, str]:
    """Every target with its share of the time, for `guided`."""
    total = sum(TIMES.get(t, 1) for t in TARGETS)
    return {t: f"{max(seconds * TIMES.get(t, 1) / total, 1.0):.0f}s" for t in TARGETS}


def worker(target: str, engine: str, count: int, seed: int) -> Result:
    words = [sys.executable, "-m", "tests.fuzz.worker", target, engine, str(count), str(seed)]
    done = subprocess.run(
        words, capture_output=True, text=True, errors="replace", cwd=ROOT, timeout=WORKER_S, check=False
    )
    lines = [text for text in done.stdout.splitlines() if text.startswith('{"target"')]
    facts = json.loads(lines[-1]) if lines else {}
    wrong = done.returncode != 0 or not facts
    return Result(target, engine, facts, done.stderr[-3000:] or f"exit code {done.returncode}" if wrong else "")


def line(result: Result) -> str:
    f = result.facts
    said = f"{result.target:9} {result.engine:10} {f.get('count', 0):7} inputs, {f.get('accepted', 0):6} accepted"
    said += f", slowest {f.get('slowest', float('nan')):.2f} s, {f.get('peak_mb', float('nan')):.0f} MB at most"
    said += f", {f['kept']} kept" if "kept" in f else ""
    return said + (f"\n  FLAW {result.flaw}" if result.flaw else "")


def report(results: list[Result], seed: int) -> str:
    count = sum(r.facts.get("count", 0) for r in results)
    flaws = sum(bool(r.flaw) for r in results)
    slowest = max((r.facts.get("slowest", 0.0) for r in results), default=0.0)
    words = [f"{count} inputs, seed {seed}: {flaws} flaws, slowest {slowest:.2f} s of {LONGEST_S:g} s"]
    return "\n".join([*words, *filter(None, [guidance()])])
