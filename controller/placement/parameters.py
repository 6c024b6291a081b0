"""Parameters of the core placement (docs/mathematics.md §2), with the defaults of the reference scenario."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlacementParameters:
    """plan_load counts in multiples of the nominal load; costs are in the unit of the model's prices."""

    plan_load: float = 3.0  # load the placement is made for
    rho: float = 0.75  # ρ: highest planned utilisation of an instance's streams
    r: int = 2  # least number of instances, and of domains, of a service
    sigma: float = 1.0  # σ: multiple of the *nominal* load that survivors of any one node still carry
    alpha: float = 40.0  # α: cost of a whole service at quality score 0; unserved demand costs 5 α
    beta_per_ms: float = 0.02  # β: cost per millisecond of core-to-core transfer of a mean task
    horizon_slots: float = 100.0  # H: slots over which a deployment is written off
    light_cpu_share: float = 0.4  # share of every node's CPU that core services leave to light ones
    nearest_clusters: int = 4  # an ingress is served from this many domains at most
    profile: float = 1.05  # factor of the mean service time in the latency profile: upper end of the reference law
    n_max_factor: float = 1.1  # N_m = max(r + 1, ⌈factor · N_min⌉ + 1)

    def __post_init__(self) -> None:
        for name in ("plan_load", "rho", "horizon_slots", "profile", "n_max_factor"):
            self._require(name, getattr(self, name) > 0, "more than 0")
        for name in ("sigma", "alpha", "beta_per_ms"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        for name in ("r", "nearest_clusters"):
            value = getattr(self, name)
            self._require(name, value >= 1 and value == int(value), "a whole number of at least 1")
        self._require("light_cpu_share", 0 <= self.light_cpu_share < 1, "at least 0 and less than 1")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise ValueError(f"placement parameter {name}: found {getattr(self, name)}, allowed is {allowed}")
