"""The command `testbed`: `parser.py` its words, `words.py` what they do, and here what every exit code comes from."""

from __future__ import annotations

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
    _open_streams()
    code = _do(argv)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a closed terminal, a full disk: at its exit the interpreter would try again, and end with 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def _open_streams() -> None:
    """Of a caller that closed one of the three, /dev/null takes its place: else the next file opened, records
    perhaps, would get its number, and Python prints into None."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)  # the lowest free one: this number itself
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _do(argv: Sequence[str] | None) -> int:
    try:
        arguments = parser().understand(argv)
        return int(arguments.do(arguments))
    except SystemExit as end:  # of argparse: --help, or a word that is none
        return end.code if isinstance(end.code, int) else 2
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
