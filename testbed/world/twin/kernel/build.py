"""The one door to Numba: what is compiled, and where the compiled code is kept.

Numba's own cache knows a function by its file; a function in another file that it calls may change without its
noticing. So the cache lies in a folder named by all of the kernel's text, in the user's cache directory: also where the
checkout is read-only, or another user made it.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

HERE = Path(__file__).parent
F = TypeVar("F", bound=Callable[..., Any])


def _digest() -> str:
    text = b"".join(p.read_bytes() for p in sorted(HERE.glob("*.py")))
    return hashlib.sha256(text + numba.__version__.encode() + sys.version.encode()).hexdigest()[:16]


def _folder() -> Path:
    """A folder of this user's that can be written; the last resort is forgotten with the machine."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for place in (root / "shaketable", Path(tempfile.gettempdir()) / f"shaketable-{os.getuid()}"):
        found = place / f"kernel-{_digest()}"
        try:
            found.mkdir(mode=0o700, parents=True, exist_ok=True)
            if found.stat().st_uid == os.getuid() and os.access(found, os.W_OK):
                return found
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="shaketable-kernel-"))


CACHE = _folder()
#: Whether the kernel was compiled here before.
WARM = any(CACHE.rglob("*.nbi"))
SECONDS = 40  # it takes about so long to compile it


def jit(function: F) -> F:
    """Compile for other compiled functions only: no way in from Python, and no counting of references (so nothing may
    be allocated): both would take most of the compile time."""
    made: F = numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False)(function)
    return made


def door(function: F) -> F:
    """Compile for Python to call, and keep the result in CACHE."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(CACHE)
    try:
        made: F = numba.njit(cache=True, error_model="numpy", no_cfunc_wrapper=True, _nrt=False)(function)
    finally:
        numba.config.CACHE_DIR = before
    return made
