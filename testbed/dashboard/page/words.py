"""Lines of events.jsonl in words, for whoever looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Event = Mapping[str, Any]

#: kind of event → (how it is marked, in words). What is not here is told by its name and fields.
_WORDS: dict[str, tuple[str, Callable[[Event], str]]] = {
    "origin": ("note", lambda e: "the load begins"),
    "fault_injected": (
        "fault",
        lambda e: f"{e['fault']}: {e['fault_kind']} on {e['target']} asked for, {e['for_s']:g} s",
    ),
    "fault_called": ("fault", lambda e: f"{e['fault']} is called for: {e['why']}"),
    "fault_applied": ("fault", lambda e: f"{e['fault']}: {e['verb']} on {e['target']} in force{_seen(e)}"),
    "fault_reverted": ("good", lambda e: f"{e['fault']}: {e['target']} as before{_seen(e)}"),
    "fault_withheld": ("note", lambda e: f"{e['fault']} withheld: {e['why']}"),
    "stopped": ("fault", lambda e: str(e["why"])),
    "network_link_down": ("fault", lambda e: f"{e['link']} is seen to be down, {e['took_s']:.2f} s after it was cut"),
    "network_link_up": ("good", lambda e: f"{e['link']} is seen to be up again"),
    "network_paths": ("path", lambda e: f"paths lead round {', '.join(e['down'])}" if e["down"] else "shortest paths"),
    "started": ("move", lambda e: f"{e['id']} started on {e['node']}, {e['workers']} workers, in {e['seconds']:.2f} s"),
    "drained": ("move", lambda e: f"{e['id']} drained, {e['lost']} tasks lost"),
    "resized": ("move", lambda e: f"{e['id']}: {e['from']} → {e['to']} workers"),
    "migrated": ("move", lambda e: f"{e['service']} moved from {e['from']} to {e['to']}, {e['lost']} tasks lost"),
    "instance_died": ("fault", lambda e: f"{e['id']} died"),
    "invalid": ("fault", lambda e: f"this run may not be believed: {e['why']}"),
    "note": ("note", lambda e: str(e["text"])),
}
_UNTOLD = frozenset({"prepared", "slot"})
_ENVELOPE = frozenset({"kind", "planned_s", "actual_s"})


def told(event: Event) -> Iterator[dict[str, Any]]:
    """{"t": nominal s or None, "mark", "text"} for each thing to tell; of a slot the reasons of its decisions."""
    kind, t = str(event["kind"]), event.get("actual_s")
    if kind == "slot":
        for reason in event.get("reasons", ()):
            yield {"t": t, "mark": "reason", "text": str(reason)}
    if kind in _UNTOLD:
        return
    mark, words = _WORDS.get(kind, ("note", _by_name))
    try:
        text = words(event)
    except (KeyError, TypeError, ValueError):  # a field that another version names otherwise: told all the same
        text = _by_name(event)
    yield {"t": t, "mark": mark, "text": text}


def _seen(e: Event) -> str:
    evidence = f" ({e['evidence']})" if e.get("evidence") else ""
    return f", read back{evidence}" if e["verified"] else evidence


def _by_name(e: Event) -> str:
    fields = ", ".join(f"{k} {v}" for k, v in e.items() if k not in _ENVELOPE)
    return f"{str(e['kind']).replace('_', ' ')}: {fields}".removesuffix(": ")
