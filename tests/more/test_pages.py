"""The demo's pages in Chromium, through the proxy: phone, keyboard, dark, and text that resists."""

import base64
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

pytestmark = [
    pytest.mark.more,
    pytest.mark.skipif(
        shutil.which("chromium") is None or shutil.which("chromedriver") is None,
        reason="no chromium and chromedriver here",
    ),
]

_TAB, _ENTER, _DOWN = "\ue004", "\ue007", "\ue015"
_ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"]
_COLOURS = """
const shown = (e) => getComputedStyle(e);
const ground = (e) => {
  while (e && shown(e).backgroundColor === 'rgba(0, 0, 0, 0)') e = e.parentElement;
  return e ? shown(e).backgroundColor : 'rgb(255, 255, 255)';
};
return [...document.querySelectorAll('h1, h2, p, label, select, textarea, button, code, time')]
  .map((e) => [e.tagName, shown(e).color, ground(e)]);
"""


class _Browser:
    """Chromium by the W3C WebDriver protocol: just what these tests need."""

    def __init__(self, driver: str) -> None:
        self._http = requests.Session()
        self._http.trust_env = False
        options = {"args": _ARGUMENTS}
        wanted: Any = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        session = self._http.post(f"{driver}/session", json=wanted, timeout=60).json()["value"]
        self._session = f"{driver}/session/{session['sessionId']}"

    def do(self, command: str, **content: Any) -> Any:
        answer = self._http.post(f"{self._session}/{command}", json=content, timeout=60).json()
        if isinstance(answer["value"], dict) and "error" in answer["value"]:
            raise AssertionError(answer["value"]["message"])
        return answer["value"]

    def open(self, page: str) -> None:
        self.do("url", url=page)

    def run(self, script: str) -> Any:
        return self.do("execute/sync", script=script, args=[])

    def chrome(self, command: str, **parameters: Any) -> None:
        self.do("goog/cdp/execute", cmd=command, params=parameters)

    def press(self, keys: str) -> None:
        moves = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.do("actions", actions=[{"type": "key", "id": "keyboard", "actions": moves}])

    def be(self, *, width: int, scheme: str) -> None:
        """Be as wide as a phone, or wider, in the light or in the dark."""
        shape = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.chrome("Emulation.setDeviceMetricsOverride", **shape)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.chrome("Emulation.setEmulatedMedia", features=features)

    def keep_picture(self, path: Path) -> None:
        picture = self._http.get(f"{self._session}/screenshot", timeout=60).json()["value"]
        path.write_bytes(base64.b64decode(picture))

    def close(self) -> None:
        self._http.delete(self._session, timeout=60)
        self._http.close()


@pytest.fixture(scope="module")
def driver() -> Iterator[str]:
    process = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    ports = (re.search(r"successfully on port ([0-9]+)", line) for line in process.stdout)
    yield f"http://127.0.0.1:{next(port for port in ports if port)[1]}"
    process.terminate()
    process.communicate()


@pytest.fixture
def browser(driver: str) -> Iterator[_Browser]:
    browser = _Browser(driver)
    yield browser
    browser.close()


def _eventually(holds: Callable[[], Any]) -> Any:
    end = time.monotonic() + 10
    while not (got := holds()) and time.monotonic() < end:
        time.sleep(0.05)
    return got


def _postcards(pages: list[str], portal: int) -> str:
    return [page for page in pages if "//postcards." in page][portal]


def test_every_printed_page_opens(browser: _Browser, pages: list[str]) -> None:
    titles = []
    for page in pages:
        browser.open(page)
        titles.append(browser.run("return document.title"))
    assert len(pages) == 6
    assert titles[::2] == ["Ada: postcards", "Bob: postcards", "Cleo: postcards"]
    assert titles[1::2] == ["Directory listing for /public/"] * 3


def test_a_card_is_written_and_sent_by_keyboard_alone(browser: _Browser, pages: list[str]) -> None:
    browser.open(_postcards(pages, 0))
    seen = []
    for keys in (_TAB, _TAB, _TAB):
        browser.press(keys)
        seen.append(browser.run("return document.activeElement.id || document.activeElement.type"))
        ring = browser.run(
            "const s = getComputedStyle(document.activeElement);"
            "return [s.outlineStyle, parseFloat(s.outlineWidth)]"
        )
        assert ring == ["solid", 3]
        if seen[-1] == "text":
            browser.press("By keyboard <b>alone</b>")
    assert seen == ["to", "text", "submit"]
    browser.press(_ENTER)
    said = "return document.querySelector('[role=status]')?.textContent"
    assert _eventually(lambda: browser.run(said)) == "Your postcard has been delivered."
    browser.open(_postcards(pages, 1))
    card = browser.run("return document.querySelector('article').innerText")
    assert card.startswith("By keyboard <b>alone</b>")
    assert "From Ada" in card


def test_a_failed_card_is_explained_and_its_text_kept(browser: _Browser, pages: list[str]) -> None:
    browser.open(_postcards(pages, 0))
    browser.run("document.querySelector('option').value = 'a'.repeat(103)")
    browser.press(f"{_TAB}{_TAB}Not lost{_TAB}{_ENTER}")
    said = "return document.querySelector('[role=alert]')?.textContent"
    assert "may not know that Portal" in (_eventually(lambda: browser.run(said)) or "")
    assert browser.run("return document.querySelector('textarea').value") == "Not lost"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_the_page_fits_and_can_be_read(
    browser: _Browser, pages: list[str], tmp_path: Path, width: int, scheme: str
) -> None:
    page = _postcards(pages, 1)
    long = "Donaudampfschifffahrtsgesellschaft" * 6
    browser.open(page)
    browser.run(f"document.querySelector('textarea').value = '{long}'")
    browser.run("document.forms[0].requestSubmit()")
    delivered = "return !!document.querySelector('[role=status]')"
    assert _eventually(lambda: browser.run(delivered))
    browser.be(width=width, scheme=scheme)
    browser.keep_picture(tmp_path / f"{width}-{scheme}.png")
    assert browser.run("return innerWidth") == width
    assert browser.run("return document.documentElement.scrollWidth") <= width
    colours = browser.run(_COLOURS)
    assert len(colours) > 10
    for tag, ink, ground in colours:
        assert _contrast(ink, ground) >= 4.5, (tag, ink, ground)
    _, ink, ground = colours[0]
    assert (_luminance(ground) < _luminance(ink)) == (scheme == "dark")


def test_another_sites_page_cannot_send_a_card(browser: _Browser, pages: list[str]) -> None:
    """A form on another page of this machine: the browser says where it comes from."""
    target = _postcards(pages, 0)
    browser.open(_postcards(pages, 2))
    assert urlsplit(browser.run("return location.href")).netloc != urlsplit(target).netloc
    # Cleo's page may post to itself alone; a page without that rule could post anywhere.
    browser.open(target.replace("postcards", "files") + "public/")
    browser.run(
        f"const f = document.createElement('form'); f.method = 'post';"
        f"f.action = '{target}send'; document.body.append(f); f.submit()"
    )
    said = "return document.body.innerText"
    refused = "Cards are written on this app's own page"
    assert _eventually(lambda: refused in (browser.run(said) or ""))


def _luminance(colour: str) -> float:
    """Return the relative luminance of ``rgb(r, g, b)`` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"[0-9]+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)
