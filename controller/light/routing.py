"""Which instance gets this transfer, is a task past hope: asked per request by every sender and every service.

STANDARD LIBRARY ONLY and no import of this project: this one file is copied into the service containers, and so has
more than 400 lines.
docs/mathematics.md, eq. (27). All times in seconds and all sizes in bytes of whoever built the view: the
controller's are nominal, a container's are wire units (docs/wire.md); the functions do not care.

    estimate = net(source, v, b (1 + own)) + x̄ + (backlog + own + 1 − p)⁺ x̄ / p

and of instances the one with the least estimate + toll + what follows is taken. toll = min(b · toll per byte, 3 x̄), eq.
(47): what the bytes take from others on trunks that are busy, a price and no time. What follows, `ahead`, eq. (48):
paths, services and tolls from there to the last result, by the way that costs least if nobody waits anywhere. A task
that even so can't end before its deadline is past hope: it is not admitted, or dropped.

The view is up to a view interval old. A sender that routes by it alone sends everything of that interval to the
one instance that looked best; so it counts what it has itself sent since the view was made or has not been
acknowledged (`local`, own): these requests wait for a worker there, and their bytes are on the way before those of the
next one. Exact ties are broken by load per worker and then differently for each sender.

A view carries the rule its senders follow: RULES, decided by the policy (`controller.policy.Policy.routing`), the
same for the whole run. Two rules take turns: `turn` says whose. Admission and early drop ask `left` under every rule:
they are the same for all policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple
from zlib import crc32

INFINITY = float("inf")
#: Source of a stage input that comes from the task's own gateway (the same word as controller.model.INGRESS).
INGRESS = "ingress"
#: The rules of `View.rule`, of instances that are reachable and not draining (draining ones when no other is left):
#: "estimate": least eq. (27) · "nearest": least net(source, v, b), then least load per worker · "least_backlog": least
#: (backlog + own requests) / p, wherever it is · "round_robin", "random": the instances in the order of the view, each
#: as often as it has workers; the first by counting, the second by a hash of the task (`turn`).
ESTIMATE, NEAREST, LEAST_BACKLOG, ROUND_ROBIN, RANDOM = "estimate", "nearest", "least_backlog", "round_robin", "random"
RULES = (ESTIMATE, NEAREST, LEAST_BACKLOG, ROUND_ROBIN, RANDOM)
#: The toll of eq. (47) is at most so many x̄ of the target: a queue here that takes longer is worth the trunk.
MOST_TOLL = 3.0
#: Stands for "no way on" in what follows, s: a finite price, so that of several such ways there is a least one.
NO_WAY = 1e3
NOBODY: frozenset[str] = frozenset()
NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Target:
    """One instance as the view shows it. mean: x̄ on its node, s; backlog: requests waiting and in service."""

    id: str
    node: str
    address: str
    port: int
    workers: int
    backlog: int
    mean: float
    draining: bool = False


class Ahead(NamedTuple):
    """What follows a stage: seconds of delays and services, seconds of bytes and tolls (a price) per task size."""

    seconds: float
    per_size: float
    toll: float


NO_WAY_ON = Ahead(NO_WAY, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class View:
    """What a sender knows. index: endpoint → row and column of `delay` (s), `per_byte` (s per byte) and `toll` (s per
    byte; (): none is taken); rule: RULES; found: what `ahead` has found so far, also in views before that differ in
    backlogs only.
    """

    targets: Mapping[str, tuple[Target, ...]]
    index: Mapping[str, int]
    delay: tuple[tuple[float, ...], ...]
    per_byte: tuple[tuple[float, ...], ...]
    rule: str = ESTIMATE
    toll: tuple[tuple[float, ...], ...] = ()
    found: dict[tuple[str, int, str, str], Ahead] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any], previous: View | None = None) -> View:
        """The view of docs/wire.md. Endpoints and matrices that are not sent are taken from `previous`."""
        targets = {
            service: tuple(
                Target(str(i), str(node), str(address), int(port), int(p), int(backlog), float(mean), bool(draining))
                for i, node, address, port, p, backlog, mean, draining in rows
            )
            for service, rows in wire["targets"].items()
        }
        if "delay" not in wire and "per_byte" not in wire:
            if previous is None:
                raise ValueError("view: the first view must carry 'delay' and 'per_byte'; found neither")
            view = cls(targets, previous.index, previous.delay, previous.per_byte, previous.rule, previous.toll)
            if view._places() == previous._places():
                object.__setattr__(view, "found", previous.found)
            return view
        if "delay" not in wire or "per_byte" not in wire:
            raise ValueError("view: 'delay' and 'per_byte' are sent together or not at all; found only one of them")
        if "endpoints" in wire:
            index: Mapping[str, int] = {str(name): i for i, name in enumerate(wire["endpoints"])}
        elif previous is not None:
            index = previous.index
        else:
            raise ValueError("view: the first view must carry 'endpoints'")
        delay, per_byte = _matrix(wire["delay"], len(index), "delay"), _matrix(wire["per_byte"], len(index), "per_byte")
        rule = str(wire.get("rule", ESTIMATE))
        if rule not in RULES:
            raise ValueError(f"view: there is no rule {rule!r}; there are: {', '.join(RULES)}")
        toll = _matrix(wire["toll"], len(index), "toll") if "toll" in wire else ()
        return cls(targets, index, delay, per_byte, rule, toll)

    def to_wire(self, paths: bool = True) -> dict[str, Any]:
        """The inverse of `from_wire`; `paths=False` leaves endpoints and matrices out (they did not change)."""
        wire: dict[str, Any] = {
            "targets": {
                service: [
                    [t.id, t.node, t.address, t.port, t.workers, t.backlog, t.mean, int(t.draining)] for t in targets
                ]
                for service, targets in self.targets.items()
            }
        }
        if paths:
            wire["endpoints"] = sorted(self.index, key=self.index.__getitem__)
            wire["delay"] = [[-1 if x == INFINITY else x for x in row] for row in self.delay]
            wire["per_byte"] = [[-1 if x == INFINITY else x for x in row] for row in self.per_byte]
            wire["rule"] = self.rule
            if self.toll:
                wire["toll"] = [list(row) for row in self.toll]
        return wire

    def _places(self) -> list[tuple[str, str, float]]:
        """All that `ahead` asks of targets, in their order."""
        return [(m, t.node, t.mean) for m, targets in self.targets.items() for t in targets if t.workers > 0]

    def net(self, source: str, node: str, size: float) -> float:
        """net(o, v, b), s: propagation plus bytes over the bottleneck; infinity where there is no path."""
        if source == node:
            return 0.0
        i, j = self.index.get(source), self.index.get(node)
        if i is None or j is None:
            return INFINITY
        return self.delay[i][j] + size * self.per_byte[i][j]


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage of a task type; inputs: (predecessor stage or INGRESS, bytes). Several inputs make a join."""

    name: str
    service: str
    inputs: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class TypeSpec:
    """A task type: deadline (relative, s), result bytes per sink, stages in topological order."""

    name: str
    deadline: float
    output: float
    stages: tuple[StageSpec, ...]

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> TypeSpec:
        """One element of `types` in the config message of docs/wire.md."""
        stages = tuple(
            StageSpec(s["name"], s["service"], tuple((i["source"], float(i["bytes"])) for i in s["inputs"]))
            for s in wire["stages"]
        )
        return cls(wire["name"], float(wire["deadline"]), float(wire["output"]), stages)

    def sinks(self) -> tuple[str, ...]:
        """Stages whose result goes back to the gateway."""
        fed = {source for s in self.stages for source, _ in s.inputs}
        return tuple(s.name for s in self.stages if s.name not in fed)

    @cached_property
    def onward(self) -> tuple[tuple[tuple[int, str, float], ...], ...]:
        """Edges out of the gateway and out of each stage: the stage they lead to, its service, bytes. (): a sink."""
        edges: dict[str, list[tuple[int, str, float]]] = {INGRESS: [], **{s.name: [] for s in self.stages}}
        for k, stage in enumerate(self.stages):
            for source, size in stage.inputs:
                edges[source].append((k, stage.service, size))
        return tuple(tuple(row) for row in edges.values())


class Way(NamedTuple):
    """Where in which task a request is: its type, the stage it goes to (−1: none yet), its gateway's endpoint, size."""

    spec: TypeSpec
    stage: int
    gateway: str
    size: float = 1.0


def waiting(target: Target, extra: int = 0) -> float:
    """(backlog + extra + 1 − p)⁺ x̄ / p of eq. (27), s: how long a request sent now waits for a worker."""
    if target.workers <= 0:
        return INFINITY
    over = target.backlog + extra + 1 - target.workers
    return over * target.mean / target.workers if over > 0 else 0.0


def estimate(view: View, target: Target, source: str, size: float, extra: int = 0) -> float:
    """Eq. (27): seconds until `target` would have served a request of `size` bytes sent now from `source`.

    extra: own requests to it that the view does not show; each is taken to be as large as this one.
    """
    return view.net(source, target.node, size * (1 + extra)) + target.mean + waiting(target, extra)


def ahead(view: View, spec: TypeSpec, stage: int, gateway: str, node: str) -> Ahead:
    """Eq. (48): from the end of a stage on `node` (−1: from the gateway) until the last result is at the gateway.

    By the instances that cost least for a task of size 1 if nobody waits, draining ones among them; of a stage's
    successors the dearest counts.
    """
    key = spec.name, stage, gateway, node
    found = view.found.get(key)
    if found is None:
        found = view.found[key] = _ahead(view, spec, stage, gateway, node)
    return found


def _ahead(view: View, spec: TypeSpec, stage: int, gateway: str, node: str) -> Ahead:
    edges = spec.onward[stage + 1]
    if not edges:
        delay, per_byte, toll = _leg(view, node, gateway)
        return Ahead(delay, spec.output * per_byte, spec.output * toll) if delay < NO_WAY else NO_WAY_ON
    dearest = None
    for following, service, size in edges:
        least = None
        for t in view.targets.get(service, ()):
            delay, per_byte, toll = _leg(view, node, t.node)
            if t.workers <= 0 or not delay < NO_WAY:
                continue
            then = ahead(view, spec, following, gateway, t.node)
            one = Ahead(
                delay + t.mean + then.seconds,
                size * per_byte + then.per_size,
                min(size * toll, MOST_TOLL * t.mean) + then.toll,
            )
            if least is None or _price(one) < _price(least):
                least = one
        if least is None or least.seconds >= NO_WAY:
            return NO_WAY_ON
        if dearest is None or _price(dearest) < _price(least):
            dearest = least
    return dearest or NO_WAY_ON


def _leg(view: View, node: str, to: str) -> tuple[float, float, float]:
    """delay, seconds per byte and toll per byte from one endpoint to another; infinite without a path."""
    if node == to:
        return 0.0, 0.0, 0.0
    i, j = view.index.get(node), view.index.get(to)
    if i is None or j is None:
        return INFINITY, 0.0, 0.0
    return view.delay[i][j], view.per_byte[i][j], view.toll[i][j] if view.toll else 0.0


def _price(a: Ahead) -> tuple[float, float, float]:
    """By what ways compare; equal sums by their parts, so that the order of instances decides nothing."""
    return a.seconds + a.per_size + a.toll, a.seconds, a.per_size


def left(view: View, way: Way, node: str) -> float:
    """Seconds from the end of the stage of `way` on `node` until the last result, if nobody waits; NO_WAY and more
    where there is no way on now.
    """
    then = ahead(view, way.spec, way.stage, way.gateway, node)
    return then.seconds + way.size * then.per_size


def hopeless(view: View, way: Way, node: str, ends: float, deadline: float) -> bool:
    """Whether a stage that `ends` then on `node` ends in vain. Not for want of a way on: there may be one again."""
    after = left(view, way, node)
    return ends > deadline or (after < NO_WAY and ends + after > deadline)


def admit(view: View, spec: TypeSpec, gateway: str, size: float, now: float, deadline: float) -> bool:
    """Whether a task entering now may be back by `deadline` (absolute, the clock of `now`): eq. (48)."""
    return now + left(view, Way(spec, -1, gateway, size), gateway) <= deadline


def turn(rule: str, sent: int, task: int, stage: int, attempt: int = 1) -> int:
    """Whose turn it is, for `route`: under "random" a hash of (task, stage, attempt), else what was `sent` before.

    sent: requests for this service this sender has routed since it began; stage: position in the type's stages. The
    hash is 32-bit integer arithmetic (murmur3's finaliser over a linear mix): the same in every world and language.
    """
    if rule != RANDOM:
        return sent
    h = (task * 0x9E3779B1 + stage * 0x85EBCA77 + attempt * 0xC2B2AE3D) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
    return h ^ (h >> 16)


def route(
    view: View,
    service: str,
    source: str,
    size: float,
    exclude: frozenset[str] = NOBODY,
    local: Mapping[str, int] = NOTHING,
    turn: int = 0,
    way: Way | None = None,
) -> Target | None:
    """The instance of `service` that the view's rule names; None when none is reachable.

    exclude: instance ids not to be used (found broken). local: own requests sent to each instance since the view
    was made. turn: of `turn`, for the rules that take turns. way: what the estimate is to look ahead on. A draining
    instance is chosen only when no other is left.
    """
    if view.rule != ESTIMATE:
        return _by_rule(view, service, source, size, exclude, local, turn)
    return _least_estimate(view, service, source, size, exclude, local, way)


def _by_rule(
    view: View,
    service: str,
    source: str,
    size: float,
    exclude: frozenset[str],
    local: Mapping[str, int],
    turn: int,
) -> Target | None:
    usable = [
        t
        for t in view.targets.get(service, ())
        if t.workers > 0 and t.id not in exclude and view.net(source, t.node, size) < INFINITY
    ]
    targets = [t for t in usable if not t.draining] or usable
    if not targets:
        return None
    if view.rule == NEAREST:
        return min(targets, key=lambda t: (view.net(source, t.node, size), _rank(t, source, local)))
    if view.rule == LEAST_BACKLOG:
        return min(targets, key=lambda t: _rank(t, source, local))
    place = turn % sum(t.workers for t in targets)
    for t in targets:
        place -= t.workers
        if place < 0:
            return t
    return targets[-1]


def _least_estimate(
    view: View,
    service: str,
    source: str,
    size: float,
    exclude: frozenset[str],
    local: Mapping[str, int],
    way: Way | None,
) -> Target | None:
    """Eq. (27), (47) and (48) in one pass; `local` and draining as `route` says."""
    targets = view.targets.get(service, ())
    row = view.index.get(source)
    delays = view.delay[row] if row is not None else ()
    bytes_ = view.per_byte[row] if row is not None else ()
    tolls = view.toll[row] if row is not None and view.toll else ()
    best: Target | None = None
    last_resort: Target | None = None
    least = least_draining = INFINITY
    for t in targets:
        p = t.workers
        if p <= 0 or t.id in exclude:
            continue
        own = local.get(t.id, 0) if local else 0
        over = t.backlog + 1 - p + own
        seconds = t.mean + over * t.mean / p if over > 0 else t.mean
        if t.node != source:
            column = view.index.get(t.node)
            if column is None or row is None:
                continue
            seconds += delays[column] + size * (1 + own) * bytes_[column]
            if tolls:
                seconds += min(size * tolls[column], MOST_TOLL * t.mean)
        if way is not None:
            then = ahead(view, way.spec, way.stage, way.gateway, t.node)
            seconds += then.seconds + way.size * (then.per_size + then.toll)
        if t.draining:
            if seconds < least_draining:
                last_resort, least_draining = t, seconds
        elif seconds < least or (seconds == least < INFINITY and best is not None and _prefer(t, best, source, local)):
            best, least = t, seconds
    return best if best is not None else last_resort


def _prefer(a: Target, b: Target, source: str, local: Mapping[str, int]) -> bool:
    """Of two equal estimates: less load per worker, then an order of its own for each sender, then the id."""
    return _rank(a, source, local) < _rank(b, source, local)


def _rank(t: Target, source: str, local: Mapping[str, int]) -> tuple[float, int, str]:
    return (t.backlog + local.get(t.id, 0)) / t.workers, crc32(f"{source}|{t.id}".encode()), t.id


def bind(
    view: View,
    spec: TypeSpec,
    gateway: str,
    size: float = 1.0,
    exclude: frozenset[str] = NOBODY,
    local: Mapping[str, int] = NOTHING,
    sent: Mapping[str, int] = NOTHING,
    task: int = 0,
    attempt: int = 1,
) -> dict[str, str] | None:
    """Instances of the join stages, chosen by the gateway at admission; None when one has no instance.

    sent: {service: requests this gateway has routed before}, with task and attempt for `turn`.
    """
    bound: dict[str, str] = {}
    for k, stage in enumerate(spec.stages):
        if len(stage.inputs) > 1:
            total = size * sum(b for _, b in stage.inputs)
            whose = turn(view.rule, sent.get(stage.service, 0), task, k, attempt)
            target = route(view, stage.service, gateway, total, exclude, local, whose, Way(spec, k, gateway, size))
            if target is None:
                return None
            bound[stage.name] = target.id
    return bound


def _matrix(rows: Sequence[Sequence[float]], n: int, name: str) -> tuple[tuple[float, ...], ...]:
    """A square matrix of the wire, −1 read as unreachable."""
    matrix = tuple(tuple(INFINITY if x < 0 else float(x) for x in row) for row in rows)
    if len(matrix) != n or any(len(row) != n for row in matrix):
        raise ValueError(f"view: {name!r} must be {n} × {n} (one row and column per endpoint)")
    return matrix
