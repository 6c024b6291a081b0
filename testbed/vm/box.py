"""`python -m testbed.vm.box OUT.box`: a box for Vagrant's libvirt provider, made as the image of `vm-test` is.

The box holds what `./shaketable setup` would fetch, so a machine made from it needs no registry: packages, and the
locked Python packages in /vagrant/.venv, where the Vagrantfile's rsync leaves them alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from testbed.errors import CannotRun, InputError, ShaketableError
from testbed.vm import image, qemu

FOLDER = "/vagrant"  # where the Vagrantfile copies us to
PACKAGES = (*image.PACKAGES, "sudo", "rsync", "isc-dhcp-client")
FILES = {
    **image.FILES,
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 shaketable\n",  # what Vagrant writes, so that it need not
    "etc/network/interfaces": "auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n",
    "etc/sudoers.d/vagrant": "vagrant ALL=(ALL) NOPASSWD: ALL\n",
    # a box becomes many machines: host keys are made by each
    "etc/systemd/system/ssh.service.d/keys.conf": "[Service]\nExecStartPre=\n"
    "ExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n",
}
SET_UP = image.SET_UP.replace(image.FOLDER, FOLDER).replace("exec ", "useradd -m -s /bin/bash -p '*' vagrant\nexec ")
KIND = image.Kind(PACKAGES, FILES, SET_UP, FOLDER)
#: The disk has no boot loader; kernel and initrd lie beside it in the box.
VAGRANTFILE = f"""Vagrant.configure("2") do |config|
  config.ssh.private_key_path = File.expand_path("key", __dir__)
  config.vm.provider "libvirt" do |machine|
    machine.kernel = File.expand_path("kernel", __dir__)
    machine.initrd = File.expand_path("initrd", __dir__)
    machine.cmd_line = "{qemu.KERNEL}"
  end
end
"""


def main(argv: Sequence[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m testbed.vm.box", description=__doc__.split("\n", 1)[0])
    p.add_argument("out", type=Path, metavar="OUT.box", help="the box; a file that is there is not overwritten")
    try:
        make(p.parse_args(argv).out)
    except ShaketableError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def make(out: Path) -> None:
    """The box, whole under its name or not at all. InputError: it is there already; CannotRun: it can't be made."""
    if os.geteuid() != 0:
        raise CannotRun("a box is made as root. Run: sudo .venv/bin/python -m testbed.vm.box OUT.box")
    if out.exists():
        raise InputError(f"{out}: is there already and is not overwritten; name another file")
    image.able()
    if shutil.which("qemu-img") is None:
        raise CannotRun("a box takes qemu-utils: sudo apt-get install qemu-utils")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        image.roomy(out.parent, "name a file elsewhere")
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
            folder = Path(name)
            _contents(folder)
            _say("packing it")
            _pack(folder, folder / "box")
            (folder / "box").rename(out)
    except OSError as error:
        raise CannotRun(f"{out}: {error.strerror or error}; name a file elsewhere") from None
    _say(f"{out}: {out.stat().st_size / 1e9:.1f} GB. Then: SHAKETABLE_BOX={out} vagrant up --provider libvirt")


def _contents(folder: Path) -> None:
    """box.img, kernel, initrd, key, metadata.json and Vagrantfile."""
    root = image.make(folder, KIND, lambda what, takes: _say(what))
    (root / "etc/sudoers.d/vagrant").chmod(0o440)
    # RSA: Vagrant's own SSH client has no Ed25519 everywhere
    image.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "3072", "-m", "PEM", "-N", "", "-C", "", "-f", folder / "key"],
              "ssh-keygen failed")  # fmt: skip
    ssh, home = root / "home/vagrant/.ssh", (root / "home/vagrant").stat()
    ssh.mkdir(mode=0o700)
    shutil.copy(folder / "key.pub", ssh / "authorized_keys")
    for path in (ssh, ssh / "authorized_keys"):
        os.chown(path, home.st_uid, home.st_gid)
    image.disk(root, folder, lambda what, takes: _say(what))
    image.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", folder / "disk", folder / "box.img"],
              "qemu-img failed")  # fmt: skip
    (folder / "disk").unlink()
    about = {"provider": "libvirt", "format": "qcow2", "virtual_size": image.DISK // 2**30}
    (folder / "metadata.json").write_text(json.dumps(about) + "\n")
    (folder / "Vagrantfile").write_text(VAGRANTFILE)


def _pack(folder: Path, box: Path) -> None:
    """An archive without compression: it is read once, on this machine."""
    with tarfile.open(box, "w") as tar:
        for name in ("metadata.json", "Vagrantfile", "kernel", "initrd", "key", "box.img"):
            tar.add(folder / name, arcname=name)


def _say(text: str) -> None:
    print(f"testbed: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
