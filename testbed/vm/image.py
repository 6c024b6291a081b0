"""A Debian machine as a file: Debian's packages and our own set-up, kept under the hash of what it is made of.

Nothing is mounted on this machine, no daemon runs for it: debootstrap fills a folder, `./shaketable setup` runs in it
in mount and process namespaces that go with it, mkfs.ext4 makes the folder a file system.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import CannotRun
from testbed.vm import project
from testbed.vm.remote import MARK

SUITE, PYTHON = "bookworm", "3.11"  # what the suite calls python3
PACKAGES = (
    "linux-image-cloud-amd64", "systemd-sysv", "dbus", "udev", "kmod", "openssh-server", "ifupdown", "ca-certificates",
)  # fmt: skip
FOLDER = "/opt/shaketable"  # where we are in the image of vm-test
DISK = 6 * 2**30  # bytes, most of them never written
ROOM = 7 * 10**9  # bytes, while it is being made
KEPT = 2  # images
PLATFORMS = (
    "manylinux_2_36",
    "manylinux_2_28",
    "manylinux_2_17",
    "manylinux2014",
    "linux",
)  # glibc of the suite, newest first
NEEDS = {
    "debootstrap": "debootstrap",
    "mkfs.ext4": "e2fsprogs",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
}
#: What makes a bare Debian ours. A change here is another image.
FILES = {
    "etc/hostname": "shaketable\n",
    "etc/hosts": "127.0.0.1 localhost shaketable\n",
    "etc/network/interfaces": "auto lo eth0\niface lo inet loopback\niface eth0 inet static\n address 10.0.2.15/24\n",
    "etc/fstab": "",
    "etc/ssh/sshd_config.d/ours.conf": "PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\n",
}
#: In the new root, before anything of it may start; then our own set-up; then no trace of either.
CHROOT = """set -eu
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/run"
chroot "$1" ./set-up
"""
SET_UP = f"""#!/bin/sh
set -eu
export HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
exec {FOLDER}/shaketable setup --no-daemons
"""
Say = Callable[[str], None]
Step = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """What one sort of machine is made of. set_up runs in its root; folder: where we are in there."""

    packages: tuple[str, ...]
    files: Mapping[str, str]
    set_up: str
    folder: str


TRIAL = Kind(PACKAGES, FILES, SET_UP, FOLDER)


@dataclass(frozen=True, slots=True)
class Image:
    """Files of one image: folder/disk, kernel, initrd, user_key, known_key ("ssh-ed25519 AAAA…")."""

    folder: Path

    @property
    def complete(self) -> bool:
        return (self.folder / "complete").is_file()


def cache() -> Path:
    """SHAKETABLE_CACHE, or the user's cache folder."""
    base = os.environ.get("SHAKETABLE_CACHE") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "shaketable" / "machines"


def key() -> str:
    """Of what an image is made of; sources of ours that are copied at every start are not in it."""
    made_of = hashlib.sha256(repr((SUITE, PACKAGES, DISK, FOLDER, sorted(FILES.items()), SET_UP)).encode())
    for name in ("requirements.lock", "pyproject.toml", "shaketable"):
        made_of.update((project.ROOT / name).read_bytes())
    return made_of.hexdigest()[:16]


def lacking() -> list[str]:
    """Debian's names of the packages that making one takes and that are not here."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return sorted({package for program, package in NEEDS.items() if shutil.which(program, path=path) is None})


def ensure(step: Step) -> Image:
    """The image of this version, from the cache or made now. step: told what is done and how long it takes, s."""
    image = Image(cache() / key())
    if image.complete:
        return image
    able()
    try:
        image.folder.parent.mkdir(parents=True, exist_ok=True)
        roomy(image.folder.parent, "SHAKETABLE_CACHE names another folder")
        with tempfile.TemporaryDirectory(prefix=".making-", dir=image.folder.parent) as name:
            folder = Path(name)
            _finish(make(folder, TRIAL, step), folder, step)
            (folder / "complete").touch()
            folder.chmod(0o700)
            shutil.rmtree(image.folder, ignore_errors=True)
            folder.rename(image.folder)
            folder.mkdir()  # for the context to remove
    except OSError as error:
        raise CannotRun(
            f"{image.folder.parent}: {error.strerror or error}; SHAKETABLE_CACHE names another folder"
        ) from None
    _prune(image.folder.parent)
    return image


def able() -> None:
    """CannotRun where no image can be made, with what mends it."""
    if platform.machine() != "x86_64":
        raise CannotRun(f"images are made for x86_64 only, this is {platform.machine()}")
    if missing := lacking():
        raise CannotRun(f"an image takes {', '.join(missing)}: sudo apt-get install {' '.join(missing)}")


def roomy(folder: Path, way_out: str) -> None:
    """CannotRun where an image has no room while it is being made."""
    room = shutil.disk_usage(folder).free
    if room < ROOM:
        raise CannotRun(f"{folder}: {room / 1e9:.1f} GB are free, {ROOM / 1e9:.0f} are needed for a while; {way_out}")


def make(folder: Path, kind: Kind, step: Step) -> Path:
    """Debian and our set-up in folder/root, which is returned. CannotRun where something could not be fetched."""
    root = folder / "root"
    step("fetching the locked Python packages", 40)
    wheels = folder / "wheels"
    run(
        [sys.executable, "-m", "pip", "download", "-q", *_pip(), "-d", wheels],
        "pip could not fetch the lock's packages",
    )
    step(f"installing Debian {SUITE} and its cloud kernel into a folder", 110)
    mirror = [m] if (m := os.environ.get("SHAKETABLE_MIRROR")) else []  # none: debootstrap's own
    run(
        ["debootstrap", "--variant=minbase", f"--include={','.join(kind.packages)}", SUITE, root, *mirror],
        f"debootstrap could not install from {' '.join(mirror) or 'its own mirror'} (SHAKETABLE_MIRROR names another)",
    )
    step("our own set-up in it: ./shaketable setup --no-daemons", 120)
    _copy_project(root / kind.folder.lstrip("/"))
    wheels.rename(root / "wheels")
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    _script(root / "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
    _script(root / "set-up", kind.set_up)
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", CHROOT, "sh", str(root)]
    run(unshare, "the set-up in the image failed")
    for name in ("usr/sbin/policy-rc.d", "set-up", "etc/resolv.conf"):
        (root / name).unlink()
    shutil.rmtree(root / "wheels")
    for name, text in kind.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for old in (root / "etc/ssh").glob("ssh_host_*"):
        old.unlink()
    return root


def _finish(root: Path, folder: Path, step: Step) -> None:
    """Keys of its own; then the file system."""
    host_key = root / "etc/ssh/ssh_host_ed25519_key"
    for file in (host_key, folder / "user_key"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file], "ssh-keygen failed")
    (folder / "known_key").write_text(" ".join(host_key.with_suffix(".pub").read_text().split()[:2]) + "\n")
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(folder / "user_key.pub", root / "root/.ssh/authorized_keys")
    disk(root, folder, step)


def disk(root: Path, folder: Path, step: Step) -> None:
    """folder/disk, kernel and initrd from a root, which goes."""
    step("making it a disk", 30)
    for kind, name in (("vmlinuz-*", "kernel"), ("initrd.img-*", "initrd")):
        newest = max((root / "boot").glob(kind), key=lambda p: p.stat().st_mtime)
        shutil.copy(newest, folder / name)
    with (folder / "disk").open("wb") as empty:
        empty.truncate(DISK)
    run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", root, folder / "disk"], "mkfs.ext4 failed")
    shutil.rmtree(root)


def _pip() -> list[str]:
    """The lock's files as the image's Python takes them, with their hashes."""
    out = ["--no-deps", "--require-hashes", "-r", str(project.ROOT / "requirements.lock"), "--python-version", PYTHON]
    for kind in PLATFORMS:
        out += ["--platform", f"{kind}_x86_64"]
    return out


def _copy_project(target: Path) -> None:
    for name in project.files():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(project.ROOT / name, target / name)
    (target / MARK).touch()


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def run(command: Sequence[object], trouble: str) -> None:
    """Ends with us. CannotRun with its last words."""
    words = ["setpriv", "--pdeathsig", "KILL", *map(str, command)]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=_environment(),
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-8:]
        raise CannotRun(f"{trouble}:\n  " + "\n  ".join(last or [f"exit code {done.returncode}"]))


def _environment() -> Mapping[str, str]:
    """apt's proxy is the one to Debian's registry, for debootstrap and in the image, too."""
    out = {**os.environ, "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}
    if "http_proxy" not in out and shutil.which("apt-config"):
        said = subprocess.run(
            ["apt-config", "shell", "P", "Acquire::http::Proxy"], capture_output=True, text=True, check=False
        ).stdout
        if said.startswith("P='") and len(said.strip()) > len("P=''"):
            out["http_proxy"] = said.strip()[len("P='") : -1]
    return out


def _prune(folder: Path) -> None:
    whole = sorted((p for p in folder.iterdir() if (p / "complete").is_file()), key=lambda p: p.stat().st_mtime)
    for old in whole[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
