"""From what a scenario calls its topology to the network itself: a name, a file or a generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from testbed import catalogue
from testbed.errors import InputError, Problem
from testbed.topology import files, graph_files
from testbed.topology.explain import explain
from testbed.topology.located import Place
from testbed.topology.model import Topology
from testbed.topology.shapes import GATEWAY_LINK, NODE_LINK, shape

GENERATORS = "testbed.topology.generators"
#: The networks we ship: topologies/ beside the packages.
SHIPPED = Path(__file__).resolve().parents[2] / "topologies"
SUFFIXES = (".yaml", ".yml", *graph_files.SUFFIXES)


def build(topology: str | Path | Mapping[str, Any], kinds: Sequence[str], seed: int) -> Topology:
    """The network. kinds: the scenario's node kinds in order; seed: for generators that draw.

    A text without a suffix is a shipped name, one with a suffix a file. Raises InputError, all problems at once.
    """
    if isinstance(topology, str | Path):
        return _from_file(located(topology), kinds)
    problems = mistakes(topology, kinds)
    if problems:
        raise InputError([Problem("topology", 0, 0, ".".join(map(str, ("topology", *p))), m) for p, m in problems])
    module = catalogue.load(GENERATORS, str(topology["generator"]))
    built: Topology = module.build(module.Parameters.model_validate(_rest(topology)), list(kinds), seed)
    return built


def mistakes(topology: Mapping[str, Any], kinds: Sequence[str]) -> list[tuple[Place, str]]:
    """What is wrong with a generator's keys, places relative to the mapping."""
    known = catalogue.kinds(GENERATORS)
    name = topology.get("generator")
    if not isinstance(name, str) or name not in known:
        if name is None:
            return [((), f"the key 'generator' is missing. {catalogue.nearest('', known)}")]
        return [(("generator",), f"there is no generator {name!r}. {catalogue.nearest(str(name), known)}")]
    module = catalogue.load(GENERATORS, name)
    try:
        parameters = module.Parameters.model_validate(_rest(topology))
    except ValidationError as error:
        return explain(error, module.Parameters)
    shapes = {
        "trunks": parameters.trunks.shape(parameters.trunks.delay[1]),
        "node": shape(NODE_LINK, parameters.node),
        "gateway": shape(GATEWAY_LINK, parameters.gateway),
    }
    named = getattr(parameters, "nodes", None) or ()
    return [((part,), wrong) for part, made in shapes.items() if (wrong := made.mistake())] + [
        (("nodes", i), f"the scenario has no node kind {kind!r}. {catalogue.nearest(kind, kinds)}")
        for i, kind in enumerate(named)
        if kind not in kinds
    ]


def located(topology: str | Path) -> Path:
    """The file a topology's text means: itself, or the shipped file of that name."""
    path = Path(topology)
    if path.suffix.lower() in SUFFIXES or len(path.parts) > 1:
        return path
    return SHIPPED / f"{topology}.yaml"


def shipped() -> list[str]:
    """Names of the networks we ship."""
    return sorted(p.stem for p in SHIPPED.glob("*.yaml"))


def _from_file(path: Path, kinds: Sequence[str]) -> Topology:
    suffix = path.suffix.lower()
    if suffix in graph_files.SUFFIXES:
        return graph_files.load(path, kinds)
    if suffix in (".yaml", ".yml"):
        return files.load(path, kinds)
    found = f"{path.suffix!r} is no kind of topology file. There are: {', '.join(SUFFIXES)}"
    raise InputError([Problem(str(path), 1, 1, "(document)", found)])


def _rest(topology: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in topology.items() if k != "generator"}
