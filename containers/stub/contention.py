"""The node's busy counter (docs/wire.md): what the light services of one node tell each other.

256 slots of one little-endian unsigned 32-bit integer, each written by its owner only: busy workers × 1000 ×
CPU per worker. u_v = Σ slots / 1000 / light CPU, at most 1.
"""

from __future__ import annotations

import mmap
import os
from struct import Struct

SLOTS = 256
_ALL = Struct(f"<{SLOTS}I")
_ONE = Struct("<I")


class BusyCounter:
    """slot: this container's index; cpu: cores per worker; light_cpu: cores the node keeps for light services."""

    def __init__(self, path: str, slot: int, cpu: float, light_cpu: float) -> None:
        if not 0 <= slot < SLOTS:
            raise ValueError(f"busy_slot {slot} is not in 0..{SLOTS - 1}")
        self._slot, self._cpu, self._light_cpu = slot, cpu, light_cpu
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < _ALL.size:
                os.ftruncate(descriptor, _ALL.size)
            self._map = mmap.mmap(descriptor, _ALL.size)
        finally:
            os.close(descriptor)
        self.write(0)

    def write(self, busy: int) -> None:
        """Publish this service's number of busy workers."""
        _ONE.pack_into(self._map, 4 * self._slot, round(busy * 1000 * self._cpu))

    def share(self) -> float:
        """u_v, 0..1."""
        if self._light_cpu <= 0:
            return 0.0
        busy: int = sum(_ALL.unpack_from(self._map))
        return min(1.0, busy / 1000 / self._light_cpu)
