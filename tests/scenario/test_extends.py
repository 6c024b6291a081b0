"""A scenario laid over another: what is merged, what is replaced, and where mistakes are said to be."""

from pathlib import Path

import pytest

from testbed.errors import InputError
from testbed.scenario.loader import load, text_and_hash
from testbed.topology import located

ROOT = Path(__file__).parents[2]
HEAD = "name: over\nquestion: Does it hold?\n"


def written(folder: Path, text: str, name: str = "over.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def message(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load(path)
    return str(error.value)


def test_mappings_merge_and_lists_replace(tmp_path: Path) -> None:
    path = written(
        tmp_path, f"extends: demo\n{HEAD}run: {{warmup: 7 s}}\nfaults: []\ntasks: {{rag: {{deadline: 1 s}}}}\n"
    )
    own, base = load(path), load(ROOT / "scenarios" / "demo.yaml")
    assert (own.name, own.run.warmup, own.faults) == ("over", 7.0, [])
    assert own.run.duration == base.run.duration and own.services == base.services
    assert own.tasks["rag"].deadline == 1.0 and own.tasks["rag"].stages == base.tasks["rag"].stages
    assert list(own.tasks) == list(base.tasks), "in the base's order"


def test_the_hash_is_of_the_whole(tmp_path: Path) -> None:
    nothing = written(tmp_path, "extends: demo\n")
    demo = ROOT / "scenarios" / "demo.yaml"
    assert text_and_hash(nothing)[1] == text_and_hash(demo)[1]
    text = text_and_hash(nothing)[0]
    assert "# extends demo.yaml:" in text and "# topology: metro9" in text


def test_a_mistake_is_told_where_it_stands(tmp_path: Path) -> None:
    base = (ROOT / "scenarios" / "demo.yaml").read_text().replace("deadline: 450 ms", "deadline: 450 parsecs")
    written(tmp_path, base, "base.yaml")
    path = written(tmp_path, f"extends: base.yaml\n{HEAD}load: many\n")
    said = message(path)
    line = next(i for i, text in enumerate(base.splitlines(), 1) if "parsecs" in text)
    assert f"base.yaml:{line}:" in said and "'parsecs' is not a unit" in said
    assert "over.yaml:4:1: load" in said


def test_three_deep(tmp_path: Path) -> None:
    written(tmp_path, "extends: demo\nload: 2\nplan_load: 5\n", "a.yaml")
    written(tmp_path, "extends: a.yaml\nload: 3\n", "b.yaml")
    own = load(written(tmp_path, f"extends: b.yaml\n{HEAD}"))
    assert (own.load, own.plan_load) == (3.0, 5.0)


@pytest.mark.parametrize(
    ("extends", "said"),
    [
        ("dmeo", "there is no shipped scenario 'dmeo'. Did you mean 'demo'?"),
        ("over.yaml", "extends itself"),
        ("../other.yaml", "lies in the scenario's own folder"),
        ("/etc/passwd.yaml", "lies in the scenario's own folder"),
        ("gone.yaml", "there is no file 'gone.yaml'"),
        ("[demo]", "expected a shipped scenario"),
        ("7", "expected a shipped scenario"),
    ],
)
def test_what_can_not_be_extended(tmp_path: Path, extends: str, said: str) -> None:
    path = written(tmp_path, f"{HEAD}extends: {extends}\n")
    found = message(path)
    assert said in found and "over.yaml:3:1: extends" in found


def test_a_ring_is_found(tmp_path: Path) -> None:
    written(tmp_path, "extends: b.yaml\n", "a.yaml")
    assert "extends itself" in message(written(tmp_path, "extends: a.yaml\n", "b.yaml"))


def test_no_endless_chain(tmp_path: Path) -> None:
    for i in range(8):
        written(tmp_path, f"extends: f{i + 1}.yaml\n", f"f{i}.yaml")
    written(tmp_path, "extends: demo\n", "f8.yaml")
    assert "more than 4 files" in message(tmp_path / "f0.yaml")


def test_files_of_the_base_are_found_beside_the_base(tmp_path: Path) -> None:
    """The base lies in a folder below; the topology it names lies beside it."""
    below = tmp_path / "below"
    below.mkdir()
    (below / "net.yaml").write_text((ROOT / "topologies" / "metro9.yaml").read_text())
    demo = (ROOT / "scenarios" / "demo.yaml").read_text().replace("topology: metro9", "topology: net.yaml")
    written(below, demo, "base.yaml")
    own = load(written(tmp_path, f"extends: below/base.yaml\n{HEAD}"))
    assert own.topology == str(below / "net.yaml")


def test_laid_over_keeps_marks_and_origins() -> None:
    lower, upper = located.parse("a: {b: 1, c: 2}\n", "low"), located.parse("a: {c: 3}\nd: 4\n", "up")
    merged = upper.over(lower)
    assert merged.data == {"a": {"b": 1, "c": 3}, "d": 4}
    assert [merged.origin(p) for p in (("a", "b"), ("a", "c"), ("d",))] == ["low", "up", "up"]
