"""An instance's queue: a skew heap by (key, serial), `below` and `beside` its children."""

from __future__ import annotations

from testbed.world.twin.kernel.build import jit
from testbed.world.twin.kernel.state import QUEUED, State


@jit
def merge(s: State, a: int, b: int) -> int:
    """One heap of two; `below` and `beside` are the children."""
    root, parent = -1, -1
    while a >= 0 and b >= 0:
        if s.v[b].key < s.v[a].key or (s.v[b].key == s.v[a].key and s.v[b].serial < s.v[a].serial):
            a, b = b, a
        if parent < 0:
            root = a
        else:
            s.v[parent].below = a
        parent = a
        following = s.v[a].beside
        s.v[a].beside = s.v[a].below
        a = following
    rest = a if a >= 0 else b
    if parent < 0:
        return rest
    s.v[parent].below = rest
    return root


@jit
def push(s: State, i: int, v: int) -> None:
    s.v[v].state = QUEUED
    s.v[v].below = -1
    s.v[v].beside = -1
    s.m[i].queue = merge(s, s.m[i].queue, v)
    s.m[i].waiting += 1


@jit
def pop(s: State, i: int) -> int:
    v = s.m[i].queue
    s.m[i].queue = merge(s, s.v[v].below, s.v[v].beside)
    s.m[i].waiting -= 1
    return v
