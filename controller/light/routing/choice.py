"""Which instance gets this transfer, and is a task worth admitting."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

from .onward import MOST_TOLL, ahead
from .view import (
    ESTIMATE,
    INFINITY,
    INGRESS,
    LEAST_BACKLOG,
    NEAREST,
    RANDOM,
    Target,
    TypeSpec,
    View,
    Way,
)  # fmt: skip

#: A task is refused when this part of what it is expected to take is too long: an estimate errs, a refusal is final.
SURE = 0.9
NOBODY: frozenset[str] = frozenset()
NOTHING: Mapping[str, int] = {}


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
    coming: Mapping[str, int] = NOTHING,
) -> Target | None:
    """The instance of `service` that the view's rule names; None when none is reachable.

    exclude: instance ids not to be used (found broken). local: own requests sent to each instance since the view
    was made. turn: of `turn`, for the rules that take turns. way: what the estimate is to look ahead on. coming: for a
    join, own tasks bound to each instance and not over. A draining instance is chosen only when no other is left.
    """
    if view.rule != ESTIMATE:
        return _by_rule(view, service, source, size, exclude, local, turn)
    return _least_estimate(view, service, source, size, exclude, local, way, coming)


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
    coming: Mapping[str, int] = NOTHING,
) -> Target | None:
    """Eq. (27), (47) and (48) in one pass; `local`, `coming` and draining as `route` says."""
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
        over = t.backlog + 1 - p + own + (coming.get(t.id, 0) if coming else 0)
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
    coming: Mapping[str, int] = NOTHING,
) -> dict[str, str] | None:
    """Instances of the join stages, chosen by the gateway at admission; None when one has no instance.

    sent: {service: requests this gateway has routed before}, with task and attempt for `turn`. coming: own tasks bound
    to each instance and not over: they will be there before this one, and no backlog shows them until then.
    """
    bound: dict[str, str] = {}
    for k, stage in enumerate(spec.stages):
        if len(stage.inputs) > 1:
            total = size * sum(b for _, b in stage.inputs)
            whose = turn(view.rule, sent.get(stage.service, 0), task, k, attempt)
            way = Way(spec, k, gateway, size)
            target = route(view, stage.service, gateway, total, exclude, local, whose, way, coming)
            if target is None:
                return None
            bound[stage.name] = target.id
    return bound


def completion(
    view: View,
    spec: TypeSpec,
    gateway: str,
    size: float = 1.0,
    local: Mapping[str, int] = NOTHING,
    coming: Mapping[str, int] = NOTHING,
) -> float:
    """Estimated seconds from entering the network at `gateway` until the last result is back; size scales all bytes.

    By the least estimate, toll and what follows at every stage, whatever the view's rule. coming: as in `bind`; it says
    where a join is to be, not how long it waits.
    """
    done: dict[str, tuple[str, float]] = {INGRESS: (gateway, 0.0)}
    fed: set[str] = set()
    for k, stage in enumerate(spec.stages):
        fed.update(source for source, _ in stage.inputs)
        join = len(stage.inputs) > 1
        sender = gateway if join else done[stage.inputs[0][0]][0]
        total = size * sum(b for _, b in stage.inputs)
        way, others = Way(spec, k, gateway, size), coming if join else NOTHING
        target = _least_estimate(view, stage.service, sender, total, NOBODY, local, way, others)
        if target is None:
            return INFINITY
        arrived = max(done[source][1] + view.net(done[source][0], target.node, size * b) for source, b in stage.inputs)
        done[stage.name] = target.node, arrived + waiting(target, local.get(target.id, 0)) + target.mean
    return max(
        seconds + view.net(node, gateway, size * spec.output)
        for name, (node, seconds) in done.items()
        if name not in fed and name != INGRESS
    )


def admit(
    view: View,
    spec: TypeSpec,
    gateway: str,
    size: float,
    now: float,
    deadline: float,
    local: Mapping[str, int] = NOTHING,
    coming: Mapping[str, int] = NOTHING,
) -> bool:
    """Whether a task entering now may be back by `deadline` (absolute, the clock of `now`)."""
    return now + SURE * completion(view, spec, gateway, size, local, coming) <= deadline
