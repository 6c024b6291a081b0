"""argparse that says what was probably meant: words, choices and options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from testbed.catalogue import nearest


class Parser(argparse.ArgumentParser):
    """Its words are parsers of the same kind. What it returns has `asked`: the parser of the word."""

    def understand(self, words: Sequence[str] | None = None) -> argparse.Namespace:
        """As `parse_args`, but an option that is none is told by the word it was given to."""
        found, rest = self.parse_known_args(words)
        if rest:
            asked: argparse.ArgumentParser = getattr(found, "asked", self)
            asked.error(_unknown(asked, rest))
        return found

    def error(self, message: str) -> NoReturn:
        """Exit 2, without the usage, whose list of words would push the mistake out of sight."""
        with suppress(OSError):  # where nobody hears it, it is a mistake all the same
            print(f"{self.prog}: {message}\n`{self.prog} --help` says more", file=sys.stderr, flush=True)
        self.exit(2)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, f"there is no {value!r}. {nearest(str(value), action.choices)}")


def _unknown(asked: argparse.ArgumentParser, rest: Sequence[str]) -> str:
    """What was not understood, and the option that was probably meant."""
    for word in rest:
        if word.startswith("-"):
            name = word.partition("=")[0]
            options = [o for a in asked._actions for o in a.option_strings if o.startswith("--")]
            return f"there is no option {name!r}. {nearest(name, options)}"
    return f"more than is expected: {' '.join(rest)}"
