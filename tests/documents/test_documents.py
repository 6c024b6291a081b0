"""Documents are held to the code: commands exist, links resolve, equations cited are there, bans are kept."""

from __future__ import annotations

import re
import shlex
import subprocess
import tokenize
from pathlib import Path

import pytest

from testbed.cli.parser import parser

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
OWN = re.compile(r"^    ([a-z| -]+)\)", re.MULTILINE)  # branches of the script's last `case`
FENCE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def code_files() -> list[Path]:
    """Python of the product and its tests, but for this folder, which has to spell out what it bans."""
    files = [
        p for top in ("testbed", "controller", "containers", "benchmarks", "tests") for p in ROOT.glob(f"{top}/**/*.py")
    ]
    return [p for p in files if p.parent != Path(__file__).parent]


def tracked() -> list[Path]:
    """Files of the repository; where there is no git or no repository (a copied tree), the files we know of."""
    try:
        listed = subprocess.run(
            ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    except (FileNotFoundError, subprocess.CalledProcessError):
        return [*DOCUMENTS, *code_files(), ROOT / "shaketable", ROOT / "pyproject.toml"]
    return [p for p in (ROOT / name for name in listed.split("\0") if name) if p.is_file()]


def commands() -> list[tuple[str, list[str]]]:
    found = []
    for document in DOCUMENTS:
        for block in FENCE.findall(document.read_text(encoding="utf-8")):
            lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
            assert lines, f"{document.name}: a console block without a line that starts with '$ '"
            found += [(document.name, shlex.split(re.split(r" +[#>] ", line)[0])) for line in lines]
    return found


def words_of_the_script() -> set[str]:
    last_case = (ROOT / "shaketable").read_text(encoding="utf-8").rpartition("case $word in")[2]
    return {w.strip() for branch in OWN.findall(last_case) for w in branch.split("|")} - {"*"}


@pytest.mark.parametrize(("document", "command"), commands(), ids=lambda v: v if isinstance(v, str) else " ".join(v))
def test_commands_shown_exist_and_take_these_arguments(document: str, command: list[str]) -> None:
    words = [w for w in command if w != "sudo"]
    assert words[0] == "./shaketable", f"{document}: console blocks show our own command only"
    if words[1] in words_of_the_script():
        return
    parser().parse_args(words[1:])  # raises SystemExit on an unknown word or option
    for word in words[1:]:
        named = word.partition("=")[2] if "=" in word else word
        if named.startswith(("scenarios/", "topologies/")):
            assert (ROOT / named).is_file(), f"{document}: there is no {named}"


def test_readme_opens_with_the_two_commands() -> None:
    first = FENCE.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert first is not None
    assert first.group(1).split("\n")[:2] == ["$ sudo ./shaketable demo", "$ sudo ./shaketable test"]
    assert first.start() < 40


def test_the_script_teaches_every_word_it_has() -> None:
    shown = subprocess.run([ROOT / "shaketable"], capture_output=True, text=True, check=True).stdout
    for word in words_of_the_script() - {"help", "-h", "--help"}:
        assert f"./shaketable {word}" in shown


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_resolve(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith(("#", "mailto:")):
            path = document.parent / target.partition("#")[0]
            assert path.exists(), f"{document.relative_to(ROOT)} links to {target}, which is not there"


def cited(text: str) -> set[int]:
    """Numbers cited as eq. (3), eq. (7) to (9), eq. (10) and (17)."""
    numbers: set[int] = set()
    for citation in re.findall(r"\b[Ee]qs?\.\s*\(\d+\)(?:\s*(?:,|to|and)\s*\(\d+\))*", text):
        named = [int(n) for n in re.findall(r"\((\d+)\)", citation)]
        numbers |= set(range(named[0], named[-1] + 1)) if " to " in citation else set(named)
    return numbers


def test_ranges_of_equations_are_understood() -> None:
    assert cited("by eq. (2) and eq. (7) to (9), Eq. (11) and (17)") == {2, 7, 8, 9, 11, 17}


def test_every_equation_cited_is_numbered_once() -> None:
    page = (ROOT / "docs/mathematics.md").read_text(encoding="utf-8")
    numbered = [int(n) for n in re.findall(r"^    .*\((\d+)\)$", page, re.MULTILINE)]
    assert numbered == list(range(1, len(numbered) + 1))
    for file in code_files():
        missing = cited(file.read_text(encoding="utf-8")) - set(numbered)
        assert not missing, f"{file.relative_to(ROOT)} cites eq. {sorted(missing)}, which docs/mathematics.md has not"


FORBIDDEN = re.compile(r"\bpkill\b|\bkillall\b|\bmininet\.clean\b|\bmn -c\b")


@pytest.mark.parametrize("file", code_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_ended_by_name(file: Path) -> None:
    """Comments and docstrings may name the bans; code may not."""
    with file.open("rb") as source:
        previous = tokenize.NEWLINE
        for token in tokenize.tokenize(source.readline):
            docstring = token.type == tokenize.STRING and previous in (
                tokenize.NEWLINE, tokenize.INDENT, tokenize.ENCODING, tokenize.NL, tokenize.COMMENT,
            )  # fmt: skip
            if token.type == tokenize.STRING and not docstring:
                assert not FORBIDDEN.search(token.string), f"{file.name}:{token.start[0]}"
            if token.type == tokenize.NAME:
                assert token.string not in ("pkill", "killall"), f"{file.name}:{token.start[0]}"
            previous = token.type


def test_the_script_ends_nothing_by_name() -> None:
    for file in ("shaketable", ".ci/run", "Vagrantfile"):
        assert not FORBIDDEN.search((ROOT / file).read_text(encoding="utf-8"))


def test_no_path_of_a_machine_is_tracked() -> None:
    paths = re.compile("/(?:work/(?:main|shared)|root/|home/[a-z]+/|tmp/" + "(?:probe|helper))")
    for file in tracked():
        if file.parent != Path(__file__).parent and b"\0" not in (raw := file.read_bytes())[:4096]:
            found = paths.search(raw.decode("utf-8", "replace"))
            assert found is None, f"{file.relative_to(ROOT)} names {found and found.group()}"


def test_the_lock_names_no_host_and_pins_everything() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert pins
    assert all(re.match(r"[a-z0-9][a-z0-9.-]*==[^ ]+ ", pin) for pin in pins)
    assert not [line for line in lines if "://" in line or line.startswith("-")]


UNLOCKED = {"atheris"}  # no wheels but for x86_64, and nothing that ./shaketable runs needs it


def test_every_dependency_is_locked() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for group in project["optional-dependencies"].values() for d in group)]
    names = {re.split(r"[^A-Za-z0-9._-]", d)[0].lower().replace("_", "-") for d in wanted}
    locked = set(
        re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert not UNLOCKED & locked
    assert not names - locked - UNLOCKED, (
        "pyproject.toml and requirements.lock differ: CONTRIBUTING.md, 'Changing a dependency'"
    )
