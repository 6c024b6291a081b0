"""A damaged scenario, as far as it can be read, so that one run of `check` reports everything.

What pydantic refused becomes a hole. A check that touches a hole stops there and says nothing: the mistake
that made the hole has been reported already.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from testbed.topology.explain import keys, unwrapped

T = TypeVar("T")


class HoleMet(Exception):
    """A check needed a value that is not there."""


class Hole:
    """Stands for an unreadable value; every use raises HoleMet."""

    def _met(self, *_: object) -> NoReturn:
        raise HoleMet

    __getattr__ = __getitem__ = __iter__ = __len__ = __bool__ = __contains__ = __call__ = _met
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _met
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _met
    __float__ = __int__ = __index__ = __str__ = __repr__ = __format__ = _met


def until_hole(problems: Iterable[T]) -> Iterator[T]:
    """The problems a check finds before it meets a hole."""
    try:
        yield from problems
    except HoleMet:
        return


def partial(annotation: Any, raw: Any) -> Any:
    """`raw` read as `annotation`, with holes where that fails; unknown keys are passed over."""
    try:
        return TypeAdapter(annotation).validate_python(raw)
    except ValidationError:
        pass
    for option in unwrapped(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel) and isinstance(raw, dict):
            return _model(option, raw)
        item = (typing.get_args(option) or (None,))[-1]
        if typing.get_origin(option) is dict and isinstance(raw, dict) and raw:
            return {k: partial(item, v) for k, v in raw.items()}
        if typing.get_origin(option) is list and isinstance(raw, list) and raw:
            return [partial(item, v) for v in raw]
    return Hole()


def _model(model: type[BaseModel], raw: dict[str, Any]) -> BaseModel:
    values: dict[str, Any] = {}
    written: set[str] = set()
    for name, (key, info) in zip(model.model_fields, keys(model).items(), strict=True):
        annotation = typing.Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        if key in raw:
            values[name] = partial(annotation, raw[key])
            written.add(name)
        else:
            values[name] = Hole() if info.is_required() else info.get_default(call_default_factory=True)
    return model.model_construct(written, **values)
