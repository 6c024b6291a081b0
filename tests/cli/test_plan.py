"""`testbed plan`: what a run would do, without doing any of it."""

from __future__ import annotations

import json

import pytest

from tests.cli.kit import ROOT, Command, python, tree
from tests.scenario.small import GOOD, written

#: Every way Python code writes a file, starts a process or opens a connection is an audit event (PEP 578).
WATCHED = """
import os, sys
seen = []
def watch(event, args):
    if event == "open" and (args[1] is None or set("wax+") & set(args[1]) or (args[1] is None and args[2] & 3)):
        seen.append((event, args[0]))
    elif event.partition(".")[0] in ("subprocess", "shutil") or event in (
        "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "os.mkdir", "os.rename", "os.remove",
        "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.chown", "os.truncate", "os.kill", "socket.connect",
        "socket.bind", "tempfile.mkstemp", "tempfile.mkdtemp",
    ):
        seen.append((event, args))
os.chdir(sys.argv[1])
from testbed.cli import main
sys.addaudithook(watch)
code = main(sys.argv[2:])
print(seen, file=sys.stderr)
sys.exit(code or 99 * bool(seen))
"""


@pytest.mark.parametrize("policy", ["two_tier", "static", "nearest"])
def test_the_json_has_the_placement_as_in_the_records(testbed: Command, policy: str) -> None:
    assert testbed("plan", written(testbed.folder), "--policy", policy, "--json") == 0
    assert testbed.err == ""
    facts = json.loads(testbed.out)
    placement = facts["placement"]
    assert {"status", "objective", "bound", "gap", "seconds", "instances"} <= set(placement)
    assert set(placement["instances"]) == {"see"}
    assert set(placement["instances"]["see"]) <= {f"n{k}" for k in range(1, 10)}
    assert placement["seconds"] >= 0
    if policy == "two_tier":
        assert placement["status"] == "optimal"
        assert 0 <= placement["gap"] <= 1e-4
        assert placement["gap"] == pytest.approx(
            (placement["objective"] - placement["bound"]) / placement["objective"], abs=1e-6
        )
    if policy == "nearest":  # a heuristic proves nothing
        assert (placement["status"], placement["objective"], placement["bound"]) == ("heuristic", None, None)


def test_the_json_has_timeline_resources_and_light_services(testbed: Command) -> None:
    assert testbed("plan", written(testbed.folder), "--json") == 0
    facts = json.loads(testbed.out)
    assert facts["timeline"] == [
        {"fault": "cut", "kind": "link_down", "target": "s1--s2", "at_s": 10.0, "until_s": 15.0}
    ]
    light = [a["service"] for a in facts["light"]]
    assert set(light) == {"cut"}
    core = sum(len(v) for v in facts["placement"]["instances"].values())
    resources = facts["resources"]
    assert resources["containers"] == 9 + 3 + 3 + core + len(light)  # nodes, gateways' pods, gateways, services
    assert (resources["bridges"], resources["links"], resources["real_seconds"]) == (3, 15, 50.0)
    assert 150 <= resources["tasks_offered"] <= 350  # 5/s for 50 s, Poisson: five standard deviations are 79


def test_one_seed_gives_one_plan_and_options_are_short_for_sets(testbed: Command) -> None:
    def plan(*words: str) -> dict[str, object]:
        assert testbed("plan", path, "--json", *words) == 0
        facts: dict[str, object] = json.loads(testbed.out)
        facts["placement"]["seconds"] = 0  # type: ignore[index]
        return facts

    path = written(testbed.folder, GOOD, ("target: s1--s2", "target: any trunk"))
    assert plan("--seed", "7") == plan("--seed", "7") == plan("--set", "run.seed=7")
    assert plan("--seed", "7")["timeline"] != [] and plan("--seed", "7") != plan("--seed", "8")
    assert plan("--set", "load=2")["resources"] != plan()["resources"]


def test_it_says_what_will_happen_in_words(testbed: Command) -> None:
    assert testbed("plan", ROOT / "scenarios" / "demo.yaml") == 0
    said = ("Do at least 84 %", "west: n1 (big)", "ingress gw1", "s1--s2: 800 Mbit/s, 7.0 ms", "core placement")
    said += ("light services at the start", "crowd_west: load_spike on gw1", "containers, 3 switches")
    assert [words for words in said if words not in testbed.out] == []


@pytest.mark.parametrize("word", ["check", "plan"])
def test_it_touches_nothing(testbed: Command, word: str) -> None:
    """No file written, no process started, no connection made."""
    path = written(testbed.folder)
    done = python("-c", WATCHED, str(testbed.folder), word, str(path))
    assert done.returncode == 0, done.stderr
    assert tree(testbed.folder) == ["scenario.yaml"]


def test_a_question_with_brackets_is_printed_as_it_stands(testbed: Command) -> None:
    path = written(testbed.folder, GOOD, ("Does it work?", '"does [/b] hold [red]?"'))
    assert testbed("plan", path) == 0
    assert "does [/b] hold [red]?" in testbed.out
