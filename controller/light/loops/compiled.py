"""Functions that Numba compiles when asked to, and that are plain Python without it."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
FLOATS, TABLE, WHOLES = "float64[::1]", "float64[:, ::1]", "int64[::1]"
TRUTHS, FLAGS = "boolean[::1]", "boolean[:, ::1]"


def several(*types: str) -> str:
    """The type of a tuple."""
    return f"Tuple(({', '.join(types)}))"


class Compiled(Generic[P, R]):
    """A function that is compiled when `ready` is called, and plain Python until then, with the same bits.

    So a command that only plans neither waits for Numba nor writes what it compiles. For one signature: another would
    be compiled in the middle of a run.
    """

    def __init__(self, function: Callable[P, R], result: str, arguments: tuple[str, ...]) -> None:
        self.plain, self._signature = function, f"{result}({', '.join(arguments)})"
        self._run: Callable[P, R] = function
        self._compiled = False
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._run(*args, **kwargs)

    def ready(self) -> Callable[P, R]:
        """Compiles, once, with the loops of its file that it calls; returns what runs from now on."""
        if not self._compiled:
            self._run, self._compiled = _made(self.plain, self._signature), True
        return self._run


def compiled(result: str, *arguments: str) -> Callable[[Callable[P, R]], Compiled[P, R]]:
    """Decorates a function of the given Numba types."""
    return lambda function: Compiled(function, result, arguments)


def _made(function: Callable[P, R], signature: str) -> Callable[P, R]:
    try:
        from numba import njit
    except ImportError:  # not installed, or not for this NumPy: as it is, slower
        return function
    compile_: Any = njit
    body = _with_compiled_callees(function)
    try:
        made: Callable[P, R] = compile_(signature, error_model="numpy", cache=True)(body)
    except RuntimeError:  # no folder to keep it in
        made = compile_(signature, error_model="numpy")(body)
    return made


def _with_compiled_callees(function: Any) -> FunctionType:
    """The same function where the names of other loops stand for what they were compiled to: Numba knows only that."""
    names = {n: function.__globals__.get(n) for n in function.__code__.co_names}
    callees = {n: loop.ready() for n, loop in names.items() if isinstance(loop, Compiled)}
    return FunctionType(function.__code__, {**function.__globals__, **callees}, function.__name__)
