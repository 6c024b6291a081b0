"""The one door to Numba: what is compiled, and where the compiled code is kept.

Numba's own cache knows a function by its file; a function in another file that it calls may change without its
noticing. So the cache lies in a folder named by all of the kernel's text, in the user's cache directory: also where the
checkout is read-only, or another user made it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import config

from controller.light import routing

HERE = Path(__file__).parent
#: What the compiled code is made of.
TEXTS = (
    *sorted(HERE.glob("*.py")),
    HERE.parent / "engine.py",
    HERE.parent / "layout.py",
    *sorted(Path(routing.__file__).parent.glob("*.py")),
)
KEPT = 8  # compiled kernels
F = TypeVar("F", bound=Callable[..., Any])


def _digest() -> str:
    text = b"".join(p.read_bytes() for p in TEXTS)
    return hashlib.sha256(text + numba.__version__.encode() + sys.version.encode()).hexdigest()[:16]


def _prune(place: Path) -> None:
    """Older kernels make room: a checkout or a version that still wants one compiles it again."""
    kept = sorted(place.glob("kernel-*"), key=lambda p: p.stat().st_mtime)
    for old in kept[: max(len(kept) - KEPT + 1, 0)]:
        shutil.rmtree(old, ignore_errors=True)


def _folder() -> Path:
    """A folder of this user's that can be written; the last resort is forgotten with the machine."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for place in (root / "shaketable", Path(tempfile.gettempdir()) / f"shaketable-{os.getuid()}"):
        found = place / f"kernel-{_digest()}"
        try:
            if not found.exists():
                _prune(place)
            found.mkdir(mode=0o700, parents=True, exist_ok=True)
            if found.stat().st_uid == os.getuid() and os.access(found, os.W_OK):
                return found
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="shaketable-kernel-"))


CACHE = _folder()
#: Whether the kernel was compiled here before.
WARM = any(CACHE.rglob("*.nbi"))
SECONDS = 20  # of CPU, about, to compile it


#: No counting of references, so nothing may be allocated; no way in from C. Both would take most of the compile time.
_njit: Any = numba.njit  # its stubs do not know all of these
OPTIONS: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False}


def jit(function: F) -> F:
    """Compile for other compiled functions only."""
    made: F = _njit(**OPTIONS, no_cpython_wrapper=True)(function)
    return made


def door(function: F) -> F:
    """Compile for Python to call, and keep the result in CACHE."""
    before = getattr(config, "CACHE_DIR")  # noqa: B009  numba's stubs do not have it
    try:
        setattr(config, "CACHE_DIR", str(CACHE))  # noqa: B010
        made: F = _njit(**OPTIONS, cache=True)(function)
    finally:
        setattr(config, "CACHE_DIR", before)  # noqa: B010
    return made
