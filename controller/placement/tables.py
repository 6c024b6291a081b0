"""Everything the integer program reads, computed once from the model, as arrays (docs/mathematics.md §2).

Axes, by position in the model: m core services in use, v nodes, o ingresses, g and h domains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from controller.model import Core, Model, Node
from controller.placement import qos
from controller.placement.parameters import PlacementParameters

#: A service of at most so many instances is served from everywhere.
FEW = 8
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Tables:
    """services: the core services that some task type uses; domains: names of g in the order of `domain`.

    domain (v,): index of g(v). demand (m, o): Λ_mo, 1/s. weight (o,): gw_o, summing to 1. holds (m, v): v could hold m
    if it held nothing else. cap (m, v): cap_mv, 1/s, 0 where it is not held. price (m, v): price_v (c_mt + c_dp/H).
    least, most, spread (m,): r_m, N_m and r_mG. survive (m,): S_m, 1/s. late (m, o, v): L_mov, s, infinite where there
    is no path. score (m, o, v): q_mov. serves (m, o, v): where z_mov exists.
    """

    model: Model
    parameters: PlacementParameters
    services: tuple[Core, ...]
    domains: tuple[str, ...]
    domain: Ints
    demand: Floats
    weight: Floats
    holds: Mask
    cap: Floats
    price: Floats
    least: Ints
    most: Ints
    spread: Ints
    survive: Floats
    late: Floats
    score: Floats
    serves: Mask

    @cached_property
    def total(self) -> Floats:
        """(m,): Λ_m, 1/s."""
        return np.asarray(self.demand.sum(axis=1))

    @cached_property
    def share(self) -> Floats:
        """(m, o): Λ_mo / Λ_m."""
        return np.divide(self.demand, self.total[:, None], dtype=float)

    @cached_property
    def need(self) -> Floats:
        """(2, m): cores and GB of an instance. GB, since bytes would put 10⁹ beside 1 in a matrix."""
        return np.array([[m.cpu for m in self.services], [m.memory / 1e9 for m in self.services]])

    @cached_property
    def room(self) -> Floats:
        """(2, v): cores and GB of a node that core services may take."""
        nodes = self.model.nodes
        return np.array([[free_cpu(v, self.parameters) for v in nodes], [v.memory / 1e9 for v in nodes]])


def free_cpu(node: Node, parameters: PlacementParameters) -> float:
    """Cores of a node that core services may take: what is reserved for light services is not among them."""
    return (1 - parameters.light_cpu_share) * node.cpu


def holds(node: Node, m: Core, parameters: PlacementParameters) -> bool:
    """Whether the node could hold an instance if it held nothing else (a millionth of slack for rounding)."""
    return m.cpu <= free_cpu(node, parameters) * (1 + 1e-6) and m.memory <= node.memory * (1 + 1e-6)


def capacity(node: Node, m: Core, rho: float) -> float:
    """cap_mv: requests per second of an instance at utilisation ρ. Eq. (12)."""
    return rho * m.streams * node.speed / m.work


def tables(model: Model, parameters: PlacementParameters) -> Tables:
    """The arrays of eq. (7) to (9) and the bounds of (12) to (16)."""
    rates = qos.demand(model, parameters.plan_load)
    used = {m for m, _ in rates}
    services = tuple(m for m in model.core if m.name in used)
    places = {g: i for i, g in enumerate(dict.fromkeys(v.domain for v in model.nodes))}
    domain = np.array([places[v.domain] for v in model.nodes], np.int64)
    shape = (len(services), len(model.nodes))
    demand = np.array([[rates.get((m.name, o.name), 0.0) for o in model.ingresses] for m in services])
    demand = demand.reshape(len(services), len(model.ingresses))
    held = np.array([[holds(v, m, parameters) for v in model.nodes] for m in services], bool).reshape(shape)
    cap = np.array([[capacity(v, m, parameters.rho) for v in model.nodes] for m in services]).reshape(shape) * held
    cost = [m.costs.keep + m.costs.deploy / parameters.horizon_slots for m in services]
    total = demand.sum(axis=1)
    most = np.array([most_instances(cap[i][held[i]], total[i], parameters) for i in range(len(services))], np.int64)
    spread = np.array([min(int(parameters.r), len(set(domain[row]))) for row in held], np.int64)
    kept = [_after_a_loss(cap[i], int(most[i])) for i in range(len(services))]
    net = qos.path_times(model, services)
    late = qos.latencies(model, services, net, parameters.profile)
    limits = qos.limits(model)
    return Tables(
        model=model,
        parameters=parameters,
        services=services,
        domains=tuple(places),
        domain=domain,
        demand=demand,
        weight=np.array(list(qos.weights(model).values())),
        holds=held,
        cap=cap,
        price=np.outer(cost, [v.price for v in model.nodes]).reshape(shape),
        least=np.minimum(int(parameters.r), held.sum(axis=1)),
        most=most,
        spread=spread,
        survive=np.minimum(parameters.sigma * total / parameters.plan_load, kept),
        late=late,
        score=qos.scores(late, np.array([limits[m.name] for m in services])),
        serves=_serves(net, held, demand > 0, domain, most, spread, parameters),
    )


def most_instances(caps: Floats | list[float], total: float, parameters: PlacementParameters) -> int:
    """N_m = max(r + 1, ⌈1.1 N_min⌉ + 1), N_min the fewest of the fastest nodes that carry `total` (all, if none do)."""
    carried, fewest = 0.0, 0
    for cap in sorted(caps, reverse=True):
        if carried >= total:
            break
        carried, fewest = carried + cap, fewest + 1
    # 1.1 · 10 is a little more than 11 in floating point.
    return max(int(parameters.r) + 1, math.ceil(parameters.n_max_factor * fewest - 1e-9) + 1)


def _after_a_loss(caps: Floats, most: int) -> float:
    """What the `most` fastest nodes carry without the fastest of them: more can't be asked of (16)."""
    return float(sum(sorted(caps, reverse=True)[1:most]))


def _serves(
    net: Floats, held: Mask, asked: Mask, domain: Ints, most: Ints, spread: Ints, parameters: PlacementParameters
) -> Mask:
    """(m, o, v): the nodes of the domains nearest to o from which m may serve it; the remark at eq. (17).

    So many domains that N_m instances can be near everybody: at least `nearest_clusters`, and 2 G_m / N_m; of a
    service with few instances all, or those out of reach of any would be left unserved.
    """
    serves = np.zeros(net.shape, bool)
    reached = held[:, None, :] & asked[:, :, None] & np.isfinite(net)
    domains = int(domain.max()) + 1
    for m in range(len(net)):
        near = np.full((net.shape[1], domains), np.inf)
        for g in range(domains):
            members = domain == g
            near[:, g] = np.where(reached[m][:, members], net[m][:, members], np.inf).min(axis=1)
        home = int(np.isfinite(near).any(axis=0).sum())
        few = int(most[m]) <= FEW
        wanted = home if few else max(int(parameters.nearest_clusters), math.ceil(2 * home / int(most[m])))
        rank = near.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        serves[m] = reached[m] & (rank < wanted)[:, domain]
    return serves
