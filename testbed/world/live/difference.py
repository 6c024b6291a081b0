"""One thing that is not as it should be: what the reading back after a build finds, and the watch during a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """name: whose ("host n3", "bridge …", "switch s1"); what: of it; expected and found: None where there is none."""

    name: str
    what: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.name}: {self.what}: found {self.found}, wanted {self.expected}"
