"""Chromium for tests: by the W3C WebDriver protocol, just what these tests need."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import requests

from tests.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

TAB, ENTER, SHIFT = "\ue004", "\ue007", "\ue008"
_ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"]
COLOURS = """
const shown = (e) => getComputedStyle(e);
const ground = (e) => {
  while (e && shown(e).backgroundColor === 'rgba(0, 0, 0, 0)') e = e.parentElement;
  return e ? shown(e).backgroundColor : 'rgb(255, 255, 255)';
};
const read = 'h1, h2, p, label, input, select, textarea, button, a, code, time';
return [...document.querySelectorAll(read)]
  .map((e) => [e.tagName, shown(e).color, ground(e)]);
"""
"""Returns tag, ink and ground of everything on the page that is read."""
IS_HERE = shutil.which("chromium") is not None and shutil.which("chromedriver") is not None


class Browser:
    """One window; text of any page in it can be asked for by a script."""

    def __init__(self, driver: str) -> None:
        self._http = requests.Session()
        self._http.trust_env = False
        options = {"args": _ARGUMENTS}
        wanted: Any = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        session = self._http.post(f"{driver}/session", json=wanted, timeout=PATIENCE).json()[
            "value"
        ]
        self._session = f"{driver}/session/{session['sessionId']}"

    def do(self, command: str, **content: Any) -> Any:
        response = self._http.post(
            f"{self._session}/{command}", json=content, timeout=PATIENCE
        ).json()
        if isinstance(response["value"], dict) and "error" in response["value"]:
            raise AssertionError(response["value"]["message"])
        return response["value"]

    def open(self, page: str) -> None:
        self.do("url", url=page)

    def run(self, script: str) -> Any:
        return self.do("execute/sync", script=script, args=[])

    def chrome(self, command: str, **parameters: Any) -> None:
        self.do("goog/cdp/execute", cmd=command, params=parameters)

    def press(self, keys: str) -> None:
        moves = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.do("actions", actions=[{"type": "key", "id": "keyboard", "actions": moves}])

    def chord(self, *keys: str) -> None:
        """Press keys together."""
        down = [{"type": "keyDown", "value": key} for key in keys]
        up = [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self.do("actions", actions=[{"type": "key", "id": "keyboard", "actions": down + up}])

    def be(self, *, width: int, scheme: str) -> None:
        """Be as wide as a phone, or wider, in the light or in the dark."""
        shape = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.chrome("Emulation.setDeviceMetricsOverride", **shape)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.chrome("Emulation.setEmulatedMedia", features=features)

    def keep_picture(self, path: Path) -> None:
        picture = self._http.get(f"{self._session}/screenshot", timeout=PATIENCE).json()["value"]
        path.write_bytes(base64.b64decode(picture))

    def close(self) -> None:
        self._http.delete(self._session, timeout=PATIENCE)
        self._http.close()


@contextmanager
def run_driver() -> Iterator[str]:
    """Run chromedriver; gives its address."""
    process = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    ports = (re.search(r"successfully on port ([0-9]+)", line) for line in process.stdout)
    try:
        yield f"http://127.0.0.1:{next(port for port in ports if port)[1]}"
    finally:
        process.terminate()
        process.communicate()


def eventually(holds: Callable[[], Any]) -> Any:
    """Wait until ``holds`` gives something; return what it gave last.

    A script fails in a page that is just being left, or that has no body yet: it is tried again.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            got = holds()
        except AssertionError:
            if time.monotonic() >= end:
                raise
            got = None
        if got or time.monotonic() >= end:
            return got
        time.sleep(0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of ``rgb(r, g, b)`` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"[0-9]+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
