"""The closing summary a person understands, from summary.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.units import counted


def closing(summary: Mapping[str, Any], where: str) -> str:
    """A dozen lines: what was asked of the edge, what came back, at which cost, and whether to believe it."""
    t, cost, moves = summary["tasks"], summary["cost"], summary["migrations"]
    lines = [
        f"{summary['scenario']['name']} · {summary['world']} · policy {summary['policy']} · seed {summary['seed']}",
        f"  on time     {_percent(summary['on_time_rate'])} of {t['offered']} tasks"
        f" ({t['on_time']} on time, {t['late']} late, {t['lost']} lost){_at_most(summary.get('fluid_bound'))}",
        "  by type     " + "  ".join(f"{n} {_percent(r)}" for n, r in summary["on_time_rate_by_type"].items()),
        "  latency p95 " + "  ".join(f"{n} {_ms(q['p95'])}" for n, q in summary["latency_s"].items()),
        f"  cost        {cost['total_per_slot']:.1f} per slot ({cost['operation_per_slot']:.1f} operation"
        f" + {cost['migration_per_slot']:.1f} migration); {cost['deployment']:.0f} once to deploy",
        f"  core        {summary['placement']['status']}, gap {_percent(summary['placement']['gap'])}: "
        + "  ".join(f"{m} on {', '.join(v)}" for m, v in summary["placement"]["instances"].items()),
        f"  light       {counted(moves['count'], 'migration')}, {counted(moves['tasks_lost'], 'task')} lost by moving;"
        f" scaled out {summary['scalings']['out']}×, in {summary['scalings']['in']}×",
    ]
    for f in summary["faults"]:
        rate = summary["on_time_rate_after_fault"].get(f["name"])
        end = f"{f['reverted_at_s']:.1f}" if f["reverted_at_s"] is not None else "never"
        lines.append(
            f"  fault       {f['name']}: {f['kind']} on {f['target']}, {f['applied_at_s']:.1f} to {end} s,"
            f" {'verified' if f['verified'] else 'NOT verified'}; on time during and after {_percent(rate)}"
        )
    for c in summary["claims"]:
        lines.append(
            f"  claim       {c['id']}: {c['verdict'].upper()} (estimate {_number(c['estimate'])}, runs {c['runs']})"
        )
    if not summary["valid"]:
        lines.append("  NOT VALID   " + "; ".join(summary["invalid_because"]))
    lines.append(f"  verdict     {summary['verdict'].upper()}      records: {where}")
    return "\n".join(lines)


def _at_most(bound: float | None) -> str:
    """What no routing and no light sizing could have exceeded; records of before have none."""
    return "" if bound is None else f"; at most {_percent(bound)} by any routing and sizing"


def _percent(x: float | None) -> str:
    return "–" if x is None else f"{100 * x:.1f} %"


def _ms(x: float | None) -> str:
    return "–" if x is None else f"{1000 * x:.0f} ms"


def _number(x: float | None) -> str:
    return "–" if x is None else f"{x:.4f}"
