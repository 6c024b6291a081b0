"""Values with units in scenario files: parsed once, to SI, into annotated pydantic types.

Seconds (float s), BitsPerSecond (float bit/s), Bytes (float bytes), PerSecond (float 1/s). A bare number is
refused: "20" names no unit. Decimal prefixes are powers of 1000; KiB, MiB, GiB powers of 1024.
A case mistake that changes the meaning ("mbps", "Mb", "mB") is refused with the spelling that is meant.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_NUMBER = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.*?)?\s*$")

TIME = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
RATE = {"bit/s": 1.0, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9}
SIZE = {
    "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
    "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3,
}  # fmt: skip
FREQUENCY = {"/s": 1.0, "1/s": 1.0, "per s": 1.0, "/min": 1 / 60}


def parse(text: object, table: dict[str, float], quantity: str) -> float:
    """`"20 ms"` → 0.02 by `table`. Raises ValueError naming the quantity and the units it takes."""
    allowed = ", ".join(u for u in table if u != "µs")
    if isinstance(text, bool) or not isinstance(text, str):
        raise ValueError(f"{text!r} has no unit: a {quantity} is written like {_example(table)!r} (units: {allowed})")
    match = _NUMBER.match(text)
    if not match:
        raise ValueError(f"{text!r} is not a {quantity}: write it like {_example(table)!r} (units: {allowed})")
    number, unit = match.group(1), match.group(2)
    if unit is None:
        raise ValueError(f"{text!r} has no unit: a {quantity} is written like {_example(table)!r} (units: {allowed})")
    if unit not in table:
        near = [u for u in table if u.lower() == unit.lower()]
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{unit!r} is not a unit of {quantity}.{hint} Units: {allowed}")
    return float(number) * table[unit]


def _example(table: dict[str, float]) -> str:
    return {id(TIME): "20 ms", id(RATE): "50 Mbit/s", id(SIZE): "2 GiB"}.get(id(table), "60 /s")


def _validator(table: dict[str, float], quantity: str) -> BeforeValidator:
    def convert(value: Any) -> float:
        return parse(value, table, quantity)

    return BeforeValidator(convert)


Seconds = Annotated[float, _validator(TIME, "duration"), Field(ge=0, allow_inf_nan=False)]
BitsPerSecond = Annotated[float, _validator(RATE, "rate"), Field(gt=0, allow_inf_nan=False)]
Bytes = Annotated[float, _validator(SIZE, "size"), Field(ge=0, allow_inf_nan=False)]
PerSecond = Annotated[float, _validator(FREQUENCY, "frequency"), Field(gt=0, allow_inf_nan=False)]
