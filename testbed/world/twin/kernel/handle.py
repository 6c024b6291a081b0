"""One pointer for the whole state, so that compiled functions pass one argument instead of forty arrays.

The arrays of `state.State` are told by a table of integers: for each its address and up to three lengths. Compiled
code gets the table's address; `s.name` then *is* the array, made of these integers where it is used. With the arrays
themselves as arguments (a named tuple) every function took some three hundred of them: half a minute of compile time
more, and a good part of the run time.

The table does not own the arrays: who calls keeps them alive (engine.Kernel).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import from_dtype
from numba.core import types
from numba.core.extending import intrinsic, lower_getattr_generic, models, register_model
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.np import arrayobj

from testbed.world.twin.kernel.state import DTYPES, State
from testbed.world.twin.layout import Ints

WIDTH = 4  # integers per array: address, then lengths


class StateType(types.Type):  # type: ignore[misc]
    """The type of `s` in compiled code."""

    def __init__(self) -> None:
        super().__init__(name="ShaketableState")


STATE = StateType()
register_model(StateType)(models.OpaqueModel)
ARRAYS = {name: types.Array(from_dtype(dtype), ndim, "C") for name, (dtype, ndim) in DTYPES.items()}
PLACE = {name: k for k, name in enumerate(DTYPES)}


def table_of(s: State) -> Ints:
    """The table of a state; good until one of its arrays is replaced."""
    out = np.zeros((len(DTYPES), WIDTH), np.int64)
    for k, (name, (dtype, ndim)) in enumerate(DTYPES.items()):
        array = getattr(s, name)
        if array.dtype != dtype or array.ndim != ndim or not array.flags.c_contiguous:
            raise TypeError(f"state: {name} is {array.dtype} with {array.ndim} axes, expected {dtype} with {ndim}")
        out[k, 0] = array.ctypes.data
        out[k, 1 : 1 + ndim] = array.shape
    return out.ravel()


@infer_getattr
class _Attributes(AttributeTemplate):  # type: ignore[misc]
    key = StateType

    def generic_resolve(self, typ: Any, attr: str) -> Any:  # type: ignore[override]
        return ARRAYS.get(attr)


@lower_getattr_generic(StateType)  # type: ignore[untyped-decorator]
def _array(context: Any, builder: Any, typ: Any, value: Any, attr: str) -> Any:
    """Load address and lengths, and put an array together."""
    integer = ir.IntType(64)
    table = builder.bitcast(value, integer.as_pointer())
    nothing = builder.module.add_metadata([])  # no table changes while compiled code runs: load once, keep

    def load(j: int) -> Any:
        found = builder.load(builder.gep(table, [integer(WIDTH * PLACE[attr] + j)]))
        found.set_metadata("invariant.load", nothing)
        return found

    kind = ARRAYS[attr]
    size = context.get_constant(types.intp, from_size(kind.dtype, context))
    shape = [load(1 + axis) for axis in range(kind.ndim)]
    strides = [size]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    array = context.make_array(kind)(context, builder)
    data = builder.inttoptr(load(0), context.get_data_type(kind.dtype).as_pointer())
    arrayobj.populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
    return array._getvalue()


def from_size(kind: Any, context: Any) -> int:
    """Bytes of one element."""
    return int(context.get_abi_sizeof(context.get_data_type(kind)))


def _as_state(typing_context: Any, table: Any) -> Any:
    """The state behind a table."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.bitcast(array.data, ir.IntType(8).as_pointer())

    return STATE(table), code


as_state: Any = intrinsic(_as_state)
