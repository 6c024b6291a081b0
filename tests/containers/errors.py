"""The stub's rule of failures, loaded from its file: `containers` is no package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

FILE = Path(__file__).parents[2] / "containers" / "stub" / "errors.py"
_spec = importlib.util.spec_from_file_location("stub_errors", FILE)
assert _spec is not None and _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
fails, uniform, ERRORS = _module.fails, _module.uniform, _module.ERRORS
