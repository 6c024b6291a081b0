"""The folder is the registry; an error says where, what and what is near."""

from __future__ import annotations

import pytest

from testbed import catalogue
from testbed.errors import InputError, Problem

GENERATORS = "testbed.topology.generators"


def test_kinds_are_the_files_of_a_folder() -> None:
    assert catalogue.kinds(GENERATORS) == ["line", "metro", "ring", "tree"]
    assert catalogue.load(GENERATORS, "line").__name__ == f"{GENERATORS}.line"


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"there is no generator 'rign'\. Did you mean 'ring'\? There are: line, metro, ring, tree"
    ):
        catalogue.load(GENERATORS, "rign")
    for private in ("base", "__init__", "os", "../line", ""):
        with pytest.raises(InputError):
            catalogue.load(GENERATORS, private)


def test_nearest() -> None:
    assert catalogue.nearest("Deadlin", ["share", "deadline"]) == "Did you mean 'deadline'? There are: share, deadline"
    assert catalogue.nearest("x", ["share"]) == "There are: share"
    assert catalogue.nearest("x", []) == "There are none"
    assert catalogue.nearest("s7", [f"s{i}" for i in range(754)]).endswith("… and 730 more")
    assert catalogue.noun("controller.policies") == "policy" and catalogue.noun("testbed.faults") == "fault"


def test_problems_say_where() -> None:
    assert str(Problem("a.yaml", 3, 5, "run.slot", "no")) == "a.yaml:3:5: run.slot: no"
    assert str(Problem("--set load", 0, 0, "load", "no")) == "--set load: no"
    assert str(Problem("--set a.b", 0, 0, "a", "no")) == "--set a.b: a: no"
