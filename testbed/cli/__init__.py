"""The command `testbed`: `parser.py` its words, `words.py` what they do, and here what every exit code comes from."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress

from testbed.cli.parser import parser
from testbed.errors import InputError, ShaketableError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code of design.md §5, also where nobody hears what is said."""
    code = _do(parser().understand(argv))
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a closed terminal, a full disk: at its exit the interpreter would try again, and end with 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def _do(arguments: argparse.Namespace) -> int:
    try:
        return int(arguments.do(arguments))
    except ShaketableError as error:
        _tell(f"testbed: {error}" if not isinstance(error, InputError) else str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return _forced()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _defect()
        _tell(f"testbed: what it had to say or write found no room ({error.strerror}); free some and start again")
        return 4
    except Exception:  # 1 would say that a claim failed
        return _defect()


def _defect() -> int:
    _tell(traceback.format_exc())
    _tell("testbed: this is a defect of testbed, not of your input; please report it with the lines above")
    return 4


def _tell(text: str) -> None:
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _forced() -> int:
    """Interrupted outside a run, or a second time within one."""
    _tell("testbed: interrupted; `testbed clean` removes what may be left")
    if threading.active_count() > 1:  # the interpreter would wait for them, and the reaper waits for our end
        os._exit(130)
    return 130
