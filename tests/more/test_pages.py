"""The demo's pages in Chromium, through the proxy: phone, keyboard, dark, and text that resists."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .browser import ENTER, IS_HERE, TAB, Browser, eventually

pytestmark = [
    pytest.mark.more,
    pytest.mark.skipif(not IS_HERE, reason="no chromium and chromedriver here"),
]

_COLOURS = """
const shown = (e) => getComputedStyle(e);
const ground = (e) => {
  while (e && shown(e).backgroundColor === 'rgba(0, 0, 0, 0)') e = e.parentElement;
  return e ? shown(e).backgroundColor : 'rgb(255, 255, 255)';
};
return [...document.querySelectorAll('h1, h2, p, label, select, textarea, button, code, time')]
  .map((e) => [e.tagName, shown(e).color, ground(e)]);
"""


def _postcards(pages: list[str], portal: int) -> str:
    return [page for page in pages if "//postcards." in page][portal]


def test_every_printed_page_opens(browser: Browser, pages: list[str]) -> None:
    titles = []
    for page in pages:
        browser.open(page)
        titles.append(browser.run("return document.title"))
    assert len(pages) == 6
    assert titles[::2] == ["Ada: postcards", "Bob: postcards", "Cleo: postcards"]
    assert titles[1::2] == ["Directory listing for /public/"] * 3


def test_a_card_is_written_and_sent_by_keyboard_alone(browser: Browser, pages: list[str]) -> None:
    browser.open(_postcards(pages, 0))
    seen = []
    for keys in (TAB, TAB, TAB):
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
    browser.press(ENTER)
    said = "return document.querySelector('[role=status]')?.textContent"
    assert eventually(lambda: browser.run(said)) == "Your postcard has been delivered."
    browser.open(_postcards(pages, 1))
    card = browser.run("return document.querySelector('article').innerText")
    assert card.startswith("By keyboard <b>alone</b>")
    assert "From Ada" in card


def test_a_failed_card_is_explained_and_its_text_kept(browser: Browser, pages: list[str]) -> None:
    browser.open(_postcards(pages, 0))
    browser.run("document.querySelector('option').value = 'a'.repeat(103)")
    browser.press(f"{TAB}{TAB}Not lost{TAB}{ENTER}")
    said = "return document.querySelector('[role=alert]')?.textContent"
    assert "may not know that Portal" in (eventually(lambda: browser.run(said)) or "")
    assert browser.run("return document.querySelector('textarea').value") == "Not lost"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_the_page_fits_and_can_be_read(
    browser: Browser, pages: list[str], tmp_path: Path, width: int, scheme: str
) -> None:
    page = _postcards(pages, 1)
    long = "Donaudampfschifffahrtsgesellschaft" * 6
    browser.open(page)
    browser.run(f"document.querySelector('textarea').value = '{long}'")
    browser.run("document.forms[0].requestSubmit()")
    delivered = "return !!document.querySelector('[role=status]')"
    assert eventually(lambda: browser.run(delivered))
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


def test_another_sites_page_cannot_send_a_card(browser: Browser, pages: list[str]) -> None:
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
    assert eventually(lambda: refused in (browser.run(said) or ""))


def _luminance(colour: str) -> float:
    """Return the relative luminance of ``rgb(r, g, b)`` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in re.findall(r"[0-9]+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)
