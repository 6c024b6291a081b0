"""Values with units in scenario files: parsed once, to SI, into annotated pydantic types.

Seconds (float s), BitsPerSecond (float bit/s), Bytes (float bytes), PerSecond (float 1/s). A bare number is
refused: "20" names no unit. Decimal prefixes are powers of 1000; KiB, MiB, GiB powers of 1024.
A case mistake that changes the meaning ("mbps", "Mb", "mB") is refused with the spelling that is meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_NUMBER = re.compile(r"^\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(\S.*?)?\s*$")

TIME = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
RATE = {"bit/s": 1.0, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9}
SIZE = {
    "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
    "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3,
}  # fmt: skip
FREQUENCY = {"/s": 1.0, "1/s": 1.0, "per s": 1.0, "/min": 1 / 60}

#: What people write, and the spelling that is meant. `tc` reads "mbps" as megabytes, so we guess nothing.
_SLIPS = {
    "bps": "bit/s", "kbps": "kbit/s", "Kbps": "kbit/s", "mbps": "Mbit/s", "Mbps": "Mbit/s", "Mb/s": "Mbit/s",
    "mbit": "Mbit/s", "Mbit": "Mbit/s", "gbps": "Gbit/s", "Gbps": "Gbit/s", "Gb/s": "Gbit/s", "gbit": "Gbit/s",
    "Gbit": "Gbit/s", "mB": "MB", "Mb": "MB", "mb": "MB", "M": "MB", "Gb": "GB", "gb": "GB", "G": "GB",
    "KB": "kB", "kb": "kB", "Kb": "kB", "Mi": "MiB", "Gi": "GiB", "Ki": "KiB", "bytes": "B", "byte": "B",
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "msec": "ms", "m": "min", "minutes": "min",
    "hours": "h", "Hz": "/s", "hz": "/s", "rps": "/s", "tasks/s": "/s", "/sec": "/s",
}  # fmt: skip


def parse(text: object, table: Mapping[str, float], quantity: str) -> float:
    """`"20 ms"` → 0.02 by `table`. Raises ValueError naming the quantity and the units it takes."""
    number, unit = _split(text, table, quantity)
    return number * _factor(unit, table, quantity)


def parse_range(text: object, table: Mapping[str, float], quantity: str) -> tuple[float, float]:
    """`"6..14 ms"` → (0.006, 0.014); a single value gives itself twice. Raises ValueError as `parse` does."""
    if not isinstance(text, str) or ".." not in text:
        value = parse(text, table, quantity)
        return value, value
    head, tail = text.split("..", 1)
    high, unit = _split(tail, table, quantity)
    low_text = head.strip()
    low = parse(head, table, quantity) if _unit_of(low_text) else _split(f"{low_text} {unit}", table, quantity)[0]
    factor = _factor(unit, table, quantity)
    bounds = (low if _unit_of(low_text) else low * factor, high * factor)
    if bounds[0] > bounds[1]:
        raise ValueError(f"{text!r} is not a range of {quantity}s: the lower end comes first, like '6..14 ms'")
    return bounds


def show(value: float, table: Mapping[str, float]) -> str:
    """The value in the largest decimal unit of `table` that keeps it at 1 or more: 0.253 → "253 ms"."""
    decimal = {u: f for u, f in table.items() if "i" not in u.removesuffix("bit/s") and u not in ("µs", "1/s", "per s")}
    fitting = [u for u, f in decimal.items() if abs(value) >= f] or [min(decimal, key=lambda u: decimal[u])]
    unit = max(fitting, key=lambda u: decimal[u]) if table is not TIME or abs(value) < 1 else "s"
    return f"{value / decimal[unit]:.4g} {unit}"


def _unit_of(text: str) -> str | None:
    match = _NUMBER.match(text)
    return match.group(2) if match else None


def _split(text: object, table: Mapping[str, float], quantity: str) -> tuple[float, str]:
    """Number and unit of `text`; ValueError where either is missing."""
    how = f"a {quantity} is written like {_example(table)!r} (units: {_allowed(table)})"
    if isinstance(text, bool) or not isinstance(text, str):
        kind = "has no unit" if isinstance(text, int | float) and not isinstance(text, bool) else f"is not a {quantity}"
        raise ValueError(f"{text!r} {kind}: {how}")
    match = _NUMBER.match(text)
    if not match:
        raise ValueError(f"{text!r} is not a {quantity}: {how}")
    if match.group(2) is None:
        raise ValueError(f"{text!r} has no unit: {how}")
    return float(match.group(1)), match.group(2)


def _factor(unit: str, table: Mapping[str, float], quantity: str) -> float:
    if unit in table:
        return table[unit]
    meant = _SLIPS.get(unit)
    if meant not in table:
        meant = next((u for u in table if u.lower() == unit.lower()), None)
    if meant is None:
        meant = next(iter(difflib.get_close_matches(unit, list(table), n=1)), None)
    hint = f" Did you mean {meant!r}?" if meant else ""
    raise ValueError(f"{unit!r} is not a unit of {quantity}.{hint} Units: {_allowed(table)}")


def _allowed(table: Mapping[str, float]) -> str:
    return ", ".join(u for u in table if u != "µs")


def _example(table: Mapping[str, float]) -> str:
    return {id(TIME): "20 ms", id(RATE): "50 Mbit/s", id(SIZE): "2 GiB"}.get(id(table), "60 /s")


def _validator(table: Mapping[str, float], quantity: str) -> BeforeValidator:
    def convert(value: Any) -> float:
        return parse(value, table, quantity)

    return BeforeValidator(convert)


@dataclass(frozen=True)
class Unit:
    """What a value is counted in, beside its type: for the reference and for JSON Schema.

    name: as the reference says it ("duration", "cores"). table: where values are text with one of these units.
    """

    name: str
    table: Mapping[str, float] | None = field(default=None, compare=False)

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        if self.table is None:
            return {**handler(core), "x-unit": self.name}
        units = "|".join(re.escape(u) for u in self.table)
        return {
            "type": "string", "pattern": rf"^\s*[+-]?[0-9.]+([eE][+-]?[0-9]+)?\s*({units})\s*$",
            "examples": [_example(self.table)], "x-unit": self.name,
        }  # fmt: skip


Seconds = Annotated[float, _validator(TIME, "duration"), Field(ge=0, allow_inf_nan=False), Unit("duration", TIME)]
PositiveSeconds = Annotated[
    float, _validator(TIME, "duration"), Field(gt=0, allow_inf_nan=False), Unit("duration", TIME)
]
BitsPerSecond = Annotated[float, _validator(RATE, "rate"), Field(gt=0, allow_inf_nan=False), Unit("rate", RATE)]
Bytes = Annotated[float, _validator(SIZE, "size"), Field(ge=0, allow_inf_nan=False), Unit("size", SIZE)]
PerSecond = Annotated[
    float, _validator(FREQUENCY, "frequency"), Field(gt=0, allow_inf_nan=False), Unit("frequency", FREQUENCY)
]


def counted(n: int, what: str) -> str:
    """ "1 task", "2 tasks"."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
