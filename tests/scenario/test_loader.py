"""Form: what is read, what is refused, and where the finger points."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import InputError
from testbed.scenario.loader import load, text_and_hash
from tests.scenario.small import DATA, FAULTS, GOOD, ROOT, only, problems, scenario, written


@pytest.mark.parametrize("name", ["demo", "abilene", "e12"])
def test_the_shipped_scenarios_are_valid(name: str) -> None:
    read = load(ROOT / "scenarios" / f"{name}.yaml", (), None)
    assert read.name == name
    assert (ROOT / "scenarios" / f"{name}.yaml").read_text().startswith("# ")


def test_values_arrive_in_si_units(tmp_path: Path) -> None:
    read = scenario(tmp_path)
    assert read.services["see"].work == pytest.approx(0.04)
    assert read.nodes["big"].memory == 8e9
    assert read.access.rate == 100e6
    assert read.faults[0].duration == 5.0
    assert read.topology == str(ROOT / "topologies" / "metro9.yaml")


def test_a_misspelt_key_names_the_nearest_and_all(tmp_path: Path) -> None:
    found = problems(tmp_path, ("deadline:", "deadlin:"))
    assert [p.path for p in found] == ["tasks.photo", "tasks.photo.deadlin"]
    assert found[1].message == (
        "there is no key 'deadlin'. Did you mean 'deadline'? There are: share, deadline, epsilon, output, stages"
    )
    assert (found[1].line, found[1].column) == (14, 5)
    assert str(found[1]).startswith(f"{tmp_path}/scenario.yaml:14:5: tasks.photo.deadlin: ")


@pytest.mark.parametrize(
    ("old", "new", "path", "says"),
    [
        ("name: small\n", "name: small\nname: other\n", "name", "twice (first in line 1)"),
        ("share: 1", "share: &x 1", "tasks.photo.share", "anchors are not read (&x)"),
        ("share: 1", "share: *x", "tasks.photo.share", "aliases are not read (*x)"),
        ("share: 1", "share: !!python/object:os.system 1", "tasks.photo.share", "tags are not read"),
        ("share: 1", "share: -1", "tasks.photo.share", "at least 0"),
        ("share: 1", "share: true", "tasks.photo.share", "found True, expected a number"),
        ("share: 1", "share: .nan", "tasks.photo.share", "expected a number"),
        ("work: 40 ms", "work: 40", "services.see.work", "has no unit"),
        ("work: 40 ms", "work: -40 ms", "services.see.work", "more than 0"),
        ("cpu: 4, memory: 4 GB, streams: 2", "cpu: 4 cores, memory: 4 GB", "services.see.cpu", "expected a number"),
        ("100 Mbit/s", "100 mbps", "access.rate", "Did you mean 'Mbit/s'?"),
        ("tier: light", "tier: lite", "services.cut.tier", "There are: core, light"),
        ("photo:", "9photo:", "tasks.9photo", "a letter first"),
        ("topology: metro9", "topology: metro8", "topology", "Did you mean 'metro9'?"),
        ("topology: metro9", "topology: 7", "topology", "expected the name of a network"),
        ("topology: metro9", "topology: ../x.yaml", "topology", "own folder"),
        ("topology: metro9", "topology: /etc/x.yaml", "topology", "own folder"),
        ("topology: metro9", "topology: x.yaml", "topology", "there is no file 'x.yaml'"),
        ("question: Does it work?", "question: [a", "(document)", "is not YAML"),
        ("question: Does it work?\n", "", "(document)", "the key 'question' is missing"),
    ],
)
def test_one_mistake_one_problem(tmp_path: Path, old: str, new: str, path: str, says: str) -> None:
    problem = only(problems(tmp_path, (old, new)))
    assert problem.path == path
    assert says in problem.message
    assert problem.line >= 1 and problem.column >= 1


def test_all_problems_at_once_of_form_and_of_meaning(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        ("deadline:", "deadlin:"),
        ("cut: {inputs", "cot: {inputs"),
        ("kind: link_down", "kind: link_dwon"),
        ("metric: on_time_rate", "metric: on_time"),
        ("memory: 1 GB", "memory: 1"),
    )
    assert [p.path for p in found] == [
        "services.cut.memory",
        "tasks.photo",
        "tasks.photo.deadlin",
        "tasks.photo.stages.cot",
        "tasks.photo.stages.see.inputs.cut",
        "faults.0.kind",
        "claims.0.metric",
    ]
    assert [p.line for p in found] == sorted(p.line for p in found)


@pytest.mark.parametrize("content", [b"", b"- 1\n", b"42", b"\xff\xfe\x00", b"a: b\n---\nc: d\n", b"\x00"])
def test_files_that_are_no_scenario(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load(path)
    assert caught.value.problems[0].line >= 1


def test_too_large_too_deep_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="larger than 1 MiB"):
        load(written(tmp_path, "#" * (2**20 + 1)))
    with pytest.raises(InputError, match="deeper than 20"):
        load(written(tmp_path, "a: " + "[" * 100000))
    with pytest.raises(InputError, match=r"no such file.*Did you mean 'scenario\.yaml'"):
        load(tmp_path / "scenari.yaml")
    with pytest.raises(InputError, match="folder"):
        load(tmp_path)


def test_set_changes_creates_and_appends(tmp_path: Path) -> None:
    read = scenario(
        tmp_path,
        sets=[
            "load=2",
            "run.duration=20 s",
            "arrivals.mmpp.low=0.5",
            "arrivals.law=mmpp",
            "bandwidth.0.law=markov",
            "bandwidth.1.links=s2->s1",
            "faults.0.for=1 s",
            "policy.parameters.V=2",
            "services.new={tier: light, work: 1 s, memory: 1 B}",
        ],
    )
    assert (read.load, read.run.duration, read.arrivals.mmpp.low) == (2, 20, 0.5)
    assert [b.law for b in read.bandwidth] == ["markov", "constant"]
    assert read.faults[0].duration == 1 and read.policy.parameters == {"V": 2} and "new" in read.services


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("lod=2", "--set lod: there is no key 'lod'. Did you mean 'load'?"),
        ("run.durtion=2 s", "--set run.durtion: there is no key 'durtion'. Did you mean 'duration'?"),
        ("tasks.foto.share=2", "--set tasks.foto.share: there is no 'foto' in tasks. Did you mean 'photo'?"),
        ("arrivals.trac.file=x", "--set arrivals.trac.file: there is no key 'trac'. Did you mean 'trace'?"),
        ("load=two", "--set load: found 'two', expected a number"),
        ("run.slot=1", "--set run.slot: 1 has no unit"),
        ("faults.3.at=1 s", "--set faults.3.at: '3' is no place in the list 'faults'"),
        ("name.x=1", "--set name.x: there is nothing below 'name'"),
        ("load", "--set load: is written path=value"),
        ("run.slot=[", "--set run.slot: the value '[' is not YAML"),
        ("topology=nowhere.gml", "--set topology: there is no file 'nowhere.gml'"),
        ("topology=metro", "--set topology: there is no topology 'metro'. Did you mean 'metro9'?"),
        ("arrivals.trace.start=1 s", "--set arrivals.trace.start: arrivals.trace: the key 'file' is missing"),
        ("run.seed=-1", "--set run.seed: -1 is out of bounds"),
    ],
)
def test_set_is_located_where_it_was_given(tmp_path: Path, assignment: str, says: str) -> None:
    assert any(str(p).startswith(says) for p in problems(tmp_path, sets=[assignment]))


def test_files_of_set_are_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "net.yaml").write_text((ROOT / "topologies" / "metro9.yaml").read_text())
    monkeypatch.chdir(tmp_path / "here")
    assert scenario(tmp_path, sets=["topology=net.yaml"]).topology == str(tmp_path / "here" / "net.yaml")
    inside = scenario(tmp_path, ("topology: metro9", "topology: here/net.yaml"))
    assert inside.topology == str(tmp_path / "here" / "net.yaml")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").symlink_to(ROOT / "topologies" / "metro9.yaml")
    assert "own folder" in only(problems(tmp_path, ("topology: metro9", "topology: net.yaml"))).message


def test_set_law_passes_over_the_fields_of_the_former_law(tmp_path: Path) -> None:
    (tmp_path / "up.trace").write_text("1\n2\n")
    change = ("arrivals:", "bandwidth: [{law: markov, levels: [1.0, 0.5]}]\narrivals:")
    read = scenario(tmp_path, change, sets=["bandwidth.0.law=trace", f"bandwidth.0.file={tmp_path}/up.trace"])
    assert read.bandwidth[0].file == str(tmp_path / "up.trace")
    assert (
        "belongs to the law trace"
        in only(problems(tmp_path, change, sets=[f"bandwidth.0.file={tmp_path}/up.trace"])).message
    )


def test_a_run_shortened_by_set_cuts_its_faults(tmp_path: Path) -> None:
    assert scenario(tmp_path, sets=["run.duration=2 s"]).faults[0].duration == 2
    assert scenario(tmp_path, sets=["run.duration=2 s", "run.warmup=1 s"]).faults == []
    late = only(problems(tmp_path, sets=["run.duration=2 s", "faults.0.at=11 s"]))
    assert late.path == "faults.0.at"
    assert "outside the run" in only(problems(tmp_path, ("at: 10 s", "at: 49 s"))).message


def test_the_hash_changes_with_every_change_and_with_no_machine(tmp_path: Path) -> None:
    text, first = text_and_hash(written(tmp_path))
    assert text == GOOD
    (tmp_path / "elsewhere").mkdir()
    assert text_and_hash(written(tmp_path / "elsewhere", "# a comment\n" + GOOD))[1] == first
    assert text_and_hash(written(tmp_path, GOOD, ("500 ms", "0.5 s")))[1] == first
    order = (
        "  big: {cpu: 8, memory: 8 GB, speed: 2}\n  medium: {cpu: 8, memory: 8 GB}\n",
        "  medium: {cpu: 8, memory: 8 GB}\n  big: {cpu: 8, memory: 8 GB, speed: 2}\n",
    )
    for change in [("500 ms", "501 ms"), ("Does it work?", "Does it?"), order]:
        assert text_and_hash(written(tmp_path, GOOD, change))[1] != first
    text, other = text_and_hash(written(tmp_path), ["load=2"])
    assert other != first and text.endswith("# --set load=2\n")


def test_the_hash_covers_the_contents_of_files(tmp_path: Path) -> None:
    network = tmp_path / "net.yaml"
    network.write_text((ROOT / "topologies" / "metro9.yaml").read_text())
    path = written(tmp_path, GOOD, ("topology: metro9", "topology: net.yaml"))
    before = text_and_hash(path)[1]
    network.write_text(network.read_text().replace("delay: 7 ms", "delay: 8 ms"))
    assert text_and_hash(path)[1] != before


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not beside the repository")
def test_real_inputs_on_the_demo() -> None:
    read = load(
        ROOT / "scenarios" / "abilene.yaml",
        [
            f"topology={DATA}/topology-zoo/Abilene.gml",
            "arrivals.law=trace",
            f"arrivals.trace.file={DATA}/azure-llm/AzureLLMInferenceTrace_code.csv",
            "arrivals.trace.size_in=ContextTokens",
            "arrivals.trace.size_out=GeneratedTokens",
            "arrivals.trace.rate=10 /s",
            "bandwidth.1.law=trace",
            "bandwidth.1.links=New-York--Chicago",
            f"bandwidth.1.file={DATA}/mahimahi/ATT-LTE-driving-2016.down",
        ],
        FAULTS,
    )
    assert read.arrivals.trace is not None and Path(read.arrivals.trace.file).is_absolute()


SNIPPETS = st.sampled_from(
    [
        "name",
        "topology",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "\n",
        "\n  ",
        "- ",
        "&a",
        "*a",
        "!!x",
        "20 ms",
        "\t",
        "'",
        '"',
        "#",
        "|",
        ">",
        "%",
        "---",
        "faults",
        "tasks",
        "a: b",
        "\x00",
        "é",
        "?",
        "1e999",
        "0x1",
        "~",
        "@",
        "`",
        "<<: ",
        "ingress",
        "services",
        "{}",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.lists(SNIPPETS).map("".join), st.binary()))
def test_garbage_is_refused_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    path = tmp_path_factory.mktemp("garbage") / "x.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError):
        load(path)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["20 ms", "1 MB", "metro9"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
PATHS = [
    "name",
    "topology",
    "nodes",
    "nodes.big",
    "nodes.big.cpu",
    "services",
    "services.see",
    "services.see.rate",
    "tasks",
    "tasks.photo",
    "tasks.photo.stages",
    "tasks.photo.stages.see",
    "tasks.photo.stages.see.inputs",
    "tasks.photo.share",
    "access",
    "arrivals",
    "arrivals.trace",
    "arrivals.weights",
    "arrivals.mmpp",
    "load",
    "policy",
    "policy.name",
    "bandwidth",
    "bandwidth.0",
    "bandwidth.0.links",
    "faults",
    "faults.0",
    "faults.0.target",
    "faults.0.kind",
    "faults.0.with",
    "faults.0.at",
    "run",
    "run.seed",
    "run.warmup",
    "claims",
    "claims.0",
    "claims.0.metric",
    "variation",
    "topology.generator",
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PATHS), VALUES)
def test_any_value_anywhere_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, path: str, value: object
) -> None:
    import json

    file = written(tmp_path_factory.mktemp("values"))
    try:
        load(file, [f"{path}={json.dumps(value)}"], FAULTS)
    except InputError as error:
        assert error.problems and all(p.message for p in error.problems)
