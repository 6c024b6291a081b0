"""The frame codec: whatever the pieces, the same frames; nothing after a bad one."""

import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.containers.bed import ROOT

sys.path.insert(0, str(ROOT / "containers"))

from common import wire

TEXT = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FRAMES = st.tuples(
    st.sampled_from(sorted(wire.KINDS)), st.dictionaries(TEXT, VALUES, max_size=5), st.binary(max_size=300)
)


def encode(frames):
    return b"".join(wire.head(kind, header, len(payload)) + payload for kind, header, payload in frames)


def feed(decoder, data, cuts):
    """The frames of `data` fed in pieces, and whether an error ended it."""
    frames = []
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    try:
        for a, b in pairwise(edges):
            for frame in decoder.feed(data[a:b]):
                frames.append(frame)
    except wire.WireError:
        return frames, True
    return frames, False


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(0, 10_000), max_size=12))
def test_decoding_undoes_encoding_however_the_bytes_are_cut(frames, cuts):
    got, broken = feed(wire.Decoder(keep=True), encode(frames), cuts)
    assert not broken
    assert [(f.kind, f.header, f.payload) for f in got] == frames
    assert [f.length for f in got] == [len(p) for _, _, p in frames]


@given(st.lists(FRAMES, max_size=3), st.lists(st.integers(0, 10_000), max_size=12))
def test_payloads_that_are_not_kept_are_counted(frames, cuts):
    got, broken = feed(wire.Decoder(), encode(frames), cuts)
    assert not broken
    assert [(f.kind, f.header, f.length, f.payload) for f in got] == [(k, h, len(p), b"") for k, h, p in frames]


@given(st.lists(FRAMES, min_size=1, max_size=3), st.data())
def test_a_frame_counts_only_when_its_last_byte_is_here(frames, data):
    whole = encode(frames)
    end = data.draw(st.integers(0, len(whole) - 1))
    got, broken = feed(wire.Decoder(), whole[:end], [])
    assert not broken and len(got) < len(frames)


@given(st.lists(FRAMES, max_size=3), st.binary(min_size=12, max_size=40), st.lists(st.integers(0, 10_000), max_size=12))
def test_frames_before_a_bad_one_arrive_and_nothing_after_it(frames, rubbish, cuts):
    rubbish = b"XX" + rubbish
    got, broken = feed(wire.Decoder(keep=True), encode(frames) + rubbish + encode(frames), cuts)
    assert broken and [(f.kind, f.header, f.payload) for f in got] == frames


@given(st.binary(max_size=200))
def test_any_bytes_give_frames_or_a_wire_error_and_nothing_else(data):
    feed(wire.Decoder(), data, [])
    feed(wire.Decoder(), b"SK\x01\x01" + data, [])


def test_encoding_refuses_what_the_receiver_would():
    with pytest.raises(wire.WireError, match="65536"):
        wire.head(wire.FIN, {"x": "y" * 70_000})
    with pytest.raises(wire.WireError, match="payload"):
        wire.head(wire.STATE, {}, wire.PAYLOAD_LIMIT + 1)
    with pytest.raises(wire.WireError, match="kind 77"):
        wire.head(77, {})
