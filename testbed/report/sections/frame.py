"""The first and the last of the page: what to believe, and how to have it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from testbed.report.closing import closing
from testbed.report.run_records import RunRecords, Section, esc, note, percent, table


def headline(r: RunRecords) -> str:
    """Title, verdict, validity, the figures asked for first, claims and faults."""
    s = r.summary
    t, cost, moves = s["tasks"], s["cost"], s["migrations"]
    verdict = s["verdict"]
    question = next((x[1:].strip() for x in r.metadata["scenario_text"].splitlines()[:1] if x.startswith("#")), "")
    cards = (
        (verdict, f"verdict, {_claims(s['claims'])}", verdict),
        ("valid" if s["valid"] else "not valid", "may it be believed?", "good" if s["valid"] else "bad"),
        (percent(s["on_time_rate"]), f"on time, of {t['offered']} tasks", ""),
        (f"{t['late']} + {t['lost']}", "late + lost", ""),
        (f"{cost['total_per_slot']:.1f}", "cost per slot", ""),
        (f"{moves['count']}", f"moves, {moves['tasks_lost']} tasks lost by them", ""),
    )
    out = [
        f"<h1>{esc(s['scenario']['name'])} · <span class='{esc(verdict)}'>{esc(verdict)}</span></h1>",
        f"<p>{esc(question)}</p>" if question else "",
        note(f"{s['world']} world, policy {s['policy']}, seed {s['seed']}, {s['duration_s']:g} s measured, "
             f"dilate {s['dilation']:g}, shrink {s['shrink']:g}, scenario {s['scenario']['sha256'][:12]}"),
        "<div class='cards'>",
        *(f"<div><b class='{esc(mark)}'>{esc(big)}</b><span>{esc(small)}</span></div>" for big, small, mark in cards),
        "</div>",
    ]  # fmt: skip
    if not s["valid"]:
        why = "".join(f"<li>{esc(x)}</li>" for x in s["invalid_because"])
        out.append(f"<p class='bad'><b>This run may not be believed:</b></p><ul>{why}</ul>")
    if s["claims"]:
        rows = [(c["id"], c["verdict"], "–" if c["estimate"] is None else f"{c['estimate']:.4f}", c["runs"])
                for c in s["claims"]]  # fmt: skip
        out.append(table(("claim", "verdict", "estimate of this run", "runs asked for"), rows, (2, 3)))
    if s["faults"]:
        out.append("<h2>Faults, as read back</h2>" + _faults(r))
    return "".join(out)


def _claims(claims: list[Any]) -> str:
    return "no claim made" if not claims else "1 claim" if len(claims) == 1 else f"{len(claims)} claims"


def _faults(r: RunRecords) -> str:
    rows = []
    for f in r.summary["faults"][:100]:
        end = "never" if f["reverted_at_s"] is None else f"{f['reverted_at_s']:.1f}"
        begun = "–" if f["applied_at_s"] is None else f"{f['applied_at_s']:.1f}"
        after = percent(r.summary["on_time_rate_after_fault"].get(f["name"]))
        seen = ("verified: " if f["verified"] else "NOT verified: ") + str(f.get("evidence", ""))
        rows.append((f["name"], f"{f['kind']} on {f['target']}", begun, end, after, seen))
    head = ("fault", "what", "from, s", "to, s", "on time during and 5 s after", "evidence")
    return table(head, rows, (2, 3, 4))


def repeatable(argv: Sequence[Any]) -> list[str]:
    """The command without where its records went and by how many processes: it is the same run elsewhere."""
    out: list[str] = []
    words = iter(map(str, argv))
    for word in words:
        if word in ("--out", "--workers"):
            next(words, None)
        elif not word.startswith(("--out=", "--workers=")):
            out.append(word)
    return out


def again(r: RunRecords) -> Section:
    """The command, what it depended on, and the scenario."""
    m = r.metadata
    versions = m.get("versions", {})
    rows = [("seed", m["seed"]), ("scenario", m["sha256"]), ("run", m["run_id"]),
            *sorted((str(k), v) for k, v in versions.items())]  # fmt: skip
    rows += [(f"policy.{k}", f"{v:g}" if isinstance(v, float) else v) for k, v in m.get("parameters", {}).items()]
    rows += [("links by", r.summary["link_backend"]), ("datapath", r.summary["datapath"] or "–")]
    arrivals = m.get("arrivals", {})
    rows.append(("arrivals", ", ".join(f"{k} {v}" for k, v in arrivals.items())))
    rows += [("bandwidth file", f"{b['file']} {b['sha256']}") for b in m.get("bandwidth", [])[:40] if b.get("file")]
    argv = repeatable(m.get("argv") or [])
    command = f"<pre>testbed {esc(shlex.join(argv))}</pre>" if argv else ""
    if r.summary["world"] == "twin":
        command += note("In the twin the same version, scenario and seed give the same tasks, byte for byte.")
    text = f"<details><summary>The whole scenario</summary><pre>{esc(m['scenario_text'])}</pre></details>"
    words = f"<details><summary>The summary in words</summary><pre>{esc(closing(r.summary, '.'))}</pre></details>"
    return Section("How to have it again", command + table(("what", "value"), rows) + words + text)
