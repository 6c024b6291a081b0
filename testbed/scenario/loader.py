"""From a scenario file and its `--set` overrides to a validated Scenario, or to every mistake at once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from testbed.catalogue import nearest
from testbed.errors import InputError, Problem
from testbed.scenario.checks import check
from testbed.scenario.checks_faults import FaultCatalogue
from testbed.scenario.model import Scenario
from testbed.scenario.partial import partial
from testbed.scenario.source import Source, read
from testbed.topology.build import SHIPPED, SUFFIXES, shipped
from testbed.topology.explain import explain
from testbed.topology.located import Place, get


@dataclass(slots=True)
class _Loaded:
    source: Source
    scenario: Scenario
    files: dict[Place, Path] = field(default_factory=dict)


def load(path: Path, sets: Sequence[str] = (), fault_catalogue: FaultCatalogue | None = None) -> Scenario:
    """The scenario in `path` with `sets` ("path=value") applied; its files as absolute paths.

    fault_catalogue: {kind: (model of its `with`, roles it may be aimed at)}; without it kinds are not checked.
    Raises InputError with all problems.
    """
    return _load(path, sets, fault_catalogue).scenario


def text_and_hash(path: Path, sets: Sequence[str] = ()) -> tuple[str, str]:
    """(the file's text, overrides appended as comments; sha256 of the validated scenario).

    The hash is over canonical JSON, SI units, defaults filled in, order kept (node kinds are dealt in order), with
    files by their name and the hash of their contents: it changes with any change and with no machine.
    """
    loaded = _load(path, sets, None)
    content = json.loads(loaded.scenario.model_dump_json(by_alias=True))
    for place, found in loaded.files.items():
        box = get(content, place[:-1])
        digest = hashlib.sha256(found.read_bytes()).hexdigest()
        box[place[-1]] = {"file": found.name, "sha256": digest}
    canonical = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    overrides = "".join(f"# --set {s}\n" for s in (" ".join(a.split("\n")) for a in sets))
    text = loaded.source.text if loaded.source.text.endswith("\n") else loaded.source.text + "\n"
    return text + overrides, hashlib.sha256(canonical.encode()).hexdigest()


def files_of(path: Path, sets: Sequence[str] = ()) -> list[Path]:
    """Every file this scenario is made of: itself, what it extends, what it names; absolute, sorted."""
    loaded = _load(path, sets, None)
    layers = [Path(f) for f in (str(path), *loaded.source.document.origins.values())]
    return sorted({f.resolve() for f in (*layers, *loaded.files.values())})


def _load(path: Path, sets: Sequence[str], fault_catalogue: FaultCatalogue | None) -> _Loaded:
    source = read(Path(path), sets)
    problems: list[Problem] = []
    files: dict[Place, Path] = {}
    for place in _file_places(source):
        written = str(get(source.data, place))
        found = _resolved(source, place, written)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            files[place] = found
            get(source.data, place[:-1])[place[-1]] = str(found)
    reachable = not any(p.path == "topology" for p in problems)
    try:
        scenario = Scenario.model_validate(source.data)
    except ValidationError as error:
        problems += [source.problem(p, m) for p, m in _explained(error)]
        scenario = partial(Scenario, source.data)
    problems += check(scenario, source, fault_catalogue, reachable)
    if problems:
        raise InputError(sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line, p.column)))
    return _Loaded(source, _cut_short(scenario, source), files)


def _cut_short(scenario: Scenario, source: Source) -> Scenario:
    """A run shortened by `--set` keeps of the file's faults what lies within it; written so, they are refused."""
    if not source.shortens_the_run():
        return scenario
    end = scenario.run.warmup + scenario.run.duration
    kept = [
        f if f.at + f.duration <= end else f.model_copy(update={"duration": end - f.at})
        for f in scenario.faults
        if f.at < end
    ]
    return scenario.model_copy(update={"faults": kept})


def _explained(error: ValidationError) -> list[tuple[Place, str]]:
    """Our words; a topology is a text or a mapping, so pydantic refuses it once for each."""
    out: dict[tuple[Place, str], None] = {}
    for place, message in explain(error, Scenario):
        if place[:1] == ("topology",) and len(place) > 1:
            place, message = ("topology",), "expected the name of a network, a file, or {generator: …}"
        out[place, message] = None
    return list(out)


def _file_places(source: Source) -> list[Place]:
    """Where this scenario names files."""
    places: list[Place] = [("topology",), ("arrivals", "trace", "file"), ("placement", "profile")]
    entries = get(source.data, ("bandwidth",))
    places += [("bandwidth", i, "file") for i in range(len(entries) if isinstance(entries, list) else 0)]
    return [p for p in places if isinstance(get(source.data, p), str)]


def _resolved(source: Source, place: Place, written: str) -> Path | Problem:
    """The absolute path of a file named at `place`: of `--set` from the working directory, else from the scenario."""
    path = Path(written)
    bare = place == ("topology",) and len(path.parts) <= 1 and path.suffix.lower() not in SUFFIXES
    if "\0" in written or not written.strip():
        return source.problem(place, f"{written!r} is no file name")
    if bare:
        found = SHIPPED / f"{written}.yaml"
        if written in shipped():
            return found
        return source.problem(place, f"there is no topology {written!r}. {nearest(written, shipped())}; or name a file")
    if source.is_set(place):
        found = path.resolve()
    else:
        folder = Path(source.document.origin(place)).resolve().parent
        found = (folder / path).resolve()
        if path.is_absolute() or not found.is_relative_to(folder):
            where = f"a file named in a scenario lies in the scenario's own folder, {written!r} does not"
            return source.problem(
                place, f"{where}: copy it there, or give it with --set {'.'.join(map(str, place))}=FILE"
            )
    if not os.path.isfile(found):  # False, too, for a name that no file can have
        near = [p.name for p in found.parent.iterdir() if p.is_file()] if os.path.isdir(found.parent) else []
        near = [n for n in near if Path(n).suffix == found.suffix]
        return source.problem(place, f"there is no file {written!r}. {nearest(found.name, sorted(near))}")
    return found
