# ruff: noqa: E501  # a table
"""A table of mistakes: what is written, where it is said to be, and what is said. Exit 2 each, nothing is made.

`test_bad_input.py` has those of whole files and of placements; here each is one slip in a good file or command.
"""

from __future__ import annotations

import shutil

import pytest

from tests.cli.kit import ROOT, Command, tree
from tests.scenario.small import GOOD

CLAIM = "{id: ok, metric: on_time_rate, at_least: 0.5}"


def fault(text: str) -> tuple[str, str]:
    return "faults:", f"faults:\n  - {text}"


def claim(text: str) -> tuple[str, str]:
    return CLAIM, text


def topology(text: str) -> tuple[str, str]:
    return "topology: metro9", f"topology: {text}"


def more(text: str) -> tuple[str, str]:
    return "access:", f"{text}\naccess:"


#: (change of the good scenario, place, words)
FILE = {
    "kind": (fault("{kind: link_dwon, target: s1--s2, at: 1 s, for: 1 s}"), ":22:6: faults.0.kind",
             "there is no fault 'link_dwon'. Did you mean 'link_down'?"),
    "link": (fault("{kind: link_down, target: s1--s9, at: 1 s, for: 1 s}"), ":22:23: faults.0.target",
             "there is no link 's1--s9' in the topology 'metro9'. Did you mean"),
    "node as a link": (fault("{kind: link_down, target: n1, at: 1 s, for: 1 s}"), ":22:23: faults.0.target",
                       "'n1' is a node, no target"),
    "selector": (fault("{kind: link_down, target: any road, at: 1 s, for: 1 s}"), ":22:23: faults.0.target",
                 "chosen per seed: any link, any trunk"),
    "no length": (fault("{kind: link_down, target: s1--s2, at: 1 s}"), ":22:5: faults.0", "the key 'for' is missing"),
    "after the run": (fault("{kind: link_down, target: s1--s2, at: 100 s, for: 1 s}"), ":22:39: faults.0.at",
                      "it ends at 101 s, the run at 50 s"),
    "parameter's bound": (fault("{kind: bandwidth_drop, target: s1--s2, at: 1 s, for: 1 s, with: {keep: 3}}"),
                          ":22:70: faults.0.with.keep", "3 is out of bounds: it must be less than 1"),
    "parameter's name": (fault("{kind: bandwidth_drop, target: s1--s2, at: 1 s, for: 1 s, with: {keeps: 1}}"),
                         ":22:70: faults.0.with.keeps", "Did you mean 'keep'?"),
    "every": (fault("{kind: link_down, target: s1--s3, at: 1 s, for: 3 s, every: 1 s}"), ":22:58: faults.0.every",
              "make `every` at least as long as `for`"),
    "times": (fault("{kind: link_down, target: s1--s3, at: 1 s, for: 3 s, times: 3}"), ":22:58: faults.0.times",
              "give `every` too"),
    "after": (fault("{kind: link_down, target: s1--s3, after: gone, for: 3 s}"), ":22:39: faults.0.after",
              "there is no fault called 'gone'. There are: cut"),
    "condition": (fault("{kind: link_down, target: s1--s3, for: 3 s, when: {metric: on_time}}"), ":22:49: faults.0.when",
                  "has neither of above and below"),
    "overlap": (fault("{kind: link_down, target: s1--s2, at: 9 s, for: 3 s}"), ":23:5: faults.1",
                "move one, or write `overlap: true`"),
    "metric": (claim("{id: ok, metric: on_time_rat, at_least: 0.9}"), ":24:14: claims.0.metric", "Did you mean 'on_time_rate'?"),
    "claimed fault": (claim("{id: ok, metric: recovery.cutt.seconds, at_most: 5}"), ":24:14: claims.0.metric",
                      "there is no fault 'cutt'. Did you mean 'cut'? There are: cut"),
    "claimed task": (claim("{id: ok, metric: latency_s.foto.p95, at_most: 5}"), ":24:14: claims.0.metric",
                     "there is no task 'foto'. Did you mean 'photo'?"),
    "policy's parameter": (more("policy: {name: two_tier, parameters: {horizn: 3}}"), "scenario.yaml: policy",
                           "policy 'two_tier' has no parameter 'horizn'. Did you mean 'move_horizon'?"),
    "input": (("see: {inputs: {cut: 1 MB}}", "see: {inputs: {cutt: 1 MB}}"), "stages.see.inputs.cutt", "Did you mean 'cut'?"),
    "ingress": (("arrivals: {rate: 5 /s}", "arrivals: {rate: 5 /s, weights: {gw9: 1}}"), "arrivals.weights.gw9",
                "Did you mean 'gw3'?"),
    "condition's metric": (("at: 10 s, for: 5 s", "for: 5 s, when: {metric: on_tiem, below: 0.2}"), "faults.0.when.metric",
                           "Did you mean 'on_time'?"),
    "unit": (("rate: 100 Mbit/s", "rate: 100 Mbits/s"), "access.rate", "Did you mean 'Mbit/s'?"),
    "no bound": (claim("{id: ok, metric: on_time_rate}"), ":24:5: claims.0", "at_least"),
    "two bounds": (claim("{id: ok, metric: on_time_rate, at_least: 0.9, at_most: 1}"), ":24:5: claims.0", "at_most"),
    "confidence": (claim("{id: ok, metric: on_time_rate, at_least: 0.9, confidence: 95}"), "claims.0.confidence",
                   "95 is out of bounds: it must be less than 1"),
    "runs": (claim("{id: ok, metric: on_time_rate, at_least: 0.9, runs: 0}"), "claims.0.runs", "at least 1"),
    "id twice": (claim(f"{CLAIM}\n  - {CLAIM}"), "claims.1", "ok"),
    "unit on a number": (claim("{id: ok, metric: on_time_rate, at_least: 5 s}"), "claims.0.at_least",
                         "expected a number without a unit"),
    "rival": (claim("{id: ok, metric: on_time_rate, at_least: 0, runs: 3, against: {policy: nearst}}"),
              "claims.0.against", "Did you mean 'nearest'?"),
    "swept path": (claim("{id: ok, metric: on_time_rate, at_least: 0, runs: 3, sweep: {path: laod, values: [1, 2]}}"),
                   "claims.0.sweep", "Did you mean 'load'?"),
    "swept once": (claim("{id: ok, metric: on_time_rate, at_least: 0, runs: 3, sweep: {path: load, values: [1]}}"),
                   "claims.0.sweep.values", "needs at least 2 entries"),
    "topology": (topology("metro8"), ":3:1: topology", "Did you mean 'metro9'? There are: abilene, metro9; or name a file"),
    "topology's file": (topology("nets/x.gml"), ":3:1: topology", "there is no file 'nets/x.gml'"),
    "generator": (topology("{generator: rong, sites: 3}"), ":3:12: topology.generator", "Did you mean 'ring'?"),
    "ring of two": (topology("{generator: ring, sites: 2}"), ":3:29: topology.sites", "it must be at least 3"),
    "generator's key": (topology("{generator: ring, site: 5}"), ":3:29: topology.site", "Did you mean 'sites'?"),
    "links": (more("bandwidth: [{links: s1-s2}]"), ":19:14: bandwidth.0.links", "Did you mean 's1--s2'?"),
    "trace without a file": (more("bandwidth: [{law: trace}]"), ":19:13: bandwidth.0", "needs the key 'file'"),
    "extends": (more("extends: demmo"), ":19:1: extends", "Did you mean 'demo'? There are: abilene, demo, e12"),
    "key twice": (more("load: 1\nload: 2"), ":20:1: load", "the key 'load' is here twice (first in line 19): keep one"),
    "name": (("name: small", "name: 9small"), ":1:1: name", "a letter first, then letters, digits"),
    "law": (("rate: 5 /s", "law: posson"), ":20:12: arrivals.law", "Did you mean 'poisson'?"),
    "tier": (("tier: light", "tier: lite"), ":10:9: services.cut.tier", "Did you mean 'light'?"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "place", "says"), FILE.values(), ids=FILE.keys())
def test_a_slip_in_a_file(testbed: Command, change: tuple[str, str], place: str, says: str) -> None:
    assert change[0] in GOOD
    path = testbed.folder / "scenario.yaml"
    path.write_text(GOOD.replace(*change, 1))
    assert testbed("check", path) == 2
    assert any(place in line and says in line for line in testbed.err.splitlines()), testbed.err
    assert tree(testbed.folder) == ["scenario.yaml"]


#: (command, words of the message); good.yaml and demo.yaml are there
COMMAND = {
    "world": ("run good.yaml --in moon", "argument --in: there is no 'moon'. There are: live, twin"),
    "option": ("run good.yaml --in twin --sede 3", "testbed run: there is no option '--sede'. Did you mean '--seed'?"),
    "seed": ("run good.yaml --seed x", "argument --seed: invalid int value: 'x'"),
    "seed's bound": ("run good.yaml --in twin --seed -1", "-1 is out of bounds: it must be at least 0"),
    "dilate": ("run good.yaml --in twin --dilate 0.5", "--set run.dilate: 0.5 is out of bounds: it must be at least 1"),
    "dilate of doctor": ("doctor --dilate 5", "Did you mean: testbed doctor --links --dilate K"),
    "word": ("rnu good.yaml", "there is no 'rnu'. Did you mean 'run'? There are: doctor, check,"),
    "no word": ("", "required: COMMAND"),
    "policies": ("compare good.yaml --in twin --policies two_tier,nearst", "Did you mean 'nearest'?"),
    "seeds": ("compare good.yaml --in twin --policies two_tier,nearest --seeds 0", "give a whole number from 1"),
    "sweep": ("compare good.yaml --in twin --policies two_tier,nearest --sweep load", "for example --sweep load=1,2,3"),
    "sweep's path": ("compare good.yaml --in twin --policies two_tier,nearest --sweep laod=1,2", "Did you mean 'load'?"),
    "falsified claim": ("falsify demo.yaml --claim on_tiem", "Did you mean 'on_time'?"),
    "falsify's kinds": ("falsify demo.yaml --kinds laod", "Did you mean 'load'?"),
    "falsify's load": ("falsify demo.yaml --load-up-to 1", "a factor on the load above 1, for example 4"),
    "falsify's endless load": ("falsify demo.yaml --load-up-to inf", "a factor on the load above 1, for example 4"),
    "falsify's load that is no number": ("falsify demo.yaml --load-up-to nan", "--load-up-to nan: a factor on the load"),
    "margins into a file": ("margins demo.yaml --out demo.yaml", "demo.yaml: is a file; --out names a folder"),
    "replay": ("replay nowhere", "nowhere: no finished run here"),
    "report of a file": ("report good.yaml", "name the folder a run printed"),
    "agree": ("agree", "agree needs a scenario FILE to run, or --against DIR"),
    "agree's runs": ("agree --against nowhere", "nowhere: no finished run in it; name folders"),
    "scenario as a campaign": ("campaign good.yaml --out c", "There are: name, question, scenario, set, grid"),
    "campaign": ("campaign nowhere.yaml --out c", "there is no such file. In that folder: There are: demo.yaml, good.yaml"),
    "other ending": ("check good.yml", "there is no such file. In this folder no file ends in '.yml'"),
    "parameter by hand": ("inject loss s1--s2 share --for 1s", "inject: 'share' is no parameter: write key=value"),
    "run to clean": ("clean --run x/y", "not a run's id"),
    "word of vm": ("vm rnu good.yaml", "there is no 'rnu'. Did you mean 'run'? There are: up, run, ssh, fetch, down"),
    "option of vm": ("vm run good.yaml --host me@there --sede 3", "testbed vm run: there is no option '--sede'. Did you mean '--seed'?"),
    "too much": ("plan good.yaml other.yaml", "testbed plan: more than is expected: other.yaml"),
    "shell": ("completion fish", "there is no 'fish'. There are: bash, zsh"),
    "length by hand": ("up good.yaml --for 5", "--for: '5' has no unit: a duration is written like '20 ms'"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "says"), COMMAND.values(), ids=COMMAND.keys())
def test_a_slip_in_a_command(testbed: Command, words: str, says: str) -> None:
    (testbed.folder / "good.yaml").write_text(GOOD)
    shutil.copy(ROOT / "scenarios" / "demo.yaml", testbed.folder)
    assert testbed(*words.split()) == 2, testbed.err
    assert says in testbed.err, testbed.err
    assert tree(testbed.folder) == ["demo.yaml", "good.yaml"]


def test_the_table_is_long_enough() -> None:
    assert len(FILE) + len(COMMAND) >= 40
