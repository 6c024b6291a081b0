"""The integer program of core placement as a matrix, one function per constraint (docs/mathematics.md §2, eq. (10) to
(17)).

    min  Σ_mv price_v (c_mt + c_dp/H) y_mv + α Σ_m (1 − Σ_ov (Λ_mo/Λ_m) q_mov z_mov)
         + β Σ_eogh share_e gw_o net(g, h, b_e) w_eogh + 5α Σ_mo (Λ_mo/Λ_m) s_mo

y is binary, everything else continuous. A program may be built on some of the columns only (`Columns`): that is how
large instances are solved, and what every back end gets is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from controller.model import Model
from controller.placement import qos
from controller.placement.matrix import Floats, Ints, Matrix, Rows
from controller.placement.parameters import PlacementParameters
from controller.placement.tables import Mask, Tables, tables
from controller.placement.traffic import Edge, distances, edges

#: A request that nobody serves costs this multiple of one that is served at quality score 0.
UNSERVED = 5.0
#: Order of the resources in `Tables.need` and `Tables.room`.
RESOURCES = ("cores", "GB memory")
MS = 1e3


@dataclass(frozen=True)
class Costs:
    """Coefficients of eq. (10), the constant folded in by (11): all ≥ 0, and no constant is left.

    z (m, o, v), s (m, o), w (e, o, g, h) with +inf where there is no path. source, target (e,): services by position.
    """

    z: Floats
    s: Floats
    w: Floats
    edges: tuple[Edge, ...]
    source: Ints
    target: Ints


@dataclass(frozen=True)
class Columns:
    """Which variables exist: y (m, v), z (m, o, v), w (e, o, g, h)."""

    y: Mask
    z: Mask
    w: Mask


@dataclass
class Program:
    """The program under construction. Every array of columns is in the order of its name: y by (m, v) and so on.

    y_at (m, v), s_at (m, o): position of a column, −1 where there is none. z_of, w_of: coordinates of the columns.
    """

    tables: Tables
    costs: Costs
    columns: Columns
    rows: Rows = field(default_factory=Rows)
    cost: list[Floats] = field(default_factory=list)
    upper: list[Floats] = field(default_factory=list)
    count: int = 0
    u: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    t: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        t, c = self.tables, self.columns
        self.y_of = np.nonzero(c.y)
        self.y = self.new(t.price[self.y_of], 1.0)
        self.y_at = np.full(c.y.shape, -1)
        self.y_at[self.y_of] = self.y
        self.z_of = np.nonzero(c.z)
        self.z = self.new(self.costs.z[self.z_of], 1.0)
        self.s_of = np.nonzero(t.demand > 0)
        self.s = self.new(self.costs.s[self.s_of], 1.0)
        self.s_at = np.full(t.demand.shape, -1)
        self.s_at[self.s_of] = self.s
        self.w_of = np.nonzero(c.w)
        self.w = self.new(self.costs.w[self.w_of], 1.0)

    def new(self, cost: Floats, upper: Floats | float) -> Ints:
        """Columns with these costs, bounded by 0 and upper; their positions."""
        at = self.count + np.arange(len(cost))
        self.cost.append(cost)
        self.upper.append(np.broadcast_to(np.asarray(upper, float), cost.shape))
        self.count += len(cost)
        return at

    def matrix(self, relaxed: bool = False) -> Matrix:
        """What the back ends get; relaxed: every y continuous."""
        integer = np.zeros(self.count, bool)
        integer[self.y] = not relaxed
        return self.rows.matrix(np.concatenate(self.cost), np.zeros(self.count), np.concatenate(self.upper), integer)

    def values(self, y: Mask, z: Floats) -> Floats:
        """(columns,) of a placement y (m, v) that serves z (m, o, v): a start. w is left at 0."""
        t, x = self.tables, np.zeros(self.count)
        x[self.y], x[self.z] = y[self.y_of], z[self.z_of]
        x[self.s] = np.maximum(0.0, 1.0 - z.sum(axis=2)[self.s_of])
        x[self.t] = np.where(y, t.cap, 0.0).max(axis=1)[: len(self.t)]
        here = np.array([np.bincount(t.domain[row], minlength=len(t.domains)) for row in y])
        x[self.u] = np.minimum(1, here).ravel()[: len(self.u)]
        return x


def coverage(p: Program) -> None:
    """Eq. (11): all demand of a pair is served or counted as unserved, and only instances serve."""
    m, o, v = p.z_of
    row = p.s_at[m, o] - p.s[0]
    p.rows.add("coverage", 1.0, 1.0, len(p.s), [(p.s - p.s[0], p.s, 1.0), (row, p.z, 1.0)])
    each = np.arange(len(p.z))
    p.rows.add("linking", -np.inf, 0.0, len(p.z), [(each, p.z, 1.0), (each, p.y_at[m, v], -1.0)])


def capacity(p: Program) -> None:
    """Eq. (12): an instance carries ρ of what its streams could, and nothing where there is none."""
    m, o, v = p.z_of
    served = [(p.y_at[m, v], p.z, p.tables.demand[m, o]), (p.y, p.y, -p.tables.cap[p.y_of])]
    p.rows.add("capacity", -np.inf, 0.0, len(p.y), served)


def resources(p: Program) -> None:
    """Eq. (13): cores, less those kept for light services, and memory of every node."""
    m, v = p.y_of
    for kind, need, room in zip(RESOURCES, p.tables.need, p.tables.room, strict=True):
        p.rows.add(kind, -np.inf, room, len(room), [(v, p.y, need[m])])


def sparsity(p: Program) -> None:
    """Eq. (14): at least r_m and at most N_m instances of a service."""
    p.rows.add("sparsity", p.tables.least, p.tables.most, len(p.tables.least), [(p.y_of[0], p.y, 1.0)])


def diversity(p: Program) -> None:
    """Eq. (15): instances of a service in at least r_mG domains. u may stay continuous: u ≤ Σ y makes it 0 or 1."""
    m, v = p.y_of
    services, domains = len(p.tables.services), len(p.tables.domains)
    p.u = u = p.new(np.zeros(services * domains), 1.0)
    each = np.arange(len(u))
    p.rows.add("presence", -np.inf, 0.0, len(u), [(each, u, 1.0), (m * domains + p.tables.domain[v], p.y, -1.0)])
    p.rows.add("diversity", p.tables.spread, np.inf, services, [(each // domains, u, 1.0)])


def survival(p: Program) -> None:
    """Eq. (16), N−1: without any one node, the instances that are left still carry S_m."""
    t = largest_instances(p)
    cap = p.tables.cap[p.y_of]
    p.rows.add("survival", p.tables.survive, np.inf, len(t), [(p.y_of[0], p.y, cap), (np.arange(len(t)), t, -1.0)])


def largest_instances(p: Program) -> Ints:
    """t_m ≥ cap_mv y_mv (m,): the largest capacity of a service on one node."""
    p.t = t = p.new(np.zeros(len(p.tables.services)), p.tables.cap.max(axis=1))
    each = np.arange(len(p.y))
    p.rows.add("largest", 0.0, np.inf, len(p.y), [(each, t[p.y_of[0]], 1.0), (each, p.y, -p.tables.cap[p.y_of])])
    return t


def flows(p: Program) -> None:
    """Eq. (17): what leaves a domain on an edge is what the upstream service serves there; downstream at least."""
    shape = (len(p.costs.edges), len(p.tables.weight), len(p.tables.domains))
    e, o, g, h = p.w_of
    sides = (("leaving", p.costs.source, g, 0.0), ("arriving", p.costs.target, h, np.inf))
    for name, services, end, high in sides:
        crossing = np.ravel_multi_index((e, o, end), shape)
        terms = [(crossing, p.w, np.ones(len(p.w)))]
        for k, m in enumerate(services.tolist()):
            mine = p.z_of[0] == m
            cell = np.ravel_multi_index(
                (np.full(mine.sum(), k), p.z_of[1][mine], p.tables.domain[p.z_of[2][mine]]), shape
            )
            terms.append((cell, p.z[mine], -np.ones(mine.sum())))
        used, row = np.unique(np.concatenate([t[0] for t in terms]), return_inverse=True)
        column, value = (np.concatenate([t[i] for t in terms]) for i in (1, 2))
        p.rows.add(name, 0.0, high, len(used), [(row, column, value)])


Constraint = Callable[[Program], None]
CONSTRAINTS: tuple[Constraint, ...] = (coverage, capacity, resources, sparsity, diversity, survival, flows)


def costs(t: Tables) -> Costs:
    """Eq. (10) by variable."""
    alpha, beta = t.parameters.alpha, t.parameters.beta_per_ms * MS
    found = edges(t.model, qos.shares(t.model))
    at = {m.name: i for i, m in enumerate(t.services)}
    net = distances(t.model, t.domain)
    scale = [beta * e.share * t.weight[:, None, None] * net.net(e.bytes) for e in found]
    shape = (len(found), len(t.weight), len(t.domains), len(t.domains))
    if not beta:
        scale = [np.where(np.isfinite(net.net(e.bytes)), 0.0, np.inf) + np.zeros(shape[1:]) for e in found]
    return Costs(
        z=alpha * t.share[:, :, None] * (1 - t.score),
        s=alpha * t.share * (1 + UNSERVED),
        w=np.array(scale).reshape(shape),
        edges=found,
        source=np.array([at[e.source] for e in found], np.int64),
        target=np.array([at[e.target] for e in found], np.int64),
    )


def everything(t: Tables, c: Costs) -> Columns:
    """All variables of the program."""
    G = len(t.domains)
    here = np.zeros((len(t.services), len(t.weight), G), bool)
    for g in range(G):
        here[:, :, g] = t.serves[:, :, t.domain == g].any(axis=2)
    w = here[c.source][:, :, :, None] & here[c.target][:, :, None, :] & np.isfinite(c.w)
    return Columns(t.holds, t.serves, w)


def build(model: Model, parameters: PlacementParameters, constraints: Sequence[Constraint] = CONSTRAINTS) -> Program:
    """The whole program."""
    t = tables(model, parameters)
    c = costs(t)
    return assemble(t, c, everything(t, c), constraints)


def assemble(t: Tables, c: Costs, columns: Columns, constraints: Sequence[Constraint] = CONSTRAINTS) -> Program:
    """The program on some of the columns, with its rows."""
    p = Program(t, c, columns)
    for constrain in constraints:
        constrain(p)
    return p
