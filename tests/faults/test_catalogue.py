"""The folder is the registry: every file is a fault, with parameters, targets and what it needs."""

import pytest
from pydantic import ValidationError

from testbed.catalogue import kinds, load
from testbed.errors import InputError
from testbed.faults.base import catalogue_of_faults


def test_every_file_is_a_whole_fault():
    found = catalogue_of_faults()
    assert {"nothing", "link_down", "bandwidth_drop", "load_spike", "node_crash"} <= set(found)
    for kind in kinds("testbed.faults"):
        module = load("testbed.faults", kind)
        assert set(module.TARGETS) <= {"link", "direction", "node", "ingress", "site", "service", "control"}
        assert callable(module.apply) and isinstance(module.NEEDS, frozenset)
        assert module.__doc__


def test_a_misspelt_kind_names_the_nearest():
    with pytest.raises(InputError, match="link_down"):
        load("testbed.faults", "link_dwon")


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("bandwidth_drop", {"keep": 0}), ("bandwidth_drop", {"keep": 1.5}), ("load_spike", {"factor": -1}),
     ("load_spike", {"factor": 1e9}), ("link_down", {"hard": True})],
)  # fmt: skip
def test_parameters_are_bounded(kind, parameters):
    with pytest.raises(ValidationError):
        catalogue_of_faults()[kind][0](**parameters)
