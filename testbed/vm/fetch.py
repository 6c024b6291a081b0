"""A folder from there: whole under its name here, or not at all."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from testbed.errors import CannotRun, InputError


def free(folder: Path) -> None:
    """InputError unless `folder` can be made anew."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is there already and is not overwritten; name a new folder with --out")


class Incoming:
    """`unpack` a tar stream beside the target, then `settle`; what was not settled is gone at the end."""

    def __init__(self, target: Path) -> None:
        free(target)
        self.target = target

    def __enter__(self) -> Incoming:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{self.target.name}.", dir=self.target.parent))
        except OSError as error:
            raise CannotRun(f"{self.target}: can't be written ({error.strerror}); name another with --out") from None
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def unpack(self, stream: BinaryIO) -> int:
        """Files and folders below ours only; bytes. What comes from there is untrusted: anything else is refused."""
        size = 0
        try:
            with tarfile.open(fileobj=stream, mode="r|gz") as tar:
                for entry in tar:
                    place = self._place(entry.name)
                    if entry.isdir():
                        place.mkdir(parents=True, exist_ok=True)
                    elif entry.isreg():
                        place.parent.mkdir(parents=True, exist_ok=True)
                        source = tar.extractfile(entry)
                        assert source is not None
                        with source, place.open("xb") as file:
                            shutil.copyfileobj(source, file)
                        size += entry.size
                    else:
                        raise CannotRun(f"{self.target.name}: {entry.name!r} from there is neither a file nor a folder")
        except (tarfile.TarError, EOFError) as error:
            raise CannotRun(f"{self.target}: what came from there is not whole ({error}); nothing was kept") from None
        except OSError as error:
            raise CannotRun(f"{self.target}: can't be written ({error.strerror or error}); nothing was kept") from None
        while stream.read(1 << 16):  # padding after the archive
            pass
        return size

    def settle(self) -> None:
        """To its name, at once."""
        try:
            self._folder.chmod(0o755)
            if self.target.is_dir():
                self.target.rmdir()  # an empty one
            self._folder.rename(self.target)
        except OSError as error:
            raise CannotRun(f"{self.target}: can't be written ({error.strerror}); nothing was kept") from None

    def _place(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts:
            raise CannotRun(f"{self.target.name}: {name!r} from there would lie outside of the folder; refused")
        return self._folder.joinpath(*parts)
