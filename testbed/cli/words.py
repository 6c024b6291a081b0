"""What each word of the command does, as far as the door of the module that does it.

Modules are imported late: `testbed check` needs neither Docker nor a solver, and is quick.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from testbed.errors import CannotRun, InputError, Problem


def _overrides(arguments: argparse.Namespace) -> list[str]:
    """--policy, --seed, --dilate and --shrink are short for --set, and come after it."""
    sets = list(arguments.sets)
    for option, path in (
        ("policy", "policy.name"),
        ("seed", "run.seed"),
        ("dilate", "run.dilate"),
        ("shrink", "run.shrink"),
    ):
        value = getattr(arguments, option, None)
        if value is not None:
            sets.append(f"{path}={value}")
    return sets


def doctor(arguments: argparse.Namespace) -> int:
    if arguments.links:
        from testbed.cli.doctor_links import calibrate

        return calibrate(arguments.json, 1.0 if arguments.dilate is None else arguments.dilate)
    if arguments.dilate is not None:
        raise InputError("--dilate is of the calibration. Did you mean: testbed doctor --links --dilate K")
    from testbed.cli.doctor import diagnose

    return diagnose(arguments.json)


def check(arguments: argparse.Namespace) -> int:
    from testbed.cli.check import check_file
    from testbed.cli.folders import scenarios
    from testbed.cli.progress import tell

    found, problems = list[str](), list[Problem]()
    for file in scenarios(arguments.files):
        try:
            lines = check_file(file, arguments.sets)
        except InputError as error:
            problems += error.problems or [Problem(str(file), 0, 0, "", str(error))]
            if not arguments.json:
                tell(str(error), sys.stderr)
        else:
            found += lines
            if not arguments.json:
                tell("\n".join(lines))
    if arguments.json:
        tell({"valid": not problems, "found": found, "problems": [asdict(p) for p in problems]})
    return 2 if problems else 0


def schema(arguments: argparse.Namespace) -> int:
    from testbed.cli.schema import scenario_schema

    print(json.dumps(scenario_schema(), indent=1, ensure_ascii=False))
    return 0


def plan(arguments: argparse.Namespace) -> int:
    from testbed.cli.check import plan_file
    from testbed.cli.progress import Progress

    with Progress() as progress:
        facts, text = plan_file(arguments.file, _overrides(arguments), progress)
    print(json.dumps(facts, indent=1) if arguments.json else text)
    return 0


def run(arguments: argparse.Namespace) -> int:
    from testbed.cli.page import wanted
    from testbed.cli.run import run_once

    a = arguments
    return run_once(a.file, _overrides(a), a.world, a.out, a.json, a.observations, wanted(a))


def up(arguments: argparse.Namespace) -> int:
    from testbed.cli import hands
    from testbed.cli.page import wanted

    a = arguments
    if a.detach:
        return hands.up_detached(a.file, _overrides(a), a.out, a.length, wanted(a), a.json)
    return hands.up(a.file, _overrides(a), a.out, a.length, a.announce, wanted(a), a.json)


def inject(arguments: argparse.Namespace) -> int:
    from testbed.cli import hands

    a = arguments
    return hands.inject(a.kind, a.target, a.parameters, a.length, a.name, a.overlap, a.run, a.json)


def heal(arguments: argparse.Namespace) -> int:
    from testbed.cli import hands

    return hands.heal(arguments.name, arguments.run, arguments.json)


def status(arguments: argparse.Namespace) -> int:
    from testbed.cli import hands

    return hands.status(arguments.run, arguments.json)


def down(arguments: argparse.Namespace) -> int:
    from testbed.cli import hands

    return hands.down(arguments.run, arguments.json)


def verify(arguments: argparse.Namespace) -> int:
    from testbed.cli.verify import verify_files

    a = arguments
    return verify_files(a.files, a.sets, a.world, a.runs, a.out, a.workers, a.json)


def compare(arguments: argparse.Namespace) -> int:
    from testbed.cli.compare import compare_policies

    a = arguments
    return compare_policies(a.file, a.sets, a.policies, a.seeds, a.sweep, a.world, a.out, a.workers, a.json)


def agree(arguments: argparse.Namespace) -> int:
    from testbed.cli.agree import agree_on

    a = arguments
    return agree_on(a.file, a.sets, a.seeds, a.against, a.out, a.form)


def campaign(arguments: argparse.Namespace) -> int:
    from testbed.cli.campaign import make_campaign

    return make_campaign(arguments)


def margins(arguments: argparse.Namespace) -> int:
    from testbed.cli.margins import draw_margins

    return draw_margins(arguments)


def falsify(arguments: argparse.Namespace) -> int:
    from testbed.cli.falsify import falsify_claim

    return falsify_claim(arguments)


def vm(arguments: argparse.Namespace) -> int:
    from testbed.cli.vm import drive

    return drive(arguments)


def report(arguments: argparse.Namespace) -> int:
    from testbed.cli.progress import Progress, tell
    from testbed.record.folder import read
    from testbed.report.page import page, write_figures

    read(arguments.folder)
    target = arguments.out or arguments.folder / "report.html"
    try:
        with Progress() as progress:
            progress.now("drawing the page")
            target.write_text(page(arguments.folder), encoding="utf-8")
    except OSError as error:
        raise CannotRun(f"{target}: can't be written ({error.strerror}); name another file with --out") from None
    figures: list[Path] = []
    if arguments.figures:
        try:
            figures = write_figures(arguments.folder)
        except OSError as error:
            raise CannotRun(f"{arguments.folder}: figures can't be written ({error.strerror})") from None
    written = {"page": str(target), "figures": [str(f) for f in figures]}
    tell(written if arguments.json else "\n".join([str(target), *written["figures"]]))
    return 0


def replay(arguments: argparse.Namespace) -> int:
    from testbed.cli.replay import replay_folder

    return replay_folder(arguments.folder, arguments.json)


def completion(arguments: argparse.Namespace) -> int:
    from testbed.cli.completion import script

    print(script(arguments.parser, arguments.shell), end="")
    return 0


def clean(arguments: argparse.Namespace) -> int:
    from testbed.cli.progress import tell
    from testbed.world.live.clean import clean as remove

    def say(line: str) -> None:
        tell(line, sys.stderr if arguments.json else None)

    lines = remove(arguments.run, plan=arguments.plan, say=say)
    if arguments.run is not None and not lines:
        tell(f"run {arguments.run}: nothing of it is here", sys.stderr)
    if arguments.json:
        tell({"plan": arguments.plan, "lines": lines})
    return 0
