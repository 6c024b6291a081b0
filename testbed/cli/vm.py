"""`testbed vm up|run|ssh|fetch|down`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from testbed.vm.host import FOLDER, Keys, need_paramiko, parse


def words(c: argparse.ArgumentParser, sets: Any) -> None:
    """The word's own words. sets: adds --set."""
    verbs = c.add_subparsers(dest="verb", required=True, metavar="WHAT")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--host", default=os.environ.get("SHAKETABLE_HOST"), metavar="USER@HOST[:PORT]",
        help="the machine (default: SHAKETABLE_HOST)",
    )  # fmt: skip
    common.add_argument("--key", type=Path, metavar="FILE", help="a private key (default: the agent, then ~/.ssh)")
    common.add_argument("--known-hosts", type=Path, metavar="FILE", help="believed instead of ~/.ssh/known_hosts")
    common.add_argument("--dir", default=FOLDER, metavar="DIR", help=f"our folder there (default ~/{FOLDER})")

    v = verbs.add_parser("up", parents=[common], help="copy this project there and set it up")
    _world(v)
    v = verbs.add_parser("run", parents=[common], help="run a scenario there; progress and records here")
    v.add_argument("file", type=Path, metavar="FILE")
    _world(v)
    v.add_argument("--policy", metavar="NAME", help="instead of the scenario's policy")
    v.add_argument("--seed", type=int, metavar="N", help="instead of run.seed")
    v.add_argument("--dilate", type=float, metavar="K", help="everything K times slower: times × K, rates ÷ K")
    v.add_argument("--shrink", type=float, metavar="K", help="payloads and bandwidths ÷ K; transmission times stay")
    v.add_argument("--out", type=Path, metavar="DIR", help="records go here (default results/NAME-TIME-vm)")
    sets(v)
    v = verbs.add_parser("ssh", parents=[common], help="a shell there, or `-- COMMAND …`, in our folder")
    v.add_argument("command", nargs="*", metavar="COMMAND")
    v = verbs.add_parser("fetch", parents=[common], help="records that lie there still")
    v.add_argument("names", nargs="*", metavar="NAME", help="folders of results/ there (default: all)")
    v.add_argument("--out", type=Path, default=Path("results"), metavar="DIR", help="into this folder (results)")
    verbs.add_parser("down", parents=[common], help="end and remove what is ours there, the folder as well")
    for v in verbs.choices.values():
        v.set_defaults(asked=v)


def _world(v: argparse.ArgumentParser) -> None:
    v.add_argument("--in", dest="world", choices=("live", "twin"), default="live", help="the world (default live)")


def drive(a: argparse.Namespace) -> int:
    """Exit codes are those of what ran there; 4 where it could not."""
    need_paramiko("vm")
    from testbed.vm import remote

    keys = Keys(a.key, a.known_hosts)
    with remote.machine(parse(a.host), keys, a.dir, _say) as m:
        match a.verb:
            case "up":
                remote.copy(m)
                code = remote.set_up(m, a.world)
                return code if code or a.world == "twin" else m.follow(f"{m.sudo}./shaketable doctor")
            case "run":
                return remote.run(m, a.file, _options(a), a.world, a.sets, a.out)
            case "ssh":
                return remote.shell(m, keys, a.command)
            case "fetch":
                return remote.fetch(m, a.names, a.out)
            case _:
                return remote.down(m)


def _options(a: argparse.Namespace) -> list[str]:
    named = {"--policy": a.policy, "--seed": a.seed, "--dilate": a.dilate, "--shrink": a.shrink}
    return [word for option, value in named.items() if value is not None for word in (option, str(value))]


def _say(text: str) -> None:
    print(f"testbed: {text}", file=sys.stderr, flush=True)
