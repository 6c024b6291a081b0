"""The figures of a soak, and what of them is not as it should be."""

from __future__ import annotations

from collections import Counter

from tests.soak.meter import SHARED, cores
from tests.soak.reading import extra, longest_silence, lost_by_moving, unanswered
from tests.soak.story import Soak

FLAT = 0.05  # growth that still counts as none
OWN = ("run", "relay", "os-ken", "reaper", "gateways")  # parts that stay; services come and go


def verdicts(soak: Soak) -> list[str]:
    """What does not hold, in words; empty when all does. Descriptors of one more is not growth: a look may be one."""
    out = []
    if soak.code not in (0, 3):
        out.append(f"exit code {soak.code}")
    if soak.left:
        out.append(f"left on the machine: {soak.left}")
    outside, _ = unanswered(soak.run)
    if outside:
        out.append(f"tasks unanswered outside fault windows: {outside}")
    calm, _ = lost_by_moving(soak.run)
    if calm:
        out.append(f"{calm} tasks lost by moves that met no fault")
    unverified = [f["name"] for f in soak.run.summary["faults"] if not f["verified"]]
    if unverified:
        out.append(f"faults not verified: {unverified}")
    for g in soak.growth():
        if g.part in OWN and g.share > FLAT and g.last > g.first + 1:
            out.append(f"{g.part}: {g.measure} grew from {g.first:g} to {g.last:g}, {100 * g.share:+.1f} %")
        if (g.part, g.measure) == ("nodes", "count") and g.last > g.first + 3:
            out.append(f"containers grew from {g.first:g} to {g.last:g}")
    return out


def table(soak: Soak, still: Soak | None) -> str:
    """Everything that was measured, for people."""
    s = soak.run.summary
    outside, inside = unanswered(soak.run)
    calm, met = lost_by_moving(soak.run)
    kinds = Counter(f["kind"] for f in s["faults"])
    seconds = sorted(e["seconds"] for e in soak.run.moves()) or [float("nan")]
    lines = [
        f"tasks {s['tasks']}, lost by {s['lost_by']}, on time {100 * s['on_time_rate']:.2f} %",
        f"valid {s['valid']}: {s['invalid_because']}",
        f"faults {len({f['name'] for f in s['faults']})} of {len(kinds)} kinds, all verified:"
        f" {all(f['verified'] for f in s['faults'])}",
        f"unanswered outside fault windows {len(outside)}, inside {len(inside)}",
        f"moves {len(soak.run.moves())}, lost by moves without a fault {calm}, with one {met}; blackout at most "
        f"{s['migrations']['blackout_s_max']:.3f} s; a move takes {seconds[len(seconds) // 2]:.2f} s p50, "
        f"{seconds[-1]:.2f} s at most; actions that failed {len(soak.run.failed())}",
        "cores used: " + ", ".join(f"{part} {x:.3f}" for part, x in cores(soak.meter.samples).items()),
        f"generator lag p99 {1e3 * s['generator_lag_s_p99']:.1f} ms",
        f"{'part':13} {'measure':12} {'first':>10} {'last':>10} change",
    ]
    lines += [
        f"{g.part:13} {g.measure:12} {g.first:10g} {g.last:10g} {100 * g.share:+.1f} %"
        + (" (shared)" if g.part in SHARED else "")
        for g in soak.growth()
    ]
    if still is not None:
        lines += [f"without moves: on time {100 * still.run.summary['on_time_rate']:.2f} %"]
        for name, x in extra(soak.run, still.run).items():
            lines.append(f"extra latency {name}: n {x.n}, p50 {1e3 * x.p50:+.2f} ms, p99 {1e3 * x.p99:+.2f} ms")
        silences = longest_silence(soak.run), longest_silence(still.run)
        for service, x in silences[0].items():
            lines.append(
                f"longest silence of {service}: {x:.2f} s, without moves {silences[1].get(service, 0.0):.2f} s"
            )
    return "\n".join(lines)
