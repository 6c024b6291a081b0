"""Which flows, and in which order: against walking the tables frame by frame."""

from __future__ import annotations

import copy
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.topology.model import Host, Link, Shape, Site, Topology
from testbed.world.live.openflow_paths import Plan, Table, rounds, table, unreachable


def plan_of(sites: int, trunks: list[tuple[int, int, int]]) -> Plan:
    """One host a site; trunks (a, b, delay in ms)."""
    nodes = tuple(Host(f"n{i}", f"s{i}", "c", "big") for i in range(sites))
    shape = Shape(1e9)
    links = [Link(f"n{i}--s{i}", f"n{i}", f"s{i}", shape, shape, "node") for i in range(sites)]
    for a, b, delay in trunks:
        trunk = Shape(1e9, delay / 1000)
        links.append(Link(f"s{a}--s{b}", f"s{a}", f"s{b}", trunk, trunk))
    topology = Topology("random", tuple(Site(f"s{i}", "c") for i in range(sites)), nodes, (), tuple(links))
    ports: dict[str, dict[str, int]] = {s.name: {} for s in topology.sites}
    for k in links:
        for end in (k.a, k.b):
            if end in ports:
                ports[end][k.name] = len(ports[end]) + 1
    macs = {f"n{i}": f"02:00:00:00:00:{i:02x}" for i in range(sites)}
    return Plan(topology, ports, macs, {s: i + 1 for i, s in enumerate(ports)}, 7, 0.5)


def walk(plan: Plan, flows: Table, site: str, host: str) -> str:
    """Where a frame ends that is at `site` and addressed to `host`: "there", "dropped" or "loop"."""
    ends = {(s, p): k for s, ports in plan.ports.items() for k, p in ports.items()}
    for _ in range(len(plan.ports) + 1):
        port = flows[site].get(plan.macs[host])
        if port is None:
            return "dropped"
        link = plan.topology.link(ends[site, port])
        site = link.b if link.a == site else link.a
        if site == host:
            return "there"
    return "loop"


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, frozenset[str], frozenset[str]]:
    """A connected network of up to six sites, and two sets of trunks that are down."""
    sites = draw(st.integers(2, 6))
    pairs = {(draw(st.integers(0, i - 1)), i) for i in range(1, sites)}
    pairs |= draw(
        st.sets(st.tuples(st.integers(0, sites - 1), st.integers(0, sites - 1)).filter(lambda p: p[0] < p[1]))
    )
    trunks = [(a, b, draw(st.integers(1, 20))) for a, b in sorted(pairs)]
    names = st.frozensets(st.sampled_from([f"s{a}--s{b}" for a, b, _ in trunks]), max_size=3)
    return plan_of(sites, trunks), draw(names), draw(names)


@settings(max_examples=150, deadline=None)
@given(plans())
def test_frames_arrive_at_every_stage_of_a_change_of_paths(drawn: tuple[Plan, frozenset[str], frozenset[str]]) -> None:
    """Between two rounds, and in the middle of one, in whatever order its switches take it."""
    plan, before, after = drawn
    old, new = table(plan, before), table(plan, after)
    now = copy.deepcopy(old)
    steps = rounds(plan, old, new)
    for number, step in enumerate(steps):
        for change in reversed(step):
            if change.port is None:
                del now[change.site][change.mac]
            else:
                now[change.site][change.mac] = change.port
            for site in now:
                for host, mac in plan.macs.items():
                    if mac in old[site] and mac in new[site]:
                        assert walk(plan, now, site, host) == "there", (number, change)
                    else:
                        assert walk(plan, now, site, host) != "loop", (number, change)
    assert now == new


@given(plans())
def test_the_tables_lead_everywhere_that_can_be_reached(drawn: tuple[Plan, frozenset[str], frozenset[str]]) -> None:
    plan, down, _ = drawn
    flows, lost = table(plan, down), unreachable(plan, down)
    for host in plan.macs:
        ends = {walk(plan, flows, site, host) for site in flows}
        assert ("dropped" in ends) == (host in lost) and "loop" not in ends


def test_a_triangle_takes_the_shorter_way_round() -> None:
    plan = plan_of(3, [(0, 1, 2), (1, 2, 2), (0, 2, 6)])
    assert table(plan)["s0"] == {plan.macs[h]: plan.ports["s0"][k] for h, k in
                                 {"n0": "n0--s0", "n1": "s0--s1", "n2": "s0--s1"}.items()}  # fmt: skip
    assert table(plan, frozenset({"s0--s1"}))["s0"][plan.macs["n1"]] == plan.ports["s0"]["s0--s2"]
    assert unreachable(plan, frozenset({"s0--s1", "s0--s2"})) == ["n0", "n1", "n2"]
    assert rounds(plan, table(plan), table(plan)) == []


def test_a_plan_survives_the_command_socket() -> None:
    plan = plan_of(3, [(0, 1, 2), (1, 2, 2)])
    assert Plan.from_wire(json.loads(json.dumps(plan.to_wire()))) == plan
