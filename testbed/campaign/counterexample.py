"""What a search leaves: falsify.json, and the counterexample as a scenario that anyone can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from testbed.campaign.falsify import Bench, Found
from testbed.campaign.folder import write
from testbed.campaign.parcel import Bundle
from testbed.campaign.severity import Window, loaded, total
from testbed.run.prepare import load
from testbed.scenario import source

FILE = "counterexample.yaml"


def facts(bench: Bench, found: Found, spent: int, kinds: Mapping[str, int]) -> dict[str, Any]:
    """What falsify.json holds. Severities as docs/campaigns.md defines them. kinds: kind → its number of targets."""
    window = Window.of(bench.scenario)
    margins = [
        {
            "kind": d.kind,
            "target": d.target,
            "holds_at": m.holds,
            "breaks_at": m.breaks,
            "words": d.at(m.holds if m.breaks is None else m.breaks).words(bench.most, window),
        }
        for d, m in sorted(found.margins.items())
    ]
    return {
        "schema_version": 1,
        "scenario": bench.scenario.name,
        "policy": bench.scenario.policy.name,
        "claim": bench.claim.id,
        "seeds": list(range(bench.scenario.run.seed, bench.scenario.run.seed + bench.seeds)),
        "undisturbed_slack": found.undisturbed,
        "margins": margins,
        "by_kind": _by_kind(bench, found, kinds),
        "severity": None if found.schedule is None else total(found.schedule),
        "schedule": None if found.schedule is None else [d.words(bench.most, window) for d in found.schedule],
        "setting": found.question[0] if found.question and found.schedule is not None else "",
        "rechecked_from_seed": found.first if found.judged else None,
        "judged": found.judged,
        "held_against": [d.words(bench.most, window) for d in found.tried],
        "budget_spent": found.spent,
        "runs": spent,
    }


def _by_kind(bench: Bench, found: Found, kinds: Mapping[str, int]) -> dict[str, dict[str, Any] | None]:
    """Kind → its margin, that of the target that breaks first; None where the budget did not reach every target."""
    window = Window.of(bench.scenario)
    out: dict[str, dict[str, Any] | None] = {}
    for kind, targets in kinds.items():
        mine = sorted((2.0 if m.breaks is None else m.breaks, d, m) for d, m in found.margins.items() if d.kind == kind)
        if len(mine) < targets:
            out[kind] = None
            continue
        _, d, m = mine[0]
        out[kind] = {
            "target": "" if m.breaks is None else d.target,
            "holds_at": m.holds,
            "breaks_at": m.breaks,
            "amount": d.at(m.holds).amount(bench.most, window),
        }
    return out


def write_scenario(file: Path, sets: Sequence[str], bench: Bench, found: Found, out: Path) -> Path:
    """DIR/counterexample.yaml, extending a copy of the original beside it: `verify` makes the very runs that judged.

    sets: what the search changed before it began, the policy's name.
    """
    assert found.schedule is not None and found.judged is not None
    bundle = Bundle.of(file, [()])
    bundle.unpack(out)
    raw = source.read(file, sets).data
    index = next(i for i, c in enumerate(bench.scenario.claims) if c.id == bench.claim.id)
    text = _text(raw, raw["claims"][index], bundle.file, bench, found, bool(sets))
    write(out / FILE, text)
    load(out / FILE, ())
    return out / FILE


def _text(raw: Mapping[str, Any], claim: Mapping[str, Any], file: str, bench: Bench, found: Found, policy: bool) -> str:
    assert found.schedule is not None and found.question is not None
    label, asked = found.question
    window, faults = Window.of(bench.scenario), list(raw.get("faults", []))
    content: dict[str, Any] = {
        "extends": file,
        "name": f"{bench.scenario.name}_broken"[:31],
        "question": bench.scenario.question,
    }
    for d in sorted(found.schedule):
        if d.kind == "load":
            content["load"] = float(f"{bench.scenario.load * d.load_factor(bench.most):.6g}")
        else:
            faults.append({"name": f"shake_{len(faults) + 1}", **d.fault(window)})
    content |= {"faults": faults} if faults else {}
    content |= {"policy": {"name": bench.scenario.policy.name}} if policy else {}
    content["run"] = {"seed": found.first}
    parts = {"set", "sweep", "against"}
    narrowed = loaded(asked, found.schedule, bench.most).model_dump(mode="json", include=parts, exclude_defaults=True)
    content["claims"] = [{k: v for k, v in claim.items() if k not in parts} | narrowed | {"runs": asked.runs}]
    said = " ".join(
        [*([f"at {label}"] if label else []), _sentence([d.words(bench.most, window) for d in found.schedule])]
    )
    head = f"# Found by `testbed falsify`: claim {bench.claim.id!r} of {file} fails {said}.\n"
    return head + str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120))


def _sentence(words: Sequence[str]) -> str:
    return f"under {' and '.join(words)}" if words else "undisturbed"
