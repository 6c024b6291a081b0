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


def ground(prepared: Prepared) -> dict[str, Any]:
    """What a report needs of the model beside the measures, so that it is made from the records alone.

    Nominal units. cpu of a service: cores a request holds while it is served; costs: c_dp, c_mt, c_pl.
    """
    model, top = prepared.resolved.model, prepared.resolved.topology
    node = {v.name: v for v in model.nodes}
    return {
        "sites": [{"name": s.name, "longitude": s.longitude, "latitude": s.latitude} for s in top.sites],
        "nodes": [{"name": h.name, "site": h.site, "cpu": node[h.name].cpu, "price": node[h.name].price}
                  for h in top.nodes],
        "gateways": [{"name": h.name, "site": h.site} for h in top.ingresses],
        "links": [{"name": k.name, "a": k.a, "b": k.b, "role": k.role, "rate_bps": k.ab.rate} for k in top.links],
        "services": {
            m.name: {"cpu": m.cpu / getattr(m, "streams", 1), "costs": [m.costs.deploy, m.costs.keep, m.costs.parallel]}
            for m in model.services()
        },
        "tasks": {
            n.name: {
                "deadline_s": n.deadline,
                "stages": {s.name: {"service": s.service, "after": [i.source for i in s.inputs]} for s in n.stages},
            }
            for n in model.tasks
        },
    }  # fmt: skip


def _sha256(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
