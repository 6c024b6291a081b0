"""GET /health and GET /metrics, on the service's own port."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stub.service import Service


def answer(service: Service, path: str) -> tuple[int, str]:
    """(HTTP status, text) for a path. Health: 200 ready, 503 starting or draining. Metrics: Prometheus text."""
    if path == "/health":
        if service.draining:
            return 503, "draining\n"
        return (200, "ready\n") if service.ready else (503, "starting\n")
    if path == "/metrics":
        return 200, metrics(service)
    return 404, f"there is no {path[:80]}. There are: /health, /metrics\n"


def metrics(service: Service) -> str:
    name = service.name
    lines = ["# TYPE shaketable_requests_total counter"]
    for outcome in ("done", "dropped", "lost"):
        count = service.telemetry.outcomes[outcome]
        lines.append(f'shaketable_requests_total{{service="{name}",outcome="{outcome}"}} {count}')
    for gauge, value in (
        ("backlog", service.backlog),
        ("workers", service.workers.count),
        ("busy", len(service.workers.running)),
        ("half_joins", len(service.joins)),
    ):
        lines += [f"# TYPE shaketable_{gauge} gauge", f'shaketable_{gauge}{{service="{name}"}} {value}']
    return "\n".join(lines) + "\n"
