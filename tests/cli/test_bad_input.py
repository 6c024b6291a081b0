"""Everything a user may get wrong in a file: exit 2, where it is, what is allowed; and nothing is made."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.cli.kit import Command, tree
from tests.scenario.small import GOOD, written

SEE, CUT = "see: {inputs: {cut: 1 MB}}", "cut: {inputs: {ingress: 1 MB}}"
RATE = "arrivals: {rate: 5 /s}"

#: (what is wrong, changes to the good scenario, place in it, words of the message)
WRONG = [
    ("unknown service", [(SEE, "sea: {inputs: {cut: 1 MB}}")], ":18:7: tasks.photo.stages.sea: ",
     "there is no service 'sea'. Did you mean 'see'? There are: see, cut"),
    ("cycle", [(CUT, "cut: {inputs: {ingress: 1 MB, see: 1 MB}}")], ":17:7: tasks.photo.stages.cut: ",
     "the stages wait for each other in a circle: cut → see → cut; remove one input"),
    ("deadline", [("deadline: 500 ms", "deadline: 20 ms")], ":14:5: tasks.photo.deadline: ", "20 ms"),
    ("idle node", [("cpu: 4, memory: 4 GB}", "cpu: 4, memory: 4 kB}")], ":7:3: nodes.small: ", "can host nothing"),
    ("negative", [("cpu: 8, memory: 8 GB, speed: 2", "cpu: -8, memory: 8 GB")], ":5:9: nodes.big.cpu: ",
     "-8 is out of bounds: it must be more than 0"),
    ("negative time", [("500 ms", "-500 ms")], ":14:5: tasks.photo.deadline: ", "'-500 ms' is out of bounds"),
    ("no unit", [("deadline: 500 ms", "deadline: 500")], ":14:5: tasks.photo.deadline: ",
     "500 has no unit: a duration is written like"),
    ("wrong unit", [("rate: 100 Mbit/s", "rate: 100 MB")], ":19:10: access.rate: ", "Mbit/s"),
    ("policy", [("access:", "policy: {name: two_teir}\naccess:")], "policy.name: ",
     "there is no policy 'two_teir'. Did you mean 'two_tier'?"),
    ("key", [("services:", "servces:")], ":8:1: servces: ", "Did you mean 'services'?"),
]  # fmt: skip


@pytest.mark.parametrize("word", ["check", "plan", "run"])
@pytest.mark.parametrize(("changes", "place", "says"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_mistake_is_named_where_it_is(
    testbed: Command, word: str, changes: list[tuple[str, str]], place: str, says: str
) -> None:
    path = written(testbed.folder, GOOD, *changes)
    assert testbed(word, path) == 2
    lines = testbed.err.splitlines()
    assert any(str(path) in line and place in line and says in line for line in lines), testbed.err
    assert testbed.out == ""
    assert tree(testbed.folder) == ["scenario.yaml"]


def test_all_mistakes_at_once_in_the_order_of_the_file(testbed: Command) -> None:
    path = written(testbed.folder, GOOD, ("speed: 2", "speed: 0"), ("500 ms", "500"), (SEE, "sea: {inputs: {cut: 1}}"))
    assert testbed("check", path) == 2
    assert [line.split(": ")[1] for line in testbed.err.splitlines()] == [
        "nodes.big.speed", "tasks.photo.deadline", "tasks.photo.stages.sea", "tasks.photo.stages.sea.inputs.cut",
    ]  # fmt: skip


def test_several_files_are_checked_and_the_good_ones_said_to_be_fine(testbed: Command) -> None:
    good = testbed.folder / "good.yaml"
    good.write_text(GOOD)
    assert testbed("check", good, written(testbed.folder, GOOD, ("500 ms", "500")), good) == 2
    assert testbed.out.count("good.yaml: fine: 9 nodes, 3 sites, 2 services") == 2
    assert testbed.err.count("scenario.yaml:14:5") == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{a: [1", "(document): is not YAML"),
        (b"hello\n", "a scenario is a mapping of keys"),
        (b"", "is empty"),
        (bytes(range(256)) * 20, "is not UTF-8 text"),
        (b"name: x\nname: y\n", "name"),
        (b"a: &x 1\nb: *x\n", "alias"),
    ],
)
@pytest.mark.parametrize("word", ["check", "plan", "run"])
def test_a_file_that_is_no_scenario(testbed: Command, word: str, content: bytes, says: str) -> None:
    path = testbed.folder / "scenario.yaml"
    path.write_bytes(content)
    assert testbed(word, path) == 2
    assert says in testbed.err and str(path) in testbed.err
    assert tree(testbed.folder) == ["scenario.yaml"]


@pytest.mark.parametrize("word", ["check", "plan", "run"])
def test_a_file_that_is_not_there_and_a_folder(testbed: Command, word: str) -> None:
    (testbed.folder / "scene.yaml").write_text(GOOD)
    assert testbed(word, "scen.yaml") == 2
    assert "there is no such file" in testbed.err and "scene.yaml" in testbed.err
    if word != "check":  # which takes a folder (test_folders.py)
        assert testbed(word, testbed.folder) == 2
        assert "is a folder" in testbed.err


def test_a_name_that_leads_to_no_file_is_not_recommended(testbed: Command) -> None:
    (testbed.folder / "loop.yaml").symlink_to("pool.yaml")
    (testbed.folder / "pool.yaml").symlink_to("loop.yaml")
    assert testbed("plan", "loop.yaml") == 2
    assert testbed.err == "loop.yaml:1:1: (document): is a link that leads to no file\n"
    os.mkfifo(testbed.folder / "fifo.yaml")
    for name in ("fifo.yaml", "/dev/null"):
        assert testbed("plan", name) == 2
        assert "is no file but a device, a pipe or a socket: write what it gives into a file" in testbed.err
    assert testbed("plan", "-") == 2
    assert "there is no such file. In this folder every file has an ending" in testbed.err


@pytest.mark.parametrize("word", ["check", "plan", "run"])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("run.seed=99999999999999999999", "found 1e+20, expected a whole number of fewer digits"),
        ("foo.bar=1", "--set foo.bar: there is no key 'foo'"),
        ("run.duraton=5 s", "--set run.duraton: there is no key 'duraton'. Did you mean 'duration'?"),
        ("run.duration=5", "5 has no unit"),
        ("load=0", "out of bounds"),
        ("load", "--set load: is written path=value"),
        ("topology=nowhere.gml", "there is no file 'nowhere.gml'"),
        ("services.sea.work=1 s", "Did you mean 'see'?"),
    ],
)
def test_a_set_that_can_not_be(testbed: Command, word: str, given: str, says: str) -> None:
    assert testbed(word, written(testbed.folder), "--set", given) == 2
    assert says in testbed.err, testbed.err
    assert tree(testbed.folder) == ["scenario.yaml"]


@pytest.mark.parametrize("word", ["check", "plan", "run"])
@pytest.mark.parametrize(
    ("file", "content", "change", "says"),
    [
        ("a.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,4808,10\nnonsense\n",
         (RATE, "arrivals: {law: trace, trace: {file: a.csv}}"), "a.csv:3:1: "),
        ("a.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,much,10\n",
         (RATE, "arrivals: {law: trace, trace: {file: a.csv}}"), "a.csv:2:1: "),
        ("a.csv", "TIMESTAMP\n2023-11-16 18:17:03.97\n",
         (RATE, "arrivals: {law: trace, trace: {file: a.csv, time: WHEN}}"), "'WHEN'"),
        ("m.down", "1\n3\nxx\n9\n",
         ("faults:", "bandwidth: [{links: s1--s2, law: trace, file: m.down}]\nfaults:"), "m.down:3:1: "),
        ("m.down", "7\n3\n",
         ("faults:", "bandwidth: [{links: s1--s2, law: trace, file: m.down}]\nfaults:"), "m.down:2:1: "),
        ("m.down", "",
         ("faults:", "bandwidth: [{links: s1--s2, law: trace, file: m.down}]\nfaults:"), "the file is empty"),
    ],
)  # fmt: skip
def test_a_trace_with_a_damaged_line(
    testbed: Command, word: str, file: str, content: str, change: tuple[str, str], says: str
) -> None:
    (testbed.folder / file).write_text(content)
    assert testbed(word, written(testbed.folder, GOOD, change), *(["--out", "records"] if word == "run" else [])) == 2
    assert says in testbed.err, testbed.err
    assert tree(testbed.folder) == sorted([file, "scenario.yaml"])


TORN = """
name: torn
sites: {s1: {cluster: a}, s2: {cluster: a}, s3: {cluster: b}}
nodes: {n1: {site: s1, kind: big}, n2: {site: s2, kind: big}}
ingresses: {gw1: {site: s1}, gw3: {site: s3}}
links:
  defaults:
    node: {rate: 1 Gbit/s, delay: 0.5 ms}
    gateway: {rate: 1 Gbit/s, delay: 0.5 ms}
    trunk: {rate: 800 Mbit/s, delay: 8 ms}
  trunks: [{between: [s1, s2]}]
"""


@pytest.mark.parametrize("word", ["check", "plan", "run"])
def test_an_ingress_that_can_not_be_reached(testbed: Command, word: str) -> None:
    (testbed.folder / "torn.yaml").write_text(TORN)
    assert testbed(word, written(testbed.folder, GOOD, ("topology: metro9", "topology: torn.yaml"))) == 2
    assert "torn.yaml:5:30: ingresses.gw3: no node can be reached from 's3'" in testbed.err


@pytest.mark.parametrize("policy", ["two_tier", "static", "nearest"])
@pytest.mark.parametrize("word", ["plan", "run"])
@pytest.mark.parametrize(
    ("needs", "lack"),
    [("cpu: 4.5, memory: 1 GB", r"big\d.*\d cores"), ("cpu: 1, memory: 7 GB", r"big\d.*\d GB")],
    ids=["cpu", "memory"],
)
def test_a_placement_that_can_not_fit_says_what_lacks_which_resource_and_by_how_much(
    testbed: Command, word: str, policy: str, needs: str, lack: str
) -> None:
    """Seven services, each of which has room on six nodes: one node each, and six nodes."""
    crowd = [f"big{k}" for k in range(7)]
    services = "".join(f"  {m}: {{tier: core, work: 5 ms, {needs}}}\n" for m in crowd)
    stages = "".join(f"      {m}: {{inputs: {{ingress: 1 kB}}}}\n" for m in crowd)
    path = written(
        testbed.folder, GOOD, ("  cut: {tier", f"{services}  cut: {{tier"), ("      cut:", f"{stages}      cut:")
    )
    assert testbed("check", path) == 0
    assert testbed(word, path, "--policy", policy) == 2
    assert "the placement does not fit: " in testbed.err
    assert re.search(lack, testbed.err)
    assert tree(testbed.folder) == ["scenario.yaml"]


def test_a_run_into_a_folder_that_is_not_empty_overwrites_nothing(testbed: Command) -> None:
    """And says so before anything of the machine is looked at."""
    path, folder = written(testbed.folder), testbed.folder / "mine"
    folder.mkdir()
    (folder / "summary.json").write_text("precious")
    assert testbed("run", path, "--out", folder) == 2
    assert "the folder is not empty; name a new one with --out, nothing was overwritten" in testbed.err
    assert (folder / "summary.json").read_text() == "precious"
    assert testbed("run", path, "--in", "twin", "--out", folder) == 2
    assert testbed("run", path, "--in", "twin", "--out", path) == 2
    assert "is a file; --out names a folder" in testbed.err
    assert tree(testbed.folder) == ["mine", "mine/summary.json", "scenario.yaml"]


def test_a_report_of_what_is_no_run(testbed: Command) -> None:
    empty = testbed.folder / "empty"
    empty.mkdir()
    assert testbed("report", empty) == 2
    assert f"{empty}: no finished run here" in testbed.err
    assert testbed("report", "nowhere") == 2
    (empty / "complete").write_text("1\n")
    (empty / "summary.json").write_bytes(b"\xff\x00 no json")
    assert testbed("report", empty) == 2
    assert "its records are damaged" in testbed.err
    assert not (empty / "report.html").exists()


def test_a_wrong_policy_on_the_command_line(testbed: Command) -> None:
    path: Path = written(testbed.folder)
    assert testbed("plan", path, "--policy", "nearst") == 2
    assert "there is no policy 'nearst'. Did you mean 'nearest'?" in testbed.err
