"""Frames between services (docs/wire.md): encoding, decoding, and the one check of a request's fields.

A frame is a 12-byte prefix (magic, version, kind, header length, payload length; big-endian), a JSON object and
payload bytes nobody reads. Times are wire seconds on CLOCK_MONOTONIC, counts are wire bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from struct import Struct
from typing import Any, NamedTuple

MAGIC = b"SK"
VERSION = 1
REQUEST, RESULT, FAILED, FIN, STATE_GET, STATE, ACK = range(1, 8)
KINDS = frozenset(range(1, 8))
HEADER_LIMIT = 65_536
PAYLOAD_LIMIT = 64 * 1024 * 1024
PREFIX = Struct(">2sBBII")

#: Without circularity checks: headers are built here, from values that came out of JSON.
encode_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode

_scan = json.JSONDecoder().raw_decode  # without the searches for spaces around the object
LARGEST = 1e15  # of any number in a header: leaves every sum of a few of them exact enough and finite

Header = dict[str, Any]


class WireError(ValueError):
    """A frame that breaks a rule of docs/wire.md; its connection is closed."""


class Frame(NamedTuple):
    """One frame. length: bytes of payload; payload is kept only by a decoder told to keep it."""

    kind: int
    header: Header
    length: int
    payload: bytes = b""


def head(kind: int, header: Header, length: int = 0) -> bytes:
    """Prefix and header of a frame whose payload of `length` bytes follows."""
    text = encode_json(header).encode()
    if kind not in KINDS:
        raise WireError(f"kind {kind} is not one of {sorted(KINDS)}")
    if len(text) > HEADER_LIMIT:
        raise WireError(f"a header of {len(text)} bytes; at most {HEADER_LIMIT} are allowed")
    if not 0 <= length <= PAYLOAD_LIMIT:
        raise WireError(f"a payload of {length} bytes; at most {PAYLOAD_LIMIT} are allowed")
    return PREFIX.pack(MAGIC, VERSION, kind, len(text), length) + text


class Decoder:
    """Bytes in, frames out, whatever the pieces. keep: whether payloads are kept or only counted."""

    def __init__(self, keep: bool = False) -> None:
        self._keep = keep
        self._buffer = bytearray()
        self._kind = 0
        self._header: Header | None = None  # of the frame whose payload is being read
        self._length = self._left = 0
        self._payload = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Frames completed by `data`, in order; WireError at the first bad one (those before it were yielded)."""
        view = memoryview(data)
        while True:
            if self._header is not None:
                taken = min(self._left, len(view))
                if self._keep:
                    self._payload += view[:taken]
                self._left -= taken
                view = view[taken:]
                if self._left:
                    return
                frame = Frame(self._kind, self._header, self._length, bytes(self._payload))
                self._header = None
                self._payload.clear()
                yield frame
            if not len(view) and not self._buffer:
                return
            rest = self._read_header(view)
            if rest is None:
                return
            view = rest

    def _read_header(self, view: memoryview) -> memoryview | None:
        """Consume prefix and header from the buffer and `view`; the bytes after them, or None if more are needed."""
        buffer = self._buffer
        for _ in range(2):  # the prefix says how long the header is
            need = PREFIX.size
            if len(buffer) >= PREFIX.size:
                magic, version, kind, header_length, length = PREFIX.unpack_from(buffer)
                _check_prefix(magic, version, kind, header_length, length)
                need += header_length
            missing = need - len(buffer)
            if missing > 0:
                buffer += view[:missing]
                view = view[missing:]
            if len(buffer) < need:
                return None
        if len(buffer) == PREFIX.size:  # the second round read nothing: the header is empty
            raise WireError("the header is empty; a JSON object is expected")
        self._header = _read_object(bytes(buffer[PREFIX.size :]))
        self._kind, self._length, self._left = kind, length, length
        buffer.clear()
        return view


def _check_prefix(magic: bytes, version: int, kind: int, header_length: int, length: int) -> None:
    if magic != MAGIC or version != VERSION or kind not in KINDS:
        raise WireError(f"prefix {magic!r} version {version} kind {kind}; expected {MAGIC!r} {VERSION} {sorted(KINDS)}")
    if header_length > HEADER_LIMIT or length > PAYLOAD_LIMIT:
        raise WireError(f"lengths {header_length} and {length}; at most {HEADER_LIMIT} and {PAYLOAD_LIMIT} are allowed")


def _read_object(text: bytes) -> Header:
    try:
        string = text.decode()
        header, end = _scan(string) if string.startswith("{") else (None, -1)
        if end != len(string):
            header = json.loads(string)  # spaces around it, or not JSON
    except (ValueError, RecursionError) as error:
        raise WireError(f"the header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise WireError(f"the header is a {type(header).__name__}; a JSON object is expected")
    return header


def _number(value: object, least: float = -LARGEST) -> bool:
    return (type(value) is float or type(value) is int) and least <= value <= LARGEST


def check_request(h: Header) -> None:
    """Raise WireError unless every field of a REQUEST header is there, of its type and finite."""
    try:
        good = (
            type(h["task"]) is type(h["attempt"]) is int
            and type(h["type"]) is type(h["stage"]) is type(h["from"]) is type(h["src"]) is type(h["gw"]) is str
            and _number(h["deadline"])
            and _number(h["size"], 0.0)
            and type(h["work"]) is type(h["bind"]) is dict
            and _place(h["reply"], 2)
        )
        for work in h["work"].values() if good else ():
            good = good and _number(work, 0.0)
        for place in h["bind"].values() if good else ():
            good = good and _place(place, 3)
    except KeyError as error:
        raise WireError(f"a request without {error}") from error
    if not good:
        raise WireError(f"a request with a field of the wrong kind: {str(h)[:200]}")


def check_reply(h: Header) -> None:
    """Raise WireError unless a RESULT or FAILED header names its task, attempt and stage."""
    if type(h.get("task")) is not int or type(h.get("attempt")) is not int or type(h.get("stage")) is not str:
        raise WireError(f"a reply without task, attempt and stage: {str(h)[:200]}")


def _place(value: object, n: int) -> bool:
    """[id,] address, port."""
    if type(value) is not list or len(value) != n or type(value[-1]) is not int:
        return False
    return 0 < value[-1] < 65_536 and all(type(v) is str for v in value[:-1])
