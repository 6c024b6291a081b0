"""The image of nodes and services, made without a registry from this machine's own Python.

One image `shaketable/node:<hash>` holds everything: a Python (the interpreter this program's virtual environment
stands on, its standard library and the shared libraries they need) and /app, which is the folder `containers/` plus
`controller/light/routing`. It is sent to the daemon as one tar stream (`docker import`), in seconds, and made
again only when what goes into it changes. The hash covers the contents of /app and the path, size and time of each
file of the Python. `SHAKETABLE_IMAGE` names an image to use instead, for example one built from
`containers/Dockerfile` where a registry can be reached.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import py_compile
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import testbed
from testbed.errors import CannotRun
from testbed.world.live import engine
from testbed.world.live.ledger import Ledger
from testbed.world.live.names import LABEL, Names

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORY = "shaketable/node"
CHOICE = "SHAKETABLE_IMAGE"
PROGRAMS = {"pause": "/app/pause/pause.py", "stub": "/app/stub/main.py", "gateway": "/app/gateway/main.py"}
ROUTING = ("__init__.py", "choice.py", "onward.py", "view.py")
FORMAT = 1  # raise when the layout made here changes
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",  # the root file system is read-only
    "PYTHONPATH": "/app",
}

#: Of the standard library, left out: tests, editors, build files, other people's packages.
SKIP_FOLDERS = frozenset(
    {"test", "tests", "idlelib", "idle_test", "lib2to3", "ensurepip", "tkinter", "turtledemo", "pydoc_data",
     "site-packages", "dist-packages", "distutils"}
)  # fmt: skip
SKIP_EXTENSION = re.compile(
    r"^(_test|_xx|xx|_tkinter|_curses|_ctypes_test|readline|nis|ossaudiodev|_dbm|_gdbm|_sqlite3)"
)
ETC = {
    "etc/passwd": "root:x:0:0:root:/:/usr/local/bin/python3\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "hosts: files\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}
FOLDERS = ("dev", "proc", "sys", "tmp", "run", "run/shaketable", "run/shaketable/node")
SELF_TEST = "import asyncio, heapq, json, mmap, random, selectors, socket, struct; print('ok')"


def ensure(client: DockerClient, ledger: Ledger | None = None, say: Callable[[str], None] = lambda text: None) -> str:
    """The tag of an image that is there and right; made now if need be (about 3 s, 80 MB). say: one line of it."""
    chosen = os.environ.get(CHOICE)
    if chosen:
        return _check_chosen(client, chosen, ledger)
    app, python = app_files(), python_files()
    tag = f"{REPOSITORY}:{content_hash(app, python)}"
    if not _present(client, tag):
        say("making the containers' image from this machine's Python, once …")
        _build(client, tag, app, python, ledger)
    return tag


def app_files() -> dict[str, Path]:
    """Path in the image → file: `containers/` and routing, as the services import them."""
    root = Path(testbed.__file__).resolve().parent.parent
    found = {
        f"app/{path.relative_to(root / 'containers')}": path
        for path in sorted((root / "containers").rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.suffix == ".py"
    }
    routing = root / "controller" / "light" / "routing"
    found |= {f"app/routing/{name}": routing / name for name in ROUTING}
    missing = [str(p) for p in found.values() if not p.is_file()]
    missing += [f"containers{at.removeprefix('/app')}" for at in PROGRAMS.values() if at.lstrip("/") not in found]
    if missing:
        raise CannotRun(
            f"the image can't be made: {', '.join(missing)} not found next to {testbed.__file__}. Run from a checkout "
            f"(`./shaketable setup` installs it that way), or name a built image in {CHOICE}"
        )
    return found


def python_files() -> dict[str, Path]:
    """Path in the image → file of the interpreter under the virtual environment and its standard library.

    They move to /usr/local, where the interpreter finds its library by itself, from wherever they are here.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    paths = sysconfig.get_paths(vars={"base": sys.base_prefix, "installed_base": sys.base_prefix})
    library = Path(paths["stdlib"]).resolve()
    if not (library / "os.py").is_file():
        raise CannotRun(f"no standard library in {library}: install Python's full package (`./shaketable setup`)")
    found = {f"usr/local/bin/{name}": interpreter}
    for path in _library_files(library):
        found[f"usr/local/{sys.platlibdir}/{name}/{path.relative_to(library)}"] = path
    return found


def _library_files(library: Path) -> Iterator[Path]:
    """Sources, their compiled forms (a read-only container can't make them), needed extension modules."""
    for folder, below, names in os.walk(library):
        below[:] = sorted(d for d in below if d not in SKIP_FOLDERS and not d.startswith("config-"))
        for name in sorted(names):
            path = Path(folder, name)
            if name.endswith(".so"):
                wanted = not SKIP_EXTENSION.match(name)
            else:
                wanted = name.endswith(".py") or name.endswith(f"{sys.implementation.cache_tag}.pyc")
            if wanted and path.is_file():
                yield path


def content_hash(app: dict[str, Path], python: dict[str, Path]) -> str:
    digest = hashlib.sha256(f"{FORMAT} {sys.version} {ENVIRONMENT}".encode())
    for name, path in sorted(app.items()):
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    for name, path in sorted(python.items()):
        if not name.endswith(".pyc"):  # another user's run may compile one more of them: the same image
            stat = path.stat()
            digest.update(f"{name} {path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def shared_libraries(binaries: list[Path]) -> dict[str, Path]:
    """Path in the image → shared library that `binaries` need, as the dynamic linker resolves them here.

    The loader keeps its absolute path (it is written into the interpreter); the others go to /usr/lib, where it looks.
    """
    listed = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    found: dict[str, Path] = {}
    for line in listed.splitlines():
        words = line.split()
        if "=>" in words and words[-1] == "found":  # "libx.so => not found": the module can't be imported here either
            continue
        if "=>" in words and words[words.index("=>") + 1].startswith("/"):
            name, path = Path(words[0]).name, Path(words[words.index("=>") + 1])
            found[f"usr/lib/{name}" if not words[0].startswith("/") else words[0].lstrip("/")] = path.resolve()
        elif words and words[0].startswith("/") and not words[0].endswith(":"):
            found[words[0].lstrip("/")] = Path(words[0]).resolve()
    libc = found.get("usr/lib/libc.so.6")
    if libc is None:
        raise CannotRun(f"`ldd {binaries[0]}` names no libc: this Python can't go into an image, name one in {CHOICE}")
    if (unwinder := libc.parent / "libgcc_s.so.1").exists():  # glibc loads it when a thread ends
        found["usr/lib/libgcc_s.so.1"] = unwinder.resolve()
    return found


def _build(
    client: DockerClient, tag: str, app: dict[str, Path], python: dict[str, Path], ledger: Ledger | None
) -> None:
    """Import under a passing name, see its Python work, then give it its tag."""
    candidate = f"new-{uuid.uuid4().hex[:12]}"
    number = ledger.add("image", tag=f"{REPOSITORY}:{candidate}") if ledger else None
    changes = [f"ENV {k}={v}" for k, v in ENVIRONMENT.items()]
    changes += [f"LABEL shaketable.image={tag.rpartition(':')[2]}", f"CMD {json.dumps(['python3', PROGRAMS['pause']])}"]
    try:
        with tempfile.TemporaryFile() as stream:
            write_tar(stream, app, python)
            stream.seek(0)
            with engine.refusals("it was given the image"):  # the SDK's errors are OSErrors too
                answer = client.api.import_image(src=stream, repository=REPOSITORY, tag=candidate, changes=changes)
    except OSError as error:
        raise CannotRun(
            f"the image can't be written ({error.strerror or error}): it needs 100 MB in {tempfile.gettempdir()} "
            "and as much where Docker keeps its images; free some space and start again"
        ) from error
    failure = [line for line in map(json.loads, answer.strip().splitlines()) if "error" in line]
    if failure:
        raise CannotRun(f"Docker refused the image: {failure[0]['error']}")
    try:
        _self_test(client, f"{REPOSITORY}:{candidate}", ledger)
        client.api.tag(f"{REPOSITORY}:{candidate}", REPOSITORY, tag.rpartition(":")[2])
    finally:
        with suppress(Exception):  # the ledger goes on promising it; what went wrong before matters more
            client.api.remove_image(f"{REPOSITORY}:{candidate}", noprune=True)
            if ledger and number is not None:
                ledger.done(number)


def write_tar(stream: IO[bytes], app: dict[str, Path], python: dict[str, Path]) -> None:
    """The image's root file system. The same inputs give the same bytes: sorted, owner root, times of the sources."""
    binaries = [p for n, p in sorted(python.items()) if p.suffix == ".so" or n.startswith("usr/local/bin/")]
    files = {**app, **python, **shared_libraries(binaries)}
    texts = {name: text.encode() for name, text in ETC.items()} | dict(_compiled(app))
    folders = {str(p) for n in [*files, *texts] for p in Path(n).parents} | set(FOLDERS)
    interpreter = next(n for n in python if n.startswith("usr/local/bin/"))
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(folders - {"."}):
            tar.addfile(_entry(name, tarfile.DIRTYPE, mode=0o755))
        link = _entry("usr/local/bin/python3", tarfile.SYMTYPE)
        link.linkname = Path(interpreter).name
        tar.addfile(link)
        for name, path in sorted(files.items()):
            stat = path.stat()
            mode = 0o755 if stat.st_mode & 0o111 else 0o644
            # a compiled module is only used when it names its source's time
            entry = _entry(name, tarfile.REGTYPE, mode=mode, size=stat.st_size, time=int(stat.st_mtime))
            with open(path, "rb") as content:
                tar.addfile(entry, content)
        for name, data in sorted(texts.items()):
            tar.addfile(_entry(name, tarfile.REGTYPE, size=len(data)), io.BytesIO(data))


def _entry(name: str, kind: bytes, *, mode: int = 0o644, size: int = 0, time: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.mtime = kind, mode, size, time
    entry.uname = entry.gname = "root"
    return entry


def _compiled(app: dict[str, Path]) -> Iterator[tuple[str, bytes]]:
    """Our own modules compiled, valid by promise (PEP 552 "unchecked hash"): the image never changes."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    with tempfile.TemporaryDirectory() as folder:
        for name, path in app.items():
            try:
                target = py_compile.compile(
                    str(path), f"{folder}/x.pyc", f"/{name}", doraise=True, invalidation_mode=mode
                )
            except py_compile.PyCompileError as error:
                raise CannotRun(f"{path} does not compile: {error.msg}") from error
            at = Path(name)
            yield (
                f"{at.parent}/__pycache__/{at.stem}.{sys.implementation.cache_tag}.pyc",
                Path(str(target)).read_bytes(),
            )


def _present(client: DockerClient, tag: str) -> bool:
    try:
        client.api.inspect_image(tag)
        return True
    except Exception as error:
        if engine.status_of(error) == 404:
            return False
        raise CannotRun(f"Docker could not look up the image {tag}: {engine.words(error)}") from error


@contextmanager
def _container(client: DockerClient, image: str, ledger: Ledger | None) -> Iterator[str]:
    """A container for looking into `image`, not started; its id. Removed afterwards.

    Without a run it carries a run id of its own, so that `clean` finds it should this process be killed.
    """
    run_id = ledger.run_id if ledger else f"image-{uuid.uuid4().hex[:6]}"
    name = Names(run_id).container("image")
    number = ledger.add("container", name=name) if ledger else None
    host = client.api.create_host_config(network_mode="none", read_only=True, cap_drop=["ALL"])
    made = client.api.create_container(
        image, ["python3", "-c", SELF_TEST], name=name, labels={LABEL: run_id}, host_config=host
    )
    try:
        yield made["Id"]
    finally:
        with suppress(Exception):  # as above
            client.api.remove_container(made["Id"], v=True, force=True)
            if ledger and number is not None:
                ledger.done(number)


def _self_test(client: DockerClient, image: str, ledger: Ledger | None) -> None:
    """The image's Python runs what the services import; else CannotRun with what it said."""
    with _container(client, image, ledger) as identity:
        client.api.start(identity)
        code = client.api.wait(identity)["StatusCode"]
        said = client.api.logs(identity).decode("utf-8", "replace").strip()
    if code != 0 or said != "ok":
        raise CannotRun(
            f"the Python of {sys.base_prefix} does not work inside a container (exit {code}: {said[-500:]}); "
            f"name an image with a Python and /app in {CHOICE}, see containers/README.md"
        )


def _check_chosen(client: DockerClient, image: str, ledger: Ledger | None) -> str:
    """The user's image must be here and hold the programs."""
    if not _present(client, image):
        raise CannotRun(f"{CHOICE} names {image!r}, which Docker does not have: build or pull it, or unset {CHOICE}")
    with _container(client, image, ledger) as identity:
        for program in PROGRAMS.values():
            try:
                client.api.get_archive(identity, program)[0].close()
            except Exception as error:
                if engine.status_of(error) != 404:
                    raise
                raise CannotRun(
                    f"{CHOICE} names {image!r}, which has no {program}: build it from containers/Dockerfile"
                ) from error
    return image
