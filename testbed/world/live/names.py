"""Names and addresses of one run on the machine. Host-global names carry the run's tag; inside Mininet they are short.

Linux interface names are at most 15 bytes, so global names use indices: `sk1a2b3-p7a`. Emulated addresses come from
10.77.0.0/16 and live in the pods' namespaces only; the MAC is derived from the index so neighbours can be static.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

LABEL = "shaketable.run"  # container label, OVS external_ids key, cgroup folder
PREFIX = "sk"
SERVICE_PORT = 7000  # instance k of a node listens on 7000 + k
GATEWAY_PORT = 6000


@dataclass(frozen=True, slots=True)
class Names:
    """run_id: lower-case hex or date-like text; its last six alphanumerics are the tag."""

    run_id: str

    @property
    def tag(self) -> str:
        return "".join(c for c in self.run_id.lower() if c.isalnum())[-6:]

    @property
    def prefix(self) -> str:
        """Begins every host-global interface and bridge of the run, e.g. "sk1a2b3c-"."""
        return f"{PREFIX}{self.tag}-"

    def bridge(self, site_index: int) -> str:
        return f"{self.prefix}s{site_index}"

    def port(self, link_index: int, end: str) -> str:
        """Switch-side (host namespace) interface of a link's end, end "a" or "b"."""
        return f"{self.prefix}{link_index}{end}"

    @property
    def group(self) -> int:
        """Of the run's interfaces in the host's namespace (`ip link … group`): they are deleted all at once by it."""
        return zlib.crc32(self.run_id.encode()) & 0x3FFFFFFF | 1 << 30

    def container(self, name: str) -> str:
        return f"shaketable-{self.tag}-{name}"

    @property
    def cgroup(self) -> str:
        """Parent of the run's pods below each controller's root (cgroupfs driver)."""
        return f"/shaketable.run-{self.run_id}"

    @property
    def folder(self) -> str:
        """Run-time state: sockets, ledger. Root only."""
        return f"/run/shaketable/{self.run_id}"

    def datapath_id(self, site_index: int) -> int:
        """64 bits: 0x5348 | 24 bits of the tag | index; unique per run, accepted by this run's os-ken only."""
        tag = int.from_bytes(self.tag.encode()[-3:], "big")
        return (0x5348 << 48) | (tag << 16) | (site_index + 1)


def address(host_index: int) -> str:
    """IPv4 of the host (nodes first, then ingresses, in topology order); /16."""
    return f"10.77.{host_index // 250}.{host_index % 250 + 1}"


def mac(host_index: int) -> str:
    return f"02:53:4b:00:{host_index // 256:02x}:{host_index % 256:02x}"
