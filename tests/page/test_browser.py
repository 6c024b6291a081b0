"""The page in a real browser: a trunk of a live testbed is cut and healed by click; read-only nothing can be clicked.

Looked at as on a desk and on a phone, light and dark: nothing is wider than the screen, no label lies on another.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.api import Bed
from testbed.dashboard.page.feed import Wanted
from testbed.hands import client
from tests.live_run.kit import CALM, ROOT, SCENARIO, until
from tests.page.browser import Browser, browser
from tests.page.kit import Shown, shown
from tests.world.live.hosts_kit import traces

TRUNK = '[data-name="s1--s2"]'
DESK, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser") / "chromium") as found:
        yield found


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A page that can only be looked at, of a run that is over but whose page is still up."""
    with shown(tmp_path_factory.mktemp("still") / "run", Wanted(port=0, read_only=True), lambda request: {}) as found:
        yield found


def colour(b: Browser, selector: str, what: str = "stroke") -> Any:
    return b.run(f"return getComputedStyle(document.querySelector(arguments[0])).{what}", selector)


def name_of(b: Browser, colour_name: str) -> Any:
    """What a colour of the sheet is in this scheme."""
    script = "const x = document.createElement('i'); x.style.color = `var(--${arguments[0]})`; document.body.append(x);"
    return b.run(f"{script} const c = getComputedStyle(x).color; x.remove(); return c", colour_name)


OVERLAPS = """
const boxes = [...document.querySelectorAll('#map text.label, #chart text')].filter(t => t.textContent.trim())
  .map(t => [t.textContent, t.getBoundingClientRect()]);
const out = [];
boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
  const beside = p.left >= q.right - 1 || q.left >= p.right - 1 || p.top >= q.bottom - 3 || q.top >= p.bottom - 3;
  if (!beside) out.push(`${a} | ${b}`);
}));
boxes.forEach(([a, p]) => { if (p.left < 0 || p.right > innerWidth || p.height < 9) out.push(`${a} is cut or tiny`); });
return out;
"""
CUT = """
return [...document.querySelectorAll('main section, main td, main th')].filter(e => e.scrollWidth > e.clientWidth + 1)
  .map(e => e.id || e.textContent);
"""
# WCAG's ratio of the luminances of words and what lies behind them, the smallest of the page
CONTRAST = """
const lum = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(x => x / 255)
  .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255,255,255)'; };
const words = [...document.querySelectorAll('body *:not(title, option, script)')].filter(e =>
  e.checkVisibility() && !e.disabled && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
return words.map(e => { const svg = e.namespaceURI.endsWith('svg'); const s = getComputedStyle(e);
  const [a, b] = [lum(svg ? s.fill : s.color), lum(behind(e))].sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), e.textContent.trim().slice(0, 40)]; }).filter(([r]) => r < 4.5);
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_readable(chromium: Browser, still: Shown, size: tuple[int, int], dark: bool, tmp_path: Path) -> None:
    chromium.as_on(*size, dark)
    chromium.go(str(still.page.page))
    chromium.await_("return document.querySelector('#trunks')?.rows.length > 3")
    assert chromium.run("return document.documentElement.scrollWidth <= innerWidth")
    assert chromium.run(CUT) == []
    assert chromium.run(OVERLAPS) == []
    assert chromium.run(CONTRAST) == []
    assert "nominal time, s" in chromium.text("#chart") and "%" in chromium.text("#chart")
    assert chromium.complaints() == []
    if keep := os.environ.get("SHAKETABLE_PICTURES"):
        chromium.picture(Path(keep) / f"page-{size[0]}-{'dark' if dark else 'light'}.png", whole=True)


def test_what_rests_for_those_who_want_rest(chromium: Browser, still: Shown) -> None:
    chromium.as_on(*DESK, dark=False, calm=True)
    chromium.go(str(still.page.page))
    chromium.await_("return document.querySelector('.flow')")
    assert colour(chromium, ".flow", "animationName") == "none"


def test_read_only_there_is_nothing_to_press(chromium: Browser, still: Shown) -> None:
    chromium.as_on(*DESK, dark=False)
    chromium.go(str(still.page.page))
    chromium.await_("return document.querySelector('#shake')?.textContent.includes('Read-only')")
    chromium.click(TRUNK)  # facts, all the same
    assert "s1--s2" in chromium.text("#facts")
    assert chromium.run("return document.querySelectorAll('#shake button, #shake form').length") == 0
    refused = "return fetch('do', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})"
    assert chromium.run(f"{refused}.then(r => r.status)") == 403


def test_a_wrong_token_is_refused(chromium: Browser, still: Shown) -> None:
    chromium.go(str(still.page.page)[:-2] + "/")
    assert chromium.text("body").startswith("403")


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """(the page's address, the run's id) of a small testbed held open, whose page may shake it."""
    sets = [word for s in CALM for word in ("--set", s)]
    words = [sys.executable, "-m", "testbed.cli", "up", str(SCENARIO), *sets, "--for", "5 min", "--detach", "--page"]
    out = ["--out", str(tmp_path / "held")]
    begun = subprocess.run([*words, *out], capture_output=True, text=True, cwd=ROOT, timeout=100, check=False)
    assert begun.returncode == 0, begun.stderr
    run, address = re.findall(r"run (\S+), process", begun.stdout)[0], re.findall(r"live page: (\S+)", begun.stdout)[0]
    token = address.rstrip("/").rpartition("/")[2]
    assert token not in (tmp_path / "held.log").read_text()  # whoever can read a log may not shake
    yield address, run
    if run in client.up_now():
        client.ask(run, {"do": "down"})
    until(lambda: traces(run) == [], "nothing left")


@pytest.mark.live
def test_a_trunk_is_cut_and_healed_by_click(chromium: Browser, held: tuple[str, str]) -> None:
    address, run = held
    b, bed = chromium, Bed.attach(run)
    b.as_on(*DESK, dark=False)
    b.go(address)
    b.await_("return document.querySelector(arguments[0] + ' .flow:not(.off)')", TRUNK)  # load moves along it
    assert colour(b, f"{TRUNK} .wire") != name_of(b, "bad")

    b.click(TRUNK)
    b.click("#quick")
    b.await_("return document.querySelector(arguments[0]).classList.contains('down')", TRUNK)
    assert colour(b, f"{TRUNK} .wire") == name_of(b, "bad")
    b.await_("return document.querySelector('#answer').textContent.includes('in force, verified')")
    (fault,) = bed.status()["faults"]  # by the same door, with the same name and evidence
    assert (fault["kind"], fault["target"], fault["verified"], fault["by_hand"]) == ("link_down", "s1--s2", True, True)

    b.await_("return document.querySelector('#events').textContent.includes('paths lead round s1--s2')")
    way = '[data-name="s1--s3"] .flow:not(.off)'
    b.await_("return document.querySelector(arguments[0])", way)  # what went along s1--s2 goes the other way round
    assert b.run("return document.querySelectorAll(arguments[0]).length", f"{TRUNK} .flow:not(.off)") == 0

    b.click(f'[data-heal="{fault["name"]}"]')
    b.await_("return !document.querySelector(arguments[0]).classList.contains('down')", TRUNK)
    assert colour(b, f"{TRUNK} .wire") != name_of(b, "bad")
    b.await_("return document.querySelector('#events').textContent.includes('shortest paths')")
    assert bed.status()["faults"] == []

    assert b.complaints() == []

    # any fault of the catalogue, by keyboard, and what the testbed says of a mistake
    b.run("document.querySelector('#kind').focus()")
    b.keys("loss")
    b.run("const target = document.querySelector('#target'); target.value = ''; target.focus()")
    b.keys("s1--s9\n")
    b.await_("return document.querySelector('#answer').textContent.includes('s1--s9')")
    assert bed.status()["faults"] == []

    client.ask(run, {"do": "down"})
    b.await_("return document.querySelector('#notice').textContent.includes('verdict')", seconds=60.0)
    assert b.run("return [...document.querySelectorAll('#shake button')].every(x => x.disabled)")
