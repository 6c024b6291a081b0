"""What is said over a testbed's socket: one request and one answer per connection, a line of JSON each.

    {"do": "inject", "kind": "link_down", "target": "a--b", "for": "10 s", "with": {}, "name": null, "overlap": false}
    {"ok": true, "answer": {…}}    {"ok": false, "code": 2, "error": "…"}

Both are bounded in size and in time, so that neither side can hold the other up.
"""

from __future__ import annotations

import json
import socket
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from testbed.errors import InputError
from testbed.topology.explain import explain

REQUEST_BYTES = 1 << 16
ANSWER_BYTES = 1 << 24  # a status of hundreds of hosts is some hundred kB
REQUEST_S = 5.0  # for a request to arrive whole, from the connection on
ANSWER_S = 30.0  # for the loop to get to it
SOCKET = "hands.sock"  # in the run's folder


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Inject(_Request):
    """A fault from now on; its fields are those of a scenario's fault, and checked like them."""

    do: Literal["inject"] = "inject"
    kind: str
    target: str
    length: str = Field(alias="for")
    parameters: dict[str, Any] = Field(default_factory=dict, alias="with")
    name: str | None = None
    overlap: bool = False


class Heal(_Request):
    """name: None for all in force."""

    do: Literal["heal"] = "heal"
    name: str | None = None


class Status(_Request):
    do: Literal["status"] = "status"


class Down(_Request):
    do: Literal["down"] = "down"


Request = Inject | Heal | Status | Down
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="do")])


def parse(line: bytes) -> Request:
    """The request of a line. Raises InputError for anything else."""
    try:
        return _REQUEST.validate_python(json.loads(line))
    except ValidationError as error:
        found = explain(error, _Request)
        raise InputError(
            "request: " + "; ".join(f"{'.'.join(map(str, place))}: {words}".lstrip(": ") for place, words in found)
        ) from None
    except (ValueError, RecursionError):
        raise InputError("request: one line of JSON is expected, {'do': 'inject|heal|status|down', …}") from None


def encode(value: Any) -> bytes:
    """A line. ValueError for what JSON has no word for."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def read_line(connection: socket.socket, most: int, seconds: float) -> bytes:
    """Up to the end of the line, or of the stream. InputError beyond `most` bytes, TimeoutError beyond `seconds`."""
    end, got = time.monotonic() + seconds, bytearray()
    while b"\n" not in got:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole line within {seconds:g} s")
        connection.settimeout(left)
        piece = connection.recv(1 << 16)
        if not piece:
            break
        got += piece
        if len(got) > most:
            raise InputError(f"request: longer than {most} bytes")
    return bytes(got.partition(b"\n")[0])
