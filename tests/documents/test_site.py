"""The documentation builds into a site, and not one link or heading in it is amiss."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-c", str(ROOT / "docs"),
         "-d", str(tmp_path / "doctrees"), str(ROOT), str(tmp_path / "site")],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    pages = {p.relative_to(tmp_path / "site").with_suffix("") for p in (tmp_path / "site").rglob("*.html")}
    written = {p.relative_to(ROOT).with_suffix("") for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]}
    assert not written - pages
    mathematics = (tmp_path / "site" / "docs" / "mathematics.html").read_text()
    numbered = re.findall(r"^    .*\((\d+)\)$", (ROOT / "docs" / "mathematics.md").read_text(), re.MULTILINE)
    assert numbered and all(f"({n})" in mathematics for n in numbered)
