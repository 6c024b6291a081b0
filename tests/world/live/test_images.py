"""The image made from this machine's own Python."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from testbed.errors import CannotRun
from testbed.world.live import engine, images
from tests.world.live import hosts_kit


def small() -> tuple[dict[str, Path], dict[str, Path]]:
    """This interpreter without most of its library: enough to look at the tar."""
    python = images.python_files()
    few = {n: p for n, p in python.items() if n.startswith("usr/local/bin/") or p.name in ("os.py", "heapq.py")}
    return images.app_files(), few


def test_the_tar_is_the_same_bytes_for_the_same_inputs() -> None:
    digests = set()
    for _ in range(2):
        stream = io.BytesIO()
        images.write_tar(stream, *small())
        digests.add(hashlib.sha256(stream.getvalue()).hexdigest())
    assert len(digests) == 1


def test_app_holds_the_programs_and_the_routing_function() -> None:
    app, python = small()
    stream = io.BytesIO()
    images.write_tar(stream, app, python)
    with tarfile.open(fileobj=io.BytesIO(stream.getvalue())) as tar:
        names = set(tar.getnames())
        source = Path(images.__file__).parents[3] / "controller" / "light" / "routing"
        for path in source.glob("*.py"):
            routing = tar.extractfile(f"app/routing/{path.name}")
            assert routing is not None and routing.read() == path.read_bytes()
        assert all(m.uid == m.gid == 0 for m in tar.getmembers())
    assert {program.lstrip("/") for program in images.PROGRAMS.values()} <= names
    assert any(n.startswith("app/routing/__pycache__/view.") for n in names)


def test_the_hash_follows_the_contents_of_app(tmp_path: Path) -> None:
    app, python = small()
    program = tmp_path / "main.py"
    program.write_text("pass\n")
    changed = {**app, "app/stub/main.py": program}
    first = images.content_hash(changed, python)
    assert first == images.content_hash(changed, python) != images.content_hash(app, python)
    program.write_text("pass  # more\n")
    assert images.content_hash(changed, python) != first


def test_the_interpreter_is_the_one_under_the_virtual_environment() -> None:
    python = images.python_files()
    interpreter = python[f"usr/local/bin/python{sys.version_info.major}.{sys.version_info.minor}"]
    said = subprocess.check_output([interpreter, "-c", "import sys; print(sys.version)"], text=True)
    assert said.strip() == sys.version.strip()
    assert not any("site-packages" in n or "/test/" in n for n in python)


@pytest.mark.live
def test_it_is_made_once_and_its_python_runs_what_services_import() -> None:
    client = engine.connect()
    tag = images.ensure(client)
    made = client.api.inspect_image(tag)["Id"]
    assert images.ensure(client) == tag and client.api.inspect_image(tag)["Id"] == made
    code = "import asyncio, heapq, json, mmap, socket, struct, threading, random, hashlib, routing, sys; " \
           "t = threading.Thread(target=print, args=('thread',)); t.start(); t.join(); " \
           "asyncio.run(asyncio.sleep(0)); print(sys.prefix, *sys.version_info[:2])"  # fmt: skip
    command = ["docker", "run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL", tag, "python3", "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["thread", f"/usr/local {sys.version_info.major} {sys.version_info.minor}"]


@pytest.mark.live
def test_no_half_made_image_and_no_container_stays_of_a_python_that_does_not_work() -> None:
    client = engine.connect()
    with pytest.raises(CannotRun, match="does not work inside a container"):
        images._build(client, "shaketable/node:broken", *small(), None)
    tags = {tag for image in client.images.list("shaketable/node") for tag in image.tags}
    assert not any("broken" in tag or ":new-" in tag for tag in tags)
    assert subprocess.check_output(["docker", "ps", "-aq", "--filter", "name=-image$"], text=True) == ""


@pytest.mark.live
def test_an_image_of_the_user_must_be_there_and_hold_app(monkeypatch: pytest.MonkeyPatch) -> None:
    client = engine.connect()
    monkeypatch.setenv(images.CHOICE, "shaketable/none:such")
    with pytest.raises(CannotRun, match="which Docker does not have"):
        images.ensure(client)
    monkeypatch.delenv(images.CHOICE)
    tag = hosts_kit.image()
    monkeypatch.setenv(images.CHOICE, tag)
    assert images.ensure(client) == tag

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    client.api.import_image_from_data(stream.getvalue(), repository="shaketable-test", tag="empty")
    try:
        monkeypatch.setenv(images.CHOICE, "shaketable-test:empty")
        with pytest.raises(CannotRun, match=r"no /app/pause/pause\.py.*containers/Dockerfile"):
            images.ensure(client)
    finally:
        client.api.remove_image("shaketable-test:empty")
