"""Where inputs come from. `structured`: hypothesis edits good inputs token by token, so that most get far. `blind`:
bytes flipped, cut, doubled and spliced by seeded dice. `guided`: atheris, by coverage, where it is installed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

Feed = Callable[[bytes], object]
TOKEN = re.compile(rb"\s+|[\w.+-]+|[^\w\s]")
LONG = 20_000  # characters
#: What stands in the place of a token, or beside it.
ODD: tuple[bytes, ...] = tuple(
    text if isinstance(text, bytes) else text.encode()
    for text in (
        "", " ", "\n", "\t", "\0", "-1", "0", "-0", "1", "2", "0.5", "1e400", "-1e400", "1e308", "1e-320", "nan",
        "inf", "-inf", "NaN", "Infinity", "9" * 30, "9" * 5000, "1_000", "٣", "²", "0x10", "1e", ".", "..", "-",
        "true", "false", "null", "~", "no", "on", "12:30", "[]", "{}", "[[[]]]", "[" * 500, "{a: " * 30, "&a x", "*a",
        "!!python/object:os.system x", "!!binary x", "<<", "? x", "| x", "%YAML 9.9", "---", "...", "1 s", "-5 s",
        "0 s", "1e300 h", "10 ms", "3 us", "5 /s", "0 /s", "50 Mbit/s", "0 bit/s", "1e290 Gbit/s", "2 GiB", "-1 B",
        "1 MB", "1 parsec", "s", "any trunk", "any node", "busiest node", "any service", "control", "s1--s2",
        "s2--s1", "s1->s2", "n1--s1", "gw1", "n1", "metro9", "abilene", "ingress", "core", "light", "../x",
        "/etc/passwd", "/dev/zero", "~root", "s.yaml", ".", "a" * LONG, "é" * 100, "\U0001f701", "\ud7ff", "\ufeff",
        "\u202e", "<!DOCTYPE x [<!ENTITY a 'b'>]>", "&a;", "<![CDATA[", "]]>", "<?x?>", "\"", "'", "`", ",", ":", "#",
        "=", "--set", "--json", "-h", "--", "load=", "=2", "faults.99.at=1", "run..slot=1", "topology.x=1",
        "extends: demo", "every", "after", "when", b"\xff\xfe", b"\xc3",
        b"SK\x01\x01\x00\x00\x00\x02\x00\x00\x00\x00{}", "[1, 1]", "{\"t\": 1}", "1.5", "1" + "0" * 400,
    )
)  # fmt: skip


def structured(corpus: Sequence[bytes], count: int, start: int, feed: Feed) -> None:
    """Up to `count` inputs by hypothesis, the same for the same start."""
    tokens = [TOKEN.findall(text) for text in corpus]
    place = st.integers(0, 1 << 20)
    edit = st.tuples(
        st.sampled_from(("put", "put", "before", "drop", "double", "swap", "cut")), place, st.sampled_from(ODD)
    )
    edits = st.tuples(st.integers(0, len(corpus) - 1), st.lists(edit, min_size=1, max_size=6))

    @seed(start)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(edits)
    def each(drawn: tuple[int, list[tuple[str, int, bytes]]]) -> None:
        words = list(tokens[drawn[0]])
        for what, at, odd in drawn[1]:
            _edit(words, what, at % max(len(words), 1), odd)
        feed(b"".join(words))

    each()


def _edit(words: list[bytes], what: str, at: int, odd: bytes) -> None:
    if what == "before" or not words:
        words.insert(at, odd)
    elif what == "put":
        words[at] = odd
    elif what == "drop":
        del words[at]
    elif what == "double":
        words[at:at] = words[at : at + 40]
    elif what == "swap":
        other = (at * 31 + 7) % len(words)
        words[at], words[other] = words[other], words[at]
    else:
        del words[at:]


def retold(data: bytes, dice: random.Random) -> bytes:
    """The same with one to three tokens changed."""
    words = TOKEN.findall(data)
    for _ in range(dice.randint(1, 3)):
        kind = dice.choice(("put", "before", "drop", "double", "swap"))
        _edit(words, kind, dice.randrange(max(len(words), 1)), dice.choice(ODD))
    return b"".join(words)


def blind(corpus: Sequence[bytes], count: int, start: int, feed: Feed) -> None:
    """Exactly `count` inputs by seeded dice."""
    for data in mutants(corpus, count, random.Random(start)):
        feed(data)


def mutants(corpus: Sequence[bytes], count: int, dice: random.Random) -> Iterator[bytes]:
    for _ in range(count):
        data = bytearray(dice.choice(corpus))
        for _ in range(dice.choice((1, 1, 2, 4, 8))):
            _strike(data, corpus, dice)
        yield bytes(data)


def _strike(data: bytearray, corpus: Sequence[bytes], dice: random.Random) -> None:
    at = dice.randrange(len(data) + 1)
    end = min(len(data), at + dice.choice((1, 2, 4, 16, 64)))
    kind = dice.randrange(6)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << dice.randrange(8)
    elif kind == 1:
        data[at:end] = dice.randbytes(dice.choice((0, 1, 4)))
    elif kind == 2:
        del data[at:end]
    elif kind == 3:
        data[at:at] = data[at:end] * dice.choice((1, 2, 100))
    elif kind == 4:
        other = dice.choice(corpus)
        cut = dice.randrange(len(other) + 1)
        data[at:] = other[cut:]
    else:
        data[at:end] = dice.choice(ODD)


def guidance() -> str:
    """Why inputs can't be guided by coverage here; empty: they can."""
    return "" if find_spec("atheris") else "atheris is not installed (the extra `fuzz`): blind bytes in its place"
