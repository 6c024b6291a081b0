"""What the policy was shown, written as it went, and the policy run again on it: the same decisions, or a defect.

observations.jsonl: the first line holds policy, parameters, model and placement, then one line per decision. Exact to
the last bit (testbed.record.exact); the path costs only where they changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controller import policies
from controller.decision import Placement
from controller.light import loops
from controller.model import Model, Paths
from controller.observation import Observation
from testbed.errors import InputError
from testbed.record.exact import decode, encode
from testbed.record.folder import RunFolder, plain, read
from testbed.run.beliefs import mistaken
from testbed.run.loop import action_of
from testbed.run.prepare import Prepared

VERSION = 1
FILE = "observations.jsonl"
COMPARED = ("slot", "actions", "reasons", "diagnostics")  # of a slot's event


class Log:
    """Writes observations.jsonl into a run's folder; the file begins with the first observation."""

    def __init__(self, folder: RunFolder, prepared: Prepared) -> None:
        self._folder, self._prepared = folder, prepared
        self._begun = False
        self._paths: Paths | None = None

    def __call__(self, observation: Observation, wrong: Mapping[str, float]) -> None:
        if not self._begun:
            self._begun = True
            p = self._prepared
            head = {"policy": p.scenario.policy.name, "parameters": p.parameters, "placement": p.placement}
            self._line({"version": VERSION, "model": p.resolved.model, **head})
        same = observation.paths == self._paths
        self._paths = observation.paths
        told = {"wrong": dict(wrong)} if wrong else {}
        shown = replace(observation, paths=None) if same else observation
        self._line({"same_paths": same, "observation": shown, **told})

    def _line(self, fields: Mapping[str, Any]) -> None:
        self._folder.append(FILE, json.dumps({k: encode(v) for k, v in fields.items()}, separators=(",", ":")))


@dataclass(frozen=True, slots=True)
class Replay:
    """decisions: how many. differences: what was recorded and what came now, in words."""

    decisions: int
    differences: tuple[str, ...]


def replay(folder: Path) -> Replay:
    """Feed a recorded run's observations to its policy and hold the decisions against the recorded ones.

    Raises InputError where there are none, or they are damaged.
    """
    _, _, events = read(folder)
    recorded = [e for e in events if e["kind"] == "slot"]
    differences = []
    count = 0
    for now, event in zip(_decisions(folder / FILE), recorded, strict=False):
        count += 1
        for part in COMPARED:
            if now[part] != event[part]:
                when = f"slot {event['slot']}, t {event['actual_s']:.3f} s"
                differences.append(f"{when}: {part}: recorded {_short(event[part])}, now {_short(now[part])}")
    if count != len(recorded):
        differences.append(f"{len(recorded)} decisions were recorded, {count} observations")
    return Replay(count, tuple(differences))


def _decisions(path: Path) -> Iterator[dict[str, Any]]:
    """Each decision as its event has it."""
    if not os.path.isfile(path):
        raise InputError(f"{path}: is not there; a live run writes it, and a run in the twin with --observations")
    paths: Paths | None = None
    number = 1
    loops.ready()
    try:
        with path.open(encoding="utf-8") as lines:
            head = json.loads(next(lines))
            policy = policies.get(head["policy"])
            model = decode(Model, head["model"])
            parameters = decode(dict[str, float], head["parameters"])
            state, _ = policy.begin(model, decode(Placement, head["placement"]), parameters)
            for number, text in enumerate(lines, 2):  # noqa: B007
                line = json.loads(text)
                observation = decode(Observation, line["observation"])
                paths = paths if line["same_paths"] else observation.paths
                wrong = decode(dict[str, float], line["wrong"]) if "wrong" in line else {}
                state, d = policy.step(mistaken(model, wrong), state, replace(observation, paths=paths))
                found = plain({"slot": d.slot, "actions": [action_of(a) for a in d.actions], "reasons": d.reasons,
                               "diagnostics": d.diagnostics})  # fmt: skip
                yield json.loads(json.dumps(found))
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise InputError(f"{path}:{number}: can't be replayed ({error}); run the scenario again") from None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"
