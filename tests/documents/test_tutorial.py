"""The tutorial's and the README's commands, typed as they stand; what they print has the lines that the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents.shown import ROOT, Block, blocks, follow, furnish

PAGE = ROOT / "docs" / "tutorial.md"


def shape(text: str) -> list[str]:
    """The first word of every line: figures change with the policies, what is told of a run does not."""
    return [re.sub(r"^(PASS|FAIL|UNKNOWN)$", "VERDICT", (line.split() or [""])[0]) for line in text.splitlines()]


def walk(folder: Path, skip: frozenset[str], page: Path = PAGE) -> int:
    furnish(folder)
    after = {b.begin: follower for b, follower in zip(blocks(page), blocks(page)[1:], strict=False)}
    done = 0
    for block, codes, printed in follow(page, folder, skip):
        done += 1
        shown: Block = after[block.begin]
        assert shown.language == "text", f"no output is shown for {block.text}"
        refused = shown.text.startswith("--set ")
        assert all(code == 2 if refused else code in (0, 1, 3) for code in codes), printed
        assert shape(printed) == shape(shown.text), printed
    return done


def test_the_tutorial_does_what_it_shows(tmp_path: Path) -> None:
    assert walk(tmp_path, frozenset({"verify", "compare", "falsify"})) == 5
    assert (tmp_path / "results" / "first" / "report.html").is_file()
    assert (tmp_path / "results" / "crash" / "figures" / "on_time.svg").is_file()


def test_so_does_the_tour_of_the_readme(tmp_path: Path) -> None:
    assert walk(tmp_path, frozenset({"compare"}), ROOT / "README.md") == 3
    assert (tmp_path / "results" / "tour" / "report.html").is_file()


def test_whoever_has_made_the_tour_may_go_on_to_the_tutorial() -> None:
    """A folder of results is made once."""
    folders = [w[w.index("--out") + 1] for page in (PAGE, ROOT / "README.md") for w in written_to(page)]
    assert len(folders) > 6 and len(set(folders)) == len(folders)


def written_to(page: Path) -> list[list[str]]:
    return [words for b in blocks(page) if b.language == "console" for words in b.commands if "--out" in words]


@pytest.mark.long
def test_its_longer_commands_too(tmp_path: Path) -> None:
    assert walk(tmp_path, frozenset({"report"})) == 7
    assert (tmp_path / "results" / "broken" / "counterexample.yaml").is_file()
