"""A guest of QEMU's: on KVM where a probe shows that it works, else emulated; its network is this machine's loopback.

The disk stays as it is: what a guest writes is gone with it. QEMU ends with the process that started it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.errors import CannotRun
from testbed.vm.host import Host, Keys
from testbed.vm.image import Image
from testbed.vm.remote import Machine, machine

QEMU = "qemu-system-x86_64"
PROBE_S = 30.0  # KVM boots a kernel in two
BOOT_S = 900.0  # emulated, beside other load
LOOK_S = 1.0
CPUS, MEMORY = 2, 4096  # MB
BARE = ("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot")
#: apparmor=0: its profiles are not in the image, and with it no container starts.
KERNEL = "root=/dev/vda rw console=ttyS0 mitigations=off apparmor=0 net.ifnames=0 panic=-1"
EMULATED = ("-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max")
KVM = ("-accel", "kvm", "-cpu", "host")
REACHED = b"Unable to mount root fs"  # the last thing a kernel without a root says


def lacking() -> str:
    """What keeps a guest from being started here, with what mends it, or ""."""
    if shutil.which(QEMU) is None:
        return f"there is no {QEMU}: sudo apt-get install qemu-system-x86"
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    free = next(
        (int(line.split()[1]) / 1024 for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvail" in line),
        pages,
    )
    return "" if free > MEMORY + 512 else f"{free:.0f} MB of memory are available, a guest takes {MEMORY + 512}"


def accelerator(kernel: Path) -> tuple[tuple[str, ...], str]:
    """QEMU's words, and what was found. A KVM that is there and does not run a kernel within 30 s is not used."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATED, "no /dev/kvm for us: the processor is emulated"
    words = [
        QEMU,
        *KVM,
        *BARE,
        "-m",
        "512",
        "-kernel",
        str(kernel),
        "-append",
        "console=ttyS0 panic=-1",
        "-serial",
        "stdio",
    ]
    began = time.monotonic()
    process = _start(words, subprocess.PIPE)
    try:
        said, complaint = process.communicate(timeout=PROBE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        said, complaint = process.communicate()
        if REACHED not in said:
            return (
                EMULATED,
                f"/dev/kvm is there, but no kernel boots on it within {PROBE_S:.0f} s: the processor is emulated",
            )
    if REACHED not in said:
        why = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["the guest ended"]
        return EMULATED, f"/dev/kvm is there, but refuses a guest ({why[0]}): the processor is emulated"
    return KVM, f"KVM works: a kernel booted in {time.monotonic() - began:.1f} s"


def _start(words: list[str], stdout: int | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *words], stdin=subprocess.DEVNULL, stdout=stdout or subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip


@contextmanager
def guest(image: Image, words: tuple[str, ...], folder: str, say: Callable[[str], None]) -> Iterator[Machine]:
    """A booted guest, logged in as root by the image's own keys; gone at the end. folder: ours in there."""
    with tempfile.TemporaryDirectory(prefix="shaketable-vm-") as name:
        work, port = Path(name), _free_port()
        console = work / "console"
        process = _start(_words(image, words, port, console))
        try:
            host = Host("root", "127.0.0.1", port)
            (work / "known").write_text(f"{host.known_as} {(image.folder / 'known_key').read_text()}")
            _await_ssh(process, port, console)
            with machine(host, Keys(image.folder / "user_key", work / "known"), folder, say) as m:
                yield m
        finally:
            process.kill()
            process.communicate()


def _words(image: Image, words: tuple[str, ...], port: int, console: Path) -> list[str]:
    forward = f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22"
    return [
        QEMU, *words, *BARE, "-smp", str(CPUS), "-m", str(MEMORY), "-serial", f"file:{console}",
        "-kernel", str(image.folder / "kernel"), "-initrd", str(image.folder / "initrd"), "-append", KERNEL,
        "-drive", f"file={image.folder / 'disk'},if=virtio,format=raw,cache=unsafe,snapshot=on",
        "-netdev", forward, "-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci",
    ]  # fmt: skip


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port


def _await_ssh(process: subprocess.Popen[bytes], port: int, console: Path) -> None:
    """Until the server greets. QEMU's own network takes connections before there is anybody behind them."""
    end = time.monotonic() + BOOT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            assert process.stderr is not None
            raise CannotRun(f"QEMU ended: {process.stderr.read().decode(errors='replace').strip() or _tail(console)}")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as door:
                door.settimeout(30)
                if door.recv(4) == b"SSH-":
                    return
        except OSError:
            pass  # not yet
        time.sleep(LOOK_S)
    raise CannotRun(f"the guest did not come up within {BOOT_S / 60:.0f} min; its last words:\n{_tail(console)}")


def _tail(console: Path) -> str:
    return "\n".join(console.read_text(errors="replace").splitlines()[-12:]) if console.exists() else ""
