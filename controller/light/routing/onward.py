"""What follows a stage if nobody waits, eq. (48): asked where instances are compared and where hope ends."""

from __future__ import annotations

from .view import INFINITY, Ahead, TypeSpec, View, Way

#: The toll of eq. (47) is at most so many x̄ of the target: a queue here that takes longer is worth the trunk.
MOST_TOLL = 3.0
#: Stands for "no way on" in what follows, s: a finite price, so that of several such ways there is a least one.
NO_WAY = 1e3
NO_WAY_ON = Ahead(NO_WAY, 0.0, 0.0)


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
    if ends > deadline:
        return True
    after = left(view, way, node)
    return after < NO_WAY and ends + after > deadline
