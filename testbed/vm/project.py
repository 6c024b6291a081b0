"""This project, as it is sent: sources and scenarios, without history, environment and results."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from testbed.errors import CannotRun, InputError

ROOT = Path(__file__).resolve().parents[2]
STAYS = (".git", ".venv", ".venv.lock", ".vagrant", "results")  # at the top
CACHES = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", ".hypothesis", ".numba")
MOST = 100_000_000  # bytes: more than that is not this project
SENT = "sent"  # there: the folder of a scenario from outside


def files(root: Path = ROOT) -> list[Path]:
    """Relative, in order. Links, devices and the like are left out."""
    if not (root / "shaketable").is_file():
        raise CannotRun(f"{root}: the script ./shaketable is not there; `vm` sends the checkout it is run from")
    found = sorted(_walk(root, root))
    size = sum((root / p).stat().st_size for p in found)
    if size > MOST:
        big = max(found, key=lambda p: (root / p).stat().st_size)
        raise InputError(
            f"{root}: holds {size / 1e6:.0f} MB to be sent, at most {MOST / 1e6:.0f} MB are; the largest is {big}"
            " (results/ stays here)"
        )
    return found


def _walk(root: Path, folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if (folder == root and entry.name in STAYS) or entry.name in CACHES or entry.name.endswith(".egg-info"):
            continue
        if entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _walk(root, entry)
        elif entry.is_file():
            yield entry.relative_to(root)


class Writable(Protocol):
    def write(self, data: bytes, /) -> int: ...


def write(stream: Writable, root: Path, names: list[Path]) -> None:
    """A compressed tar of these files, owned by nobody in particular."""
    with tarfile.open(fileobj=cast(BinaryIO, stream), mode="w|gz") as tar:
        for name in names:
            tar.add(root / name, arcname=str(name), recursive=False, filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def beside(scenario: Path) -> list[Path]:
    """A scenario from outside refers to files in its own folder: all of them, relative to it."""
    folder = scenario.resolve().parent
    found, size = [], 0
    for name in _walk(folder, folder):
        found.append(name)
        size += (folder / name).stat().st_size
        if size > MOST:
            raise InputError(
                f"{scenario}: its folder goes with it and is larger than {MOST / 1e6:.0f} MB; give it its own"
            )
    return sorted(found)


def there(scenario: Path, root: Path = ROOT) -> str:
    """Its path in the copy. InputError where there is no such file."""
    if not scenario.is_file():
        raise InputError(f"{scenario}: there is no such file")
    whole = scenario.resolve()
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else f"{SENT}/{whole.name}"


def setting(text: str, root: Path = ROOT) -> str:
    """ "topology=PATH" as it is in the copy; any other setting as it is. The path counts from the working directory."""
    name, equals, value = text.partition("=")
    if name != "topology" or not Path(value).is_file():
        return text
    whole = Path(value).resolve()
    if not whole.is_relative_to(root):
        raise InputError(f"--set {text}: is outside of this project and would not be sent; put it into topologies/")
    return f"{name}{equals}{whole.relative_to(root)}"
