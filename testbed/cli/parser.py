"""The words of the command and their options, as a tree of argparse."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from testbed.cli import words as do
from testbed.cli.asking import Parser

EXIT_CODES = """exit codes: 0 every checked claim passes (or none was made) · 1 one fails · 2 bad input ·
3 one is unknown, or the run was invalid · 4 could not run · 130 interrupted (and cleaned up)"""

FILES = "a scenario, or a folder for the scenarios in it"


def parser() -> Parser:
    p = Parser(
        prog="testbed",
        description="A shake table for edge AI: emulate an edge for real, load it, shake it, ask whether a claim held.",
        epilog=f"Begin with `testbed doctor`, then `testbed plan scenarios/demo.yaml`.\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words = p.add_subparsers(dest="word", required=True, metavar="COMMAND")

    c = _word(words, "doctor", do.doctor, "what this machine can do, what is missing, and the command that mends it")
    c.add_argument("--json", action="store_true", help="as one JSON object")
    c.add_argument("--links", action="store_true", help="calibrate links instead: configured against measured, 45 s")
    c.add_argument("--dilate", type=float, metavar="K", help="with --links: as at a run's --dilate K")

    c = _word(words, "check", do.check, "validate scenario files; all errors at once, with line and column")
    c.add_argument("files", nargs="+", type=Path, metavar="FILE", help=FILES)
    c.add_argument("--json", action="store_true", help="as one JSON object")
    _sets(c)

    c = _word(words, "schema", do.schema, "the scenario file as JSON Schema, for an editor to complete and check")

    c = _word(words, "plan", do.plan, "dry run: placement, timeline and resources; touches nothing")
    c.add_argument("file", type=Path, metavar="FILE")
    c.add_argument("--policy", metavar="NAME", help="instead of the scenario's policy")
    c.add_argument("--seed", type=int, metavar="N", help="instead of run.seed")
    c.add_argument("--json", action="store_true", help="as one JSON object")
    _sets(c)

    c = _word(words, "run", do.run, "one run, with records and a verdict; Ctrl-C reverts, removes and still reports")
    c.add_argument("file", type=Path, metavar="FILE")
    c.add_argument(
        "--in", dest="world", choices=("live", "twin"), default="live", help="the world to run in (default live)"
    )
    c.add_argument("--policy", metavar="NAME", help="instead of the scenario's policy")
    c.add_argument("--seed", type=int, metavar="N", help="instead of run.seed")
    c.add_argument("--dilate", type=float, metavar="K", help="everything K times slower: times × K, rates ÷ K")
    c.add_argument("--shrink", type=float, metavar="K", help="payloads and bandwidths ÷ K; transmission times stay")
    c.add_argument("--out", type=Path, metavar="DIR", help="records go here (default results/NAME-TIME-sSEED)")
    c.add_argument(
        "--observations",
        action="store_true",
        help="write what the policy was shown, for `replay` (a live run always does)",
    )
    c.add_argument("--json", action="store_true", help="print summary.json at the end, progress to stderr")
    _page(c)
    _sets(c)

    c = _word(words, "verify", do.verify, "the fixed runs of each claim, then its verdict; a page and JUnit XML")
    c.add_argument("files", nargs="+", type=Path, metavar="FILE", help=FILES)
    c.add_argument(
        "--in", dest="world", choices=("live", "twin"), default="live", help="the world to run in (default live)"
    )
    c.add_argument("--runs", type=_positive, metavar="N", help="instead of each claim's own number (those above 1)")
    c.add_argument("--workers", type=_positive, metavar="N", help="processes for twin runs (default: one per core)")
    c.add_argument("--out", type=Path, metavar="DIR", help="records and page (default results/verify-NAME-PLAN)")
    c.add_argument("--json", action="store_true", help="print verdicts.json at the end, progress to stderr")
    _sets(c)

    c = _word(words, "compare", do.compare, "policies on the same seeds: table, figures, paired differences")
    c.add_argument("file", type=Path, metavar="FILE")
    c.add_argument("--policies", required=True, metavar="A,B", help="the first one is what the others are held against")
    c.add_argument("--seeds", type=_positive, default=10, metavar="N", help="run.seed and the next ones (default 10)")
    c.add_argument("--sweep", metavar="PATH=V,V", help="at several values of one setting, e.g. load=1,1.5,2,2.5,3")
    c.add_argument(
        "--in", dest="world", choices=("live", "twin"), default="live", help="the world to run in (default live)"
    )
    c.add_argument("--workers", type=_positive, metavar="N", help="processes for twin runs (default: one per core)")
    c.add_argument("--out", type=Path, metavar="DIR", help="records and page (default results/compare-NAME-PLAN)")
    c.add_argument("--json", action="store_true", help="print comparison.json at the end, progress to stderr")
    _sets(c)

    c = _word(words, "agree", do.agree, "the same seeds in both worlds: by how much the twin differs from live")
    c.add_argument("file", type=Path, nargs="?", metavar="FILE")
    c.add_argument("--seeds", type=_positive, default=1, metavar="N", help="run.seed and the next ones (default 1)")
    c.add_argument(
        "--against", type=Path, nargs="+", default=[], metavar="DIR",
        help="folders with recorded runs: with FILE their live runs are used, without it they are compared",
    )  # fmt: skip
    c.add_argument("--out", type=Path, metavar="DIR", help="records, agreement.json (default results/agree-NAME-PLAN)")
    c.add_argument("--json", action="store_const", dest="form", const="json", default="text", help="agreement.json")
    c.add_argument("--markdown", action="store_const", dest="form", const="markdown", help="a table for a document")
    _sets(c)

    _hands_on(words)
    _many_runs(words)

    from testbed.cli.vm import words as vm_words

    c = _word(words, "vm", do.vm, "this project on another machine over SSH: up, run, ssh, fetch, down")
    vm_words(c, _sets)

    c = _word(words, "report", do.report, "one self-contained page from the records of a run")
    c.add_argument("folder", type=Path, metavar="DIR")
    c.add_argument("--out", type=Path, metavar="FILE.html", help="default DIR/report.html")
    c.add_argument("--figures", action="store_true", help="its figures too, as SVG and CSV files in DIR/figures")
    c.add_argument("--json", action="store_true", help="as one JSON object")

    c = _word(words, "replay", do.replay, "a recorded run through its policy again: does it decide the same?")
    c.add_argument("folder", type=Path, metavar="DIR")
    c.add_argument("--json", action="store_true", help="as one JSON object")

    c = _word(
        words, "completion", do.completion, "words and options for a shell to finish: source <(testbed completion bash)"
    )
    c.add_argument("shell", choices=("bash", "zsh"))

    c = _word(words, "clean", do.clean, "remove what dead runs left; touches nothing that is not ours")
    c.add_argument("--run", metavar="ID", help="only this run")
    c.add_argument("--plan", action="store_true", help="say what would be removed, remove nothing")
    c.add_argument("--json", action="store_true", help="as one JSON object")
    for c in words.choices.values():
        c.set_defaults(parser=p)
    return p


def _many_runs(words: Any) -> None:
    """campaign, falsify, margins: on many workers."""
    c = _word(words, "campaign", do.campaign, "one scenario over settings, policies, seeds and worlds, on many workers")
    c.add_argument("file", type=Path, metavar="FILE")
    c.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler, tcp://HOST:PORT (default: workers here)")
    c.add_argument(
        "--hosts", type=Path, metavar="FILE", help="machines to work over SSH, one a line: user@host workers=N"
    )
    c.add_argument("--key", type=Path, metavar="FILE", help="a private key for them (default: the agent, then ~/.ssh)")
    c.add_argument("--known-hosts", type=Path, metavar="FILE", help="believed instead of ~/.ssh/known_hosts")
    c.add_argument("--workers", type=_positive, metavar="N", help="processes here (default: one per core)")
    c.add_argument("--resume", action="store_true", help="carry on the campaign that DIR holds")
    c.add_argument("--out", type=Path, metavar="DIR", required=True, help="runs, results.parquet and page go here")
    c.add_argument("--json", action="store_true", help="as one JSON object")

    c = _word(words, "falsify", do.falsify, "the mildest disturbance that breaks a claim, searched in the twin")
    c.add_argument("file", type=Path, metavar="FILE")
    c.add_argument("--claim", metavar="ID", help="which of the scenario's claims (default: the first)")
    c.add_argument("--policy", metavar="NAME", help="instead of the scenario's policy")
    _effort(c)
    c.add_argument("--confirm", action="store_true", help="run the counterexample live, once")
    c.add_argument("--out", type=Path, metavar="DIR", help="counterexample (default results/falsify-NAME-TIME)")

    c = _word(
        words, "margins", do.margins, "up to which disturbance claims hold, by kind and policy: a figure and a page"
    )
    c.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help=f"{FILES}; first claim of each (default: scenarios/claims)"
    )
    c.add_argument("--all-claims", action="store_true", help="every claim of each file, not the first alone")
    c.add_argument("--policies", metavar="A,B", help="instead of each scenario's own policy")
    _effort(c)
    c.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="searches, margins.json, figure, page go here"
    )


def _effort(c: argparse.ArgumentParser) -> None:
    """What a search may disturb, and what it may cost."""
    c.add_argument("--kinds", metavar="A,B", help="what may disturb (default: all; see docs/campaigns.md)")
    c.add_argument("--together", type=_positive, default=2, metavar="N", help="disturbances at a time (default 2)")
    c.add_argument("--load-up-to", type=float, default=4.0, metavar="K", help="largest factor on the load (default 4)")
    c.add_argument("--seeds", type=_positive, default=3, metavar="N", help="to search on (default 3)")
    c.add_argument("--recheck", type=_positive, default=10, metavar="N", help="other seeds to judge by (default 10)")
    c.add_argument("--budget", type=_positive, default=1500, metavar="N", help="twin runs at most (default 1500)")
    c.add_argument("--workers", type=_positive, metavar="N", help="processes (default: one per core)")
    c.add_argument("--json", action="store_true", help="as one JSON object")


def _hands_on(words: Any) -> None:
    """up, inject, heal, status, down."""
    c = _word(words, "up", do.up, "hold a testbed open for hands-on work, under load, until `down` (live only)")
    c.add_argument("file", type=Path, metavar="FILE")
    c.add_argument("--policy", metavar="NAME", help="instead of the scenario's policy")
    c.add_argument("--seed", type=int, metavar="N", help="instead of run.seed")
    c.add_argument("--dilate", type=float, metavar="K", help="everything K times slower: times × K, rates ÷ K")
    c.add_argument("--shrink", type=float, metavar="K", help="payloads and bandwidths ÷ K; transmission times stay")
    c.add_argument("--out", type=Path, metavar="DIR", help="records go here (default results/NAME-TIME-sSEED)")
    c.add_argument("--for", dest="length", metavar="DURATION", help="of nominal time, then it ends (default '1 h')")
    c.add_argument("--detach", action="store_true", help="return once it is up; what it says goes to DIR.log")
    c.add_argument("--json", action="store_true", help="summary.json at the end; with --detach what was begun")
    c.add_argument("--announce", type=int, help=argparse.SUPPRESS)
    _page(c)
    _sets(c)

    c = _word(words, "inject", do.inject, "shake the testbed that is up: a fault of the catalogue, from now on")
    c.add_argument("kind", metavar="KIND", help="as in a scenario's `faults`")
    c.add_argument("target", metavar="TARGET", help="a link a--b, a node, an ingress, a site, or e.g. 'any trunk'")
    c.add_argument("parameters", nargs="*", metavar="key=value", help="the fault's own parameters, its `with`")
    c.add_argument("--for", dest="length", required=True, metavar="DURATION", help="nominal time, e.g. '10 s'")
    c.add_argument("--name", help="for `heal` and the records (default KIND_hN)")
    c.add_argument("--overlap", action="store_true", help="also where another fault is on the same target")
    c.add_argument("--json", action="store_true", help="as one JSON object")
    _which(c)

    c = _word(words, "heal", do.heal, "end a fault before its time, or all that are in force")
    c.add_argument("name", nargs="?", metavar="NAME")
    c.add_argument("--json", action="store_true", help="as one JSON object")
    _which(c)

    c = _word(words, "status", do.status, "how the testbed that is up stands: instances, links, faults, tasks on time")
    c.add_argument("--json", action="store_true", help="as one JSON object")
    _which(c)

    c = _word(words, "down", do.down, "revert, remove, write the records and print the closing summary")
    c.add_argument("--json", action="store_true", help="print summary.json")
    _which(c)


def _page(c: argparse.ArgumentParser) -> None:
    c.add_argument("--page", action="store_true", help="a live page on the loopback; its address is printed")
    c.add_argument("--page-port", type=_port, metavar="PORT", help="the page's port (default: a free one)")
    c.add_argument("--page-read-only", action="store_true", help="nobody injects or heals from the page")
    c.add_argument("--metrics", type=_port, metavar="PORT", help="OpenMetrics at /metrics of this port (0: a free one)")


def _which(c: argparse.ArgumentParser) -> None:
    c.add_argument("--run", metavar="ID", help="where more than one testbed is up")


def _word(words: Any, name: str, do: Any, text: str) -> argparse.ArgumentParser:
    c: argparse.ArgumentParser = words.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + ("" if text.endswith("?") else "."), epilog=EXIT_CODES
    )
    c.set_defaults(do=do, asked=c)
    return c


def _positive(text: str) -> int:
    """A count on the command line."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; give a whole number from 1")
    return int(text)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number up to 65535, 0 for a free one")
    return int(text)


def _sets(c: argparse.ArgumentParser) -> None:
    c.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="PATH=VALUE",
        help="change a value of the scenario by its path, e.g. load=2, topology=FILE, run.duration='20 s'; repeatable",
    )  # fmt: skip
