"""The folder of an experiment of many runs: its plan is written first, and another plan is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.errors import CannotRun, InputError


def open_folder(out: Path, plan: Mapping[str, Any]) -> None:
    """Write plan.json, or find the same one there. Raises InputError for another plan and for a foreign folder.

    plan: with its digest under "sha256".
    """
    path = out / "plan.json"
    if path.exists():
        try:
            found = json.loads(path.read_text()).get("sha256")
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: is damaged ({error}); name another folder with --out") from None
        if found != plan["sha256"]:
            raise InputError(
                f"{out}: holds another experiment (plan {str(found)[:12]}, this one is {plan['sha256'][:12]}). "
                "A changed plan is a new experiment: name another folder with --out"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is not empty and holds no plan.json; name a new folder with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(f"{out}: can't be made ({error.strerror}); name another folder with --out") from None
    write(path, json.dumps(plan, indent=1) + "\n")


def write(path: Path, text: str) -> None:
    """A file, whole or not at all. Raises CannotRun."""
    part = path.with_suffix(path.suffix + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise CannotRun(f"{path}: can't be written ({error.strerror})") from None
