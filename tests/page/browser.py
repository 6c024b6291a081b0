"""A real browser by the W3C WebDriver protocol: Debian's chromium behind its chromedriver, over plain HTTP.

Five verbs are enough for our tests, so no library stands between them and the browser.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id, by the specification
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


@dataclass
class Browser:
    port: int
    session: str = ""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The value of the answer. LookupError with the driver's words where it reports an error."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/session{self.session}{path}", data, {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise LookupError(f"{value['error']}: {value['message'].splitlines()[0]}")
        return value

    def go(self, address: str) -> None:
        self.call("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of a function's body."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        """As a person would: scrolled to, and refused where something lies over it."""
        found = self.call("POST", "/element", {"using": "css selector", "value": selector})
        self.call("POST", f"/element/{found[ELEMENT]}/click", {})

    def keys(self, text: str) -> None:
        """To whatever has the focus."""
        active = self.call("GET", "/element/active")
        self.call("POST", f"/element/{active[ELEMENT]}/value", {"text": text})

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def await_(self, script: str, *arguments: Any, seconds: float = 15.0) -> Any:
        """The first true value of a function's body."""
        end = time.monotonic() + seconds
        while not (value := self.run(script, *arguments)):
            assert time.monotonic() < end, f"not within {seconds:g} s: {script} {arguments}\n{self.text('body')[:3000]}"
            time.sleep(0.05)
        return value

    def as_on(self, width: int, height: int, dark: bool, calm: bool = False) -> None:
        """A screen of that size, in CSS pixels, and what its owner prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        wishes = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce" if calm else "",
        }
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        for command, parameters in (
            ("Emulation.setDeviceMetricsOverride", size),
            ("Emulation.setEmulatedMedia", {"features": features}),
        ):
            self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def picture(self, path: Path, whole: bool = False) -> None:
        found = self.call(
            "POST", "/goog/cdp/execute", {"cmd": "Page.captureScreenshot", "params": {"captureBeyondViewport": whole}}
        )
        path.write_bytes(base64.b64decode(found["data"]))

    def complaints(self) -> list[str]:
        """What the browser's console was told: errors of scripts, resources the policy refused."""
        return [f"{e['level']}: {e['message']}" for e in self.call("POST", "/se/log", {"type": "browser"})]


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """One with an empty profile. Skips by name where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("capability: chromium and chromium-driver are not installed")
    log = profile / "driver.log"
    profile.mkdir(parents=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [driver, "--port=0"], stdout=out, stderr=out, env={**os.environ, "HOME": str(profile)}
        )
    one = Browser(_await_port(process, log.read_text))
    options = {"binary": program, "args": [*FLAGS, f"--user-data-dir={profile / 'profile'}"]}
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    try:
        one.session = f"/{one.call('POST', '', {'capabilities': {'alwaysMatch': wanted}})['sessionId']}"
        yield one
    finally:
        try:
            if one.session:
                one.call("DELETE", "")
        finally:
            process.terminate()
            process.wait(10)


def _await_port(process: subprocess.Popen[bytes], said: Callable[[], str]) -> int:
    end = time.monotonic() + 20
    while not (found := re.search(r"started successfully on port (\d+)", said())):
        assert process.poll() is None and time.monotonic() < end, said()
        time.sleep(0.05)
    return int(found[1])
