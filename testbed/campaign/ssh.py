"""A scheduler and workers on other machines, over SSH, gone when the campaign is.

Each process has a terminal of its own there, so that it ends when the connection does, be it because this process was
killed. Scheduler, workers and client speak TLS, with a certificate that is made for this campaign alone.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from testbed.campaign.crew import LIVE, PATIENCE, quiet
from testbed.campaign.hosts import Machine
from testbed.errors import CannotRun
from testbed.vm.connection import Connection, Held, connect
from testbed.vm.host import Keys

COME_S = 90.0  # a worker imports for seconds, on a loaded machine for many
FORSAKEN = "60 s"  # without a scheduler a worker waits so long for another one
SCHEDULER = re.compile(r"Scheduler at:\s+(\S+)")
#: A signal that ends the shell ends the process, too, and then what it left on the disk.
SCRIPT = """cd {folder} && d={scratch} && trap 'exit 1' HUP INT TERM && trap 'kill $p; wait $p; rm -rf "$d"' EXIT
env TMPDIR=$d {environment} .venv/bin/python -m {command} --protocol tls --no-dashboard {keys} & p=$!
wait $p"""


@dataclass(frozen=True, slots=True)
class Site:
    """A machine we are connected to, and a folder of this campaign alone there, with its key."""

    machine: Machine
    ssh: Connection
    scratch: str

    @classmethod
    def of(cls, machine: Machine, ssh: Connection, pem: str) -> Site:
        python = shlex.quote(f"{machine.folder}/.venv/bin/python")
        if ssh.ask(f"test -x {python}").code != 0:
            raise CannotRun(
                f"{machine.host}: there is no testbed of ours in {machine.folder}. Put this one there: "
                f"testbed vm up --host {machine.host} --dir {shlex.quote(machine.folder)}"
                + ("" if machine.live else " --in twin")
            )
        scratch = f"/tmp/shaketable-{secrets.token_hex(8)}"  # with 0700, and mkdir refuses one that is there
        done = ssh.send(f"umask 077 && mkdir {scratch} && cat >{scratch}/tls.pem", lambda to: _sent(to, pem))
        if done.code != 0:
            raise CannotRun(f"{machine.host}: no folder for this campaign could be made there ({done.err.strip()})")
        return cls(machine, ssh, scratch)

    def hold(self, command: str) -> Held:
        words = {name: value for name, value in os.environ.items() if name.startswith("DASK_")}
        keys = " ".join(f"--tls-{k} {self.scratch}/tls.pem" for k in ("ca-file", "cert", "key"))
        return self.ssh.hold(
            SCRIPT.format(
                folder=shlex.quote(self.machine.folder), scratch=self.scratch, command=command, keys=keys,
                environment=" ".join(f"{name}={shlex.quote(value)}" for name, value in words.items()),
            )
        )  # fmt: skip


def _sent(to: Any, pem: str) -> None:
    to.write(pem.encode())


@contextmanager
def ssh_crew(machines: Sequence[Machine], keys: Keys) -> Iterator[Any]:
    """A client of `distributed`, once every worker has come. Raises CannotRun where one can't be had."""
    from distributed import Client
    from distributed.security import Security

    quiet()
    security = Security.temporary()
    pem = f"{security.tls_scheduler_key}\n{security.tls_ca_file}"
    with ExitStack() as stack:
        sites = [Site.of(m, stack.enter_context(connect(m.host, keys)), pem) for m in machines]
        first = sites[0]
        scheduler = stack.enter_context(
            first.hold(f"distributed.cli.dask_scheduler --host {first.machine.host.name} --port 0")
        )
        address = scheduler.until(SCHEDULER, COME_S)
        workers = [stack.enter_context(s.hold(_worker(s, address))) for s in sites if s.machine.workers]
        try:
            client = stack.enter_context(Client(address, timeout=PATIENCE, name="shaketable", security=security))
        except (OSError, ValueError) as error:
            raise CannotRun(f"{first.machine.host}: its scheduler {address} can't be reached ({error})") from None
        _await(client, sum(m.workers for m in machines), workers)
        yield client


def _worker(s: Site, address: str) -> str:
    m = s.machine
    words = f"distributed.cli.dask_worker {address} --nthreads 1 --nworkers {m.workers} --death-timeout '{FORSAKEN}'"
    return f"{words} --local-directory {s.scratch}" + (f" --resources {LIVE}=1" if m.live else "")


def _await(client: Any, wanted: int, workers: Sequence[Held]) -> None:
    """Until all workers have come. Raises CannotRun with what is known of one that did not."""
    until = time.monotonic() + COME_S
    while len(client.scheduler_info(n_workers=-1)["workers"]) < wanted:
        for held in workers:
            held.check()
        if time.monotonic() > until:
            said = "\n".join(f"  {held.host}: {held.last()}" for held in workers)
            raise CannotRun(f"not all of the {wanted} workers came within {COME_S:.0f} s; what they said last:\n{said}")
        time.sleep(0.1)
