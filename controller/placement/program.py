"""The integer program of core placement, one function per constraint (docs/mathematics.md §2, eq. (10) to (17)).

    min  Σ_mv price_v (c_mt + c_dp/H) y_mv + α Σ_m (1 − Σ_ov (Λ_mo/Λ_m) q_mov z_mov)
         + β Σ_eogh share_e gw_o net(g, h, b_e) w_eogh + 5α Σ_mo (Λ_mo/Λ_m) s_mo

y is binary, everything else continuous. PuLP wants names without surprises, so variables are named by position:
y_0_3 is the first service on the fourth node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pulp

from controller.model import Model
from controller.placement import qos
from controller.placement.parameters import PlacementParameters
from controller.placement.tables import Tables, free_cpu, tables
from controller.placement.traffic import Edge, distances, edges

#: A request that nobody serves costs this multiple of one that is served at quality score 0.
UNSERVED = 5.0
MS = 1e3


@dataclass
class Program:
    """The program under construction. y[m, v], z[m, o, v], s[m, o], w[e, o, g, h]: PuLP variables by name."""

    model: Model
    parameters: PlacementParameters
    tables: Tables
    problem: pulp.LpProblem
    y: dict[tuple[str, str], Any] = field(default_factory=dict)
    z: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    s: dict[tuple[str, str], Any] = field(default_factory=dict)
    w: dict[tuple[Edge, str, str, str], Any] = field(default_factory=dict)

    @cached_property
    def domain(self) -> dict[str, str]:
        """g(v) by node."""
        return {v.name: v.domain for v in self.model.nodes}

    def require(self, *constraints: Any) -> None:
        for constraint in constraints:
            self.problem += constraint

    def domains(self, m: str, o: str | None = None) -> dict[str, list[str]]:
        """Domain → its nodes that could hold m; with o: those that may serve o."""
        found: dict[str, list[str]] = {}
        for v in self.tables.cap[m] if o is None else self.tables.score[m, o]:
            found.setdefault(self.domain[v], []).append(v)
        return found

    def surviving(self, m: str, largest: Any) -> Any:
        """Σ_v cap_mv y_mv − t_m: what is left of a service after the loss of its largest instance."""
        return total((cap, self.y[m, v]) for v, cap in self.tables.cap[m].items()) - largest

    def loads(self) -> Iterator[tuple[str, str, Any, float]]:
        """(resource, node, load, limit) of eq. (13), in cores and GB: bytes would put 10⁹ beside 1 in a matrix."""
        for v in self.model.nodes:
            held = [m for m in self.tables.services if (m.name, v.name) in self.y]
            if held:
                cores = total((m.cpu, self.y[m.name, v.name]) for m in held)
                memory = total((m.memory / 1e9, self.y[m.name, v.name]) for m in held)
                yield "cores", v.name, cores, free_cpu(v, self.parameters)
                yield "GB memory", v.name, memory, v.memory / 1e9


def total(terms: Any) -> Any:
    """Σ coefficient · variable."""
    return pulp.LpAffineExpression([(variable, coefficient) for coefficient, variable in terms])


def coverage(p: Program) -> None:
    """Eq. (11): all demand of a pair is served or counted as unserved, and only instances serve."""
    for (m, o), near in p.tables.score.items():
        p.require(total([(1, p.s[m, o]), *((1, p.z[m, o, v]) for v in near)]) == 1)
        p.require(*(p.z[m, o, v] <= p.y[m, v] for v in near))


def capacity(p: Program) -> None:
    """Eq. (12): an instance carries ρ of what its streams could, and nothing where there is none."""
    for m, caps in p.tables.cap.items():
        for v, cap in caps.items():
            served = [(rate, p.z[k, o, v]) for (k, o), rate in p.tables.demand.items() if (k, o, v) in p.z and k == m]
            if served:
                p.require(total(served) <= cap * p.y[m, v])


def resources(p: Program) -> None:
    """Eq. (13): cores, less those kept for light services, and memory of every node."""
    for _, _, load, limit in p.loads():
        p.require(load <= limit)


def sparsity(p: Program) -> None:
    """Eq. (14): at least r_m and at most N_m instances of a service."""
    for m, caps in p.tables.cap.items():
        instances = total((1, p.y[m, v]) for v in caps)
        p.require(instances >= p.tables.least[m], instances <= p.tables.most[m])


def diversity(p: Program) -> None:
    """Eq. (15): instances of a service in at least r_mG domains. u may stay continuous: u ≤ Σ y makes it 0 or 1."""
    for i, m in enumerate(p.tables.cap):
        present = []
        for k, nodes in enumerate(p.domains(m).values()):
            u = pulp.LpVariable(f"u_{i}_{k}", 0, 1)
            present.append((1, u))
            p.require(u <= total((1, p.y[m, v]) for v in nodes))
        p.require(total(present) >= p.tables.spread[m])


def survival(p: Program) -> None:
    """Eq. (16), N−1: without any one node, the instances that are left still carry S_m."""
    for m, largest in largest_instances(p).items():
        p.require(p.surviving(m, largest) >= p.tables.survive[m])


def largest_instances(p: Program) -> dict[str, Any]:
    """t_m ≥ cap_mv y_mv, by service; its largest capacity on one node."""
    found = {}
    for i, (m, caps) in enumerate(p.tables.cap.items()):
        found[m] = pulp.LpVariable(f"t_{i}", 0)
        p.require(*(found[m] >= cap * p.y[m, v] for v, cap in caps.items()))
    return found


def flows(p: Program) -> None:
    """Eq. (17): what leaves a domain on an edge is what the upstream service serves there; downstream at least."""
    net = distances(p.model)
    for k, e in enumerate(edges(p.model, qos.shares(p.model))):
        for j, o in enumerate(p.model.ingresses):
            if (e.source, o.name) not in p.tables.score:
                continue
            origins, targets = p.domains(e.source, o.name), p.domains(e.target, o.name)
            pairs = [(g, h) for g in origins for h in targets if net(g, h, e.bytes) < float("inf")]
            w = {pair: pulp.LpVariable(f"w_{k}_{j}_{i}", 0) for i, pair in enumerate(pairs)}
            p.w |= {(e, o.name, g, h): variable for (g, h), variable in w.items()}
            for g, nodes in origins.items():
                served = total((1, p.z[e.source, o.name, v]) for v in nodes)
                p.require(total((1, x) for (a, _), x in w.items() if a == g) == served)
            for h, nodes in targets.items():
                served = total((1, p.z[e.target, o.name, v]) for v in nodes)
                p.require(total((1, x) for (_, b), x in w.items() if b == h) >= served)


Constraint = Callable[[Program], None]
CONSTRAINTS: tuple[Constraint, ...] = (coverage, capacity, resources, sparsity, diversity, survival, flows)


def objective(p: Program) -> Any:
    """Eq. (10), with the constant α |M_C| folded in by (11): every coefficient is ≥ 0 and there is no constant."""
    t, weight, net = p.tables, qos.weights(p.model), distances(p.model)
    price = {v.name: v.price for v in p.model.nodes}
    costs = {m.name: m.costs.keep + m.costs.deploy / p.parameters.horizon_slots for m in t.services}
    alpha, beta = p.parameters.alpha, p.parameters.beta_per_ms * MS
    share = {(m, o): rate / t.total[m] for (m, o), rate in t.demand.items()}
    return total(
        [
            *((price[v] * costs[m], y) for (m, v), y in p.y.items()),
            *((alpha * share[m, o] * (1 - t.score[m, o][v]), z) for (m, o, v), z in p.z.items()),
            *((alpha * share[key] * (1 + UNSERVED), s) for key, s in p.s.items()),
            *((beta * e.share * weight[o] * net(g, h, e.bytes), w) for (e, o, g, h), w in p.w.items()),
        ]
    )


def bare(model: Model, parameters: PlacementParameters) -> Program:
    """The variables y, z and s without constraints and objective."""
    p = Program(model, parameters, tables(model, parameters), pulp.LpProblem("placement", pulp.LpMinimize))
    m_at = {m.name: i for i, m in enumerate(p.tables.services)}
    v_at = {v.name: i for i, v in enumerate(model.nodes)}
    o_at = {o.name: i for i, o in enumerate(model.ingresses)}
    p.y = {
        (m, v): pulp.LpVariable(f"y_{m_at[m]}_{v_at[v]}", cat=pulp.LpBinary)
        for m, caps in p.tables.cap.items()
        for v in caps
    }
    p.z = {
        (m, o, v): pulp.LpVariable(f"z_{m_at[m]}_{o_at[o]}_{v_at[v]}", 0)
        for (m, o), near in p.tables.score.items()
        for v in near
    }
    p.s = {(m, o): pulp.LpVariable(f"s_{m_at[m]}_{o_at[o]}", 0) for m, o in p.tables.score}
    return p


def build(model: Model, parameters: PlacementParameters, constraints: Sequence[Constraint] = CONSTRAINTS) -> Program:
    """The whole program, ready for the solver."""
    p = bare(model, parameters)
    for constrain in constraints:
        constrain(p)
    p.problem.setObjective(objective(p))
    return p
