"""Where a run's load and bandwidth came from: laws, files and the files' own hashes, for metadata.json."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from testbed.load.bandwidth import Bins
from testbed.run.prepare import Prepared


def inputs(prepared: Prepared, bins: Bins) -> dict[str, Any]:
    """{"arrivals": {law, file, sha256}, "bandwidth": [{link, mean_bps, changes, file, sha256}, …]}, nominal bit/s."""
    law, trace = prepared.scenario.arrivals.law, prepared.scenario.arrivals.trace
    arrivals: dict[str, Any] = {"law": law}
    if law == "trace" and trace is not None:
        arrivals |= {"file": trace.file, "sha256": _sha256(trace.file)}
    bandwidth = [
        {
            "link": t.link,
            "mean_bps": sum(t.rates) / len(t.rates),
            "changes": len(t.times),
            "file": t.source,
            "sha256": _sha256(t.source) if t.source else None,
        }
        for t in prepared.tracks(bins)
    ]
    return {"arrivals": arrivals, "bandwidth": bandwidth}


def _sha256(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
