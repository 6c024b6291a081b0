"""From a request to a fault that may be injected: the checks of a scenario's faults, on one that begins now."""

from __future__ import annotations

from pydantic import ValidationError

from testbed.errors import CannotRun, InputError, Problem
from testbed.faults.base import Planned, catalogue_of_faults, load_kind
from testbed.hands.wire import Inject
from testbed.run.prepare import Prepared, aimed
from testbed.run.shaker import Shaker
from testbed.scenario import checks_faults, targets
from testbed.scenario.model import Fault
from testbed.topology.explain import explain
from testbed.topology.located import Place
from testbed.units import TIME, show

MOST_FOR = 3600.0  # s: nobody forgets a fault for longer than this
SELECTED = 10_000  # selectors of injected faults draw from streams that the scenario's own never use


def fault_of(request: Inject, prepared: Prepared, shaker: Shaker, number: int) -> Fault:
    """The fault, named and aimed. number: how many were injected before, for its name and what it draws.

    Raises InputError with all its mistakes, CannotRun where this world can't do it.
    """
    fault, topology = _valid(request), prepared.resolved.topology
    catalogue = catalogue_of_faults()
    found = [
        *checks_faults.kind_and_parameters((), fault, catalogue),
        *checks_faults.fault_target(0, fault, topology, catalogue, list(prepared.scenario.services)),
    ]
    if found:
        raise _refused([(place[2:] if place[:1] == ("faults",) else place, words) for place, words in found])
    lacking = sorted(load_kind(fault.kind).NEEDS - shaker.world.can)
    if lacking:
        raise CannotRun(f"{fault.kind} changes {', '.join(lacking)}, which the {shaker.world.name} world can't")
    taken = {name for p in shaker.planned for name in (p.name, p.fault.name)}
    if fault.name in taken:
        raise _refused([(("name",), f"there is a fault called {fault.name!r} already: measures are kept by name")])
    name = fault.name or next(n for k in range(number + 1, number + 1000) if (n := f"{fault.kind}_h{k}") not in taken)
    fault = targets.concrete(fault, SELECTED + number, topology, prepared.seed, list(prepared.scenario.services))
    fault = aimed(fault, prepared.resolved.model, prepared.placement)
    _bounded(fault, prepared, shaker)
    return fault.model_copy(update={"name": name, "at": max(shaker.world.now(), 0.0)})


def _valid(request: Inject) -> Fault:
    raw = {
        "kind": request.kind, "target": request.target, "for": request.length, "with": request.parameters,
        "overlap": request.overlap, **({"name": request.name} if request.name is not None else {}),
    }  # fmt: skip
    try:
        return Fault.model_validate(raw)
    except ValidationError as error:
        raise _refused(explain(error, Fault)) from None


def _bounded(fault: Fault, prepared: Prepared, shaker: Shaker) -> None:
    """Its end lies within the testbed's, and nothing else is on its target meanwhile."""
    now = shaker.world.now()
    left = min(MOST_FOR, prepared.horizon - now)
    if fault.duration > left:
        why = "a fault by hand lasts at most that" if left == MOST_FOR else "then the testbed ends by itself"
        raise _refused([(("for",), f"{show(fault.duration, TIME)} is more than {show(max(left, 0.0), TIME)}: {why}")])
    if fault.overlap:
        return
    for p in shaker.planned:
        other = p.fault
        same = other.target == fault.target or any(
            checks_faults.same_target(prepared.resolved.topology, a, b) for a in other.targets for b in fault.targets
        )
        if same and not other.overlap and _meets(p, now, now + fault.duration):
            mend = f"`heal {p.name}` first" if p.in_force else "shorten this one"
            words = f"overlaps {p.name} ({other.kind}, {p.words()} s) on the same target: {mend}, or say --overlap"
            raise _refused([(("target",), words)])


def _meets(p: Planned, start: float, end: float) -> bool:
    """Whether an occurrence whose time is known falls between start and end, s."""
    if p.over or p.start is None or p.end is None:
        return False
    return bool(p.in_force) or (p.start < end and start < p.end)


def _refused(found: list[tuple[Place, str]]) -> InputError:
    return InputError([Problem("inject", 0, 0, ".".join(map(str, place)), words) for place, words in found])
