"""The demo's pages in Chromium, through the proxy: phone, keyboard, dark, and text that resists.

The browser is paired with each of the Portals, by the addresses that the demo prints.
"""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.more.browser import (
    COLOURS,
    ENTER,
    IS_HERE,
    TAB,
    Browser,
    contrast,
    eventually,
    luminance,
)

pytestmark = [
    pytest.mark.more,
    pytest.mark.skipif(not IS_HERE, reason="no chromium and chromedriver here"),
]


def _postcards(pages: list[str], portal: int) -> str:
    return [page for page in pages if "//postcards." in page][portal]


def test_every_printed_page_opens(at_home: Browser, pages: list[str]) -> None:
    titles = []
    for page in pages:
        at_home.open(page)
        titles.append(at_home.run("return document.title"))
    assert len(pages) == 6
    assert titles[::2] == ["Ada: postcards", "Bob: postcards", "Cleo: postcards"]
    assert titles[1::2] == ["Directory listing for /public/"] * 3


def test_a_card_is_written_and_sent_by_keyboard_alone(at_home: Browser, pages: list[str]) -> None:
    at_home.open(_postcards(pages, 0))
    seen = []
    for keys in (TAB, TAB, TAB):
        at_home.press(keys)
        seen.append(at_home.run("return document.activeElement.id || document.activeElement.type"))
        ring = at_home.run(
            "const s = getComputedStyle(document.activeElement);"
            "return [s.outlineStyle, parseFloat(s.outlineWidth)]"
        )
        assert ring == ["solid", 3]
        if seen[-1] == "text":
            at_home.press("By keyboard <b>alone</b>")
    assert seen == ["to", "text", "submit"]
    at_home.press(ENTER)
    said = "return document.querySelector('[role=status]')?.textContent"
    assert eventually(lambda: at_home.run(said)) == "Your postcard has been delivered."
    at_home.open(_postcards(pages, 1))
    card = at_home.run("return document.querySelector('article').innerText")
    assert card.startswith("By keyboard <b>alone</b>")
    assert "From Ada" in card


def test_a_failed_card_is_explained_and_its_text_kept(at_home: Browser, pages: list[str]) -> None:
    at_home.open(_postcards(pages, 0))
    at_home.run("document.querySelector('option').value = 'a'.repeat(103)")
    at_home.press(f"{TAB}{TAB}Not lost{TAB}{ENTER}")
    said = "return document.querySelector('[role=alert]')?.textContent"
    assert "may not know that Portal" in (eventually(lambda: at_home.run(said)) or "")
    assert at_home.run("return document.querySelector('textarea').value") == "Not lost"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_the_page_fits_and_can_be_read(
    at_home: Browser, pages: list[str], tmp_path: Path, width: int, scheme: str
) -> None:
    page = _postcards(pages, 1)
    long = "Donaudampfschifffahrtsgesellschaft" * 6
    at_home.open(page)
    at_home.run(f"document.querySelector('textarea').value = '{long}'")
    at_home.run("document.forms[0].requestSubmit()")
    delivered = "return !!document.querySelector('[role=status]')"
    assert eventually(lambda: at_home.run(delivered))
    at_home.be(width=width, scheme=scheme)
    at_home.keep_picture(tmp_path / f"{width}-{scheme}.png")
    assert at_home.run("return innerWidth") == width
    assert at_home.run("return document.documentElement.scrollWidth") <= width
    colours = at_home.run(COLOURS)
    assert len(colours) > 10
    for tag, ink, subject in colours:
        assert contrast(ink, subject) >= 4.5, (tag, ink, subject)
    _, ink, subject = colours[0]
    assert (luminance(subject) < luminance(ink)) == (scheme == "dark")


def test_another_sites_page_cannot_send_a_card(at_home: Browser, pages: list[str]) -> None:
    """A form on another app's page: the device's cookie doesn't count for it."""
    target = _postcards(pages, 0)
    at_home.open(_postcards(pages, 2))
    assert urlsplit(at_home.run("return location.href")).netloc != urlsplit(target).netloc
    # Cleo's page may post to itself alone; a page without that rule could post anywhere.
    at_home.open(target.replace("postcards", "files") + "public/")
    at_home.run(
        f"const f = document.createElement('form'); f.method = 'post';"
        f"f.action = '{target}send'; document.body.append(f); f.submit()"
    )
    said = "return document.body.innerText"
    assert eventually(lambda: "proof_required" in (at_home.run(said) or ""))
    at_home.open(target)
    assert "postcards" in at_home.run("return document.title")
