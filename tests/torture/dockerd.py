"""A Docker daemon of the test's own: its containers, images, containerd and socket lie in a folder of their own, so
that it can be ended in the middle of a run while the machine's goes on. It makes no bridge and no firewall rule."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed.world.live import ledger
from tests.conftest import answers
from tests.live_run.kit import until

QUIET = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
CONTAINERD = "exec/containerd/containerd.pid"
STOP_S = 2  # that its containers get when it is asked to end


@dataclass
class Dockerd:
    """folder: a short one, for the paths of its sockets have 108 bytes at most."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    @property
    def log(self) -> Path:
        return self.folder / "dockerd.log"

    def start(self) -> None:
        """Until it answers. A containerd of the machine's, where one runs, serves it under names of its own."""
        if ledger.start_time(self._containerd()) is None:  # it died with a killed one, and a zombie passes for alive
            (self.folder / CONTAINERD).unlink(missing_ok=True)
        nothing = self.folder / "daemon.json"
        nothing.write_text("{}")
        words = [
            "dockerd", "--config-file", str(nothing), "--data-root", str(self.folder / "data"),
            "--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "pid"),
            "--host", f"unix://{self.socket}", "--shutdown-timeout", str(STOP_S),
            "--containerd-namespace", self.folder.name, "--containerd-plugins-namespace", f"{self.folder.name}-plugins",
            *QUIET,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        until(lambda: answers(str(self.socket)) or self.process.poll() is not None, "dockerd answers", 60.0)  # type: ignore[union-attr]
        assert self.process.poll() is None, self.log.read_text()[-3000:]

    def end(self, number: int) -> None:
        """A signal to this one, by its id; returns when it is dead."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60.0)

    def close(self) -> None:
        """It ends by itself, with its containerd; what runs on without it is ended, by what names this folder."""
        try:
            if self.process is not None and self.process.poll() is None:
                self.end(signal.SIGTERM)
            for pid in self._orphans():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        finally:
            for place in self._mounts():
                subprocess.run(["umount", "-l", place], check=False)
            shutil.rmtree(self.folder, ignore_errors=True)

    def _containerd(self) -> int:
        """Its process, as dockerd has noted it; 0: none."""
        try:
            return int((self.folder / CONTAINERD).read_text())
        except FileNotFoundError:
            return 0

    def _orphans(self) -> list[int]:
        """containerd and its shims (they name our folder), and the containers, which are the shims' children."""
        ours, parents = set[int](), dict[int, int]()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if any(w.startswith(bytes(self.folder) + b"/") for w in words) and b"containerd" in words[0]:
                    ours.add(int(entry.name))
        return [pid for pid, parent in parents.items() if pid in ours or parent in ours]

    def _mounts(self) -> list[str]:
        places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [p for p in reversed(places) if p.startswith(f"{self.folder}/")]


@contextlib.contextmanager
def dockerd() -> Iterator[Dockerd]:
    """One that runs; nothing of it stays."""
    folder = Path(tempfile.gettempdir()) / f"shaketable-dockerd-{secrets.token_hex(4)}"  # containerd takes no `_`
    folder.mkdir(mode=0o700)
    daemon = Dockerd(folder)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()
