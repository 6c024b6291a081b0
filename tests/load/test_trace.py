"""A CSV trace: times, factors, and a clear word about every damaged line."""

from pathlib import Path

import pytest

from testbed.errors import InputError
from testbed.load.trace import read, window
from testbed.scenario.model import ArrivalTrace

ROOT = Path(__file__).resolve().parents[2]
AZURE = ROOT.parent / "shared" / "data" / "azure-llm" / "AzureLLMInferenceTrace_code.csv"
HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def spec(path: Path, **kwargs) -> ArrivalTrace:
    return ArrivalTrace(file=str(path), size_in="ContextTokens", size_out="GeneratedTokens", **kwargs)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


def test_times_and_factors(tmp_path):
    lines = [f"2023-11-16 18:17:{3 + k:02d}.5000000,{100 * (k + 1)},{10 * k}\n" for k in range(4)]
    w = window(spec(written(tmp_path, HEAD + "".join(lines))), 1.0, {"gw": 1.0}, 10.0, 1)
    assert w.times == pytest.approx([0, 1, 2, 3])
    assert w.scales[:, 0] == pytest.approx([0.4, 0.8, 1.2, 1.6])
    assert w.scales[3][2] == pytest.approx((400 + 300) / (250 + 150))


def test_load_and_rate_compress_time(tmp_path):
    path = written(tmp_path, HEAD + "".join(f"{k},100,10\n" for k in range(400)))
    assert len(window(spec(path), 1.0, {"gw": 1.0}, 20.0, 1).times) == 20
    assert len(window(spec(path), 3.0, {"gw": 1.0}, 20.0, 1).times) == 60
    assert len(window(spec(path, rate="5 /s"), 1.0, {"gw": 1.0}, 20.0, 1).times) == 100


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        (HEAD + "1,2,3\nrubbish,2,3\n", 3, "rubbish"),
        (HEAD + "1,2,3\n0.5,2,3\n", 3, "backwards"),
        (HEAD + "1,-2,3\n", 2, "-2"),
        (HEAD + "1,2\n", 2, "ContextTokens"),
        (HEAD + "1,nan,2\n", 2, "nan"),
        ("TIME,ContextTokens,GeneratedTokens\n1,2,3\n", 1, "TIMESTAMP"),
        (HEAD, 1, "no request"),
    ],
)
def test_a_garbage_line_is_named(tmp_path, text, line, word):
    with pytest.raises(InputError) as caught:
        read(spec(written(tmp_path, text)))
    assert caught.value.problems[0].line == line
    assert word in str(caught.value)


def test_too_short_a_trace_says_by_how_much(tmp_path):
    path = written(tmp_path, HEAD + "1,2,3\n2,2,3\n")
    with pytest.raises(InputError, match="needs 100 requests, found 2"):
        window(spec(path, rate="10 /s"), 1.0, {"gw": 1.0}, 10.0, 1)


@pytest.mark.skipif(not AZURE.exists(), reason="../shared/data is absent")
def test_one_hour_of_requests_to_a_language_model():
    w = window(spec(AZURE, rate="20 /s"), 1.0, {"a": 0.5, "b": 0.5}, 30.0, 1)
    assert len(w.times) == 600
    assert sum(w.dealt == 0) == pytest.approx(300, abs=60)


def test_known_size_columns_are_used_unasked_and_named_ones_win(tmp_path):
    path = written(tmp_path, HEAD + "1,100,10\n2,300,10\n")
    assert window(ArrivalTrace(file=str(path)), 1.0, {"gw": 1.0}, 5.0, 1).scales[1][0] == pytest.approx(1.5)
    named = ArrivalTrace(file=str(path), size_in="GeneratedTokens")
    assert window(named, 1.0, {"gw": 1.0}, 5.0, 1).scales[1][0] == pytest.approx(1.0)
