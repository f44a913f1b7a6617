"""Headless Chromium as one of the owner's devices: pairs, works, and is out when it is removed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

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
from tests.wire.harness.portals import Portal
from tests.wire.harness.sockets import WebSocketApp
from tests.wire.harness.terminals import from_the_page, send_form

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.more,
    pytest.mark.skipif(not IS_HERE, reason="no chromium and chromedriver here"),
]

PRIVATE = '{"v": "3.2", "port": 80, "paths": {"": {"access": "private"}}}'
THERE = "no WebSocket here"
"""What the app answers where it has nothing: it was reached."""
_TEXT = "return document.body.innerText"
_OPEN = """
window.heard = []; window.over = null;
const socket = new WebSocket(`ws://${location.host}/public/echo`);
socket.onopen = () => socket.send('hello');
socket.onmessage = (message) => heard.push(message.data);
socket.onclose = (event) => { window.over = event.code; };
window.say = (text) => socket.send(text);
"""


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with ExitStack() as stack:
        app = stack.enter_context(WebSocketApp())
        portal = Portal(tmp_path_factory.mktemp("terminals") / "ada", "Ada")
        stack.callback(portal.release)
        portal.add_app("notes", PRIVATE, app.port)
        yield portal.start()
        assert portal.MISTAKE not in portal.log, portal.log


@pytest.fixture
def other(driver: str) -> Iterator[Browser]:
    browser = Browser(driver)
    yield browser
    browser.close()


def _has_focus(browser: Browser, name: str) -> bool:
    """Wait for the focus, which a page gives to the field that is to have it once it is drawn."""
    return bool(eventually(lambda: browser.run("return document.activeElement.id") == name))


def _page(portal: Portal) -> str:
    return f"http://{portal.app_host('notes')}/a?b=c"


def _code(portal: Portal) -> dict[str, str]:
    done = portal.command("terminals", "pair", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _pair(browser: Browser, portal: Portal, name: str) -> None:
    """Pair as a person does, by keyboard alone."""
    browser.open(_page(portal))
    assert _has_focus(browser, "code")
    browser.press(_code(portal)["code"] + TAB)
    browser.run("document.activeElement.select()")
    browser.press(name + ENTER)
    assert eventually(lambda: THERE in browser.run(_TEXT)), browser.run(_TEXT)
    assert browser.run("return location.href") == _page(portal)


def _terminal(portal: Portal, name: str) -> str:
    rows = json.loads(portal.command("terminals", "list", "--json").stdout)
    (found,) = [row["id"] for row in rows if row["name"] == name]
    return str(found)


def test_a_browser_pairs_works_and_is_out_when_it_is_removed(
    browser: Browser, other: Browser, ada: Portal
) -> None:
    for each, name in ((browser, "Phone"), (other, "Laptop")):
        _pair(each, ada, name)
        each.run(_OPEN)
        assert eventually(partial(each.run, "return heard.includes('hello')"))

    assert ada.command("terminals", "remove", _terminal(ada, "Phone")).returncode == 0

    assert eventually(lambda: browser.run("return over !== null"))
    browser.open(_page(ada))
    assert THERE not in browser.run(_TEXT)
    assert browser.run("return location.pathname") == "/core/public/pair"

    other.run("say('still here')")
    assert eventually(lambda: other.run("return heard.includes('still here')"))
    assert other.run("return over") is None
    other.open(_page(ada))
    assert THERE in other.run(_TEXT)


def test_no_script_sees_the_cookie(browser: Browser, ada: Portal) -> None:
    _pair(browser, ada, "Scripted")
    assert browser.run("return document.cookie") == ""
    browser.open(f"http://{ada.host}/core/public/pair")
    assert "paired already, as Scripted" in browser.run(_TEXT)


def test_a_link_fills_in_the_code_and_keeps_it_out_of_the_address(
    browser: Browser, ada: Portal
) -> None:
    pairing = _code(ada)
    browser.open(pairing["link"])
    assert browser.run("return location.hash") == ""
    assert _has_focus(browser, "name")
    browser.press(ENTER)
    assert eventually(lambda: "paired already" in browser.run(_TEXT))
    for secret in (pairing["code"].replace("-", ""), pairing["link"].partition("#code=")[2]):
        assert secret not in ada.log


def test_a_link_works_while_somebody_guesses_codes(browser: Browser, ada: Portal) -> None:
    pairing = _code(ada)
    wrong = [
        send_form(ada, f"{n:08}", from_the_page(ada), came_from=f"127.0.0.{40 + n % 20}")
        for n in range(61)
    ]
    assert wrong[-1].status == 429
    browser.open(pairing["link"])
    assert _has_focus(browser, "name")
    browser.press(ENTER)
    assert eventually(lambda: "paired already" in browser.run(_TEXT))
    (ada.state / "pairing.yaml").unlink()


def test_without_scripts_the_code_is_typed(browser: Browser, ada: Portal) -> None:
    browser.chrome("Emulation.setScriptExecutionDisabled", value=True)
    pairing = _code(ada)
    browser.open(pairing["link"])
    assert _has_focus(browser, "code")
    browser.press(pairing["code"].lower() + ENTER)
    browser.chrome("Emulation.setScriptExecutionDisabled", value=False)
    assert eventually(lambda: "paired already" in browser.run(_TEXT))


def test_a_wrong_code_is_said_and_the_name_stays(browser: Browser, ada: Portal) -> None:
    browser.open(_page(ada))
    assert _has_focus(browser, "code")
    browser.press("ZZZZ-ZZZZ" + TAB)
    browser.run("document.activeElement.value = 'Mine'")
    browser.press(ENTER)
    said = "return document.querySelector('[role=alert]')?.textContent"
    assert "This code isn't good" in (eventually(lambda: browser.run(said)) or "")
    assert browser.run("return document.getElementById('name').value") == "Mine"
    assert _has_focus(browser, "code")
    assert browser.run("return document.title").startswith("Error: ")


def test_another_portals_page_cannot_act_as_the_device(browser: Browser, ada: Portal) -> None:
    """A sibling's page is of the same site: the browser sends it the cookie along."""
    _pair(browser, ada, "Careful")
    # The pairing page's policy forbids to ask anywhere; an error page of another port has none.
    browser.open(f"http://8271dd.portal.localhost:{ada.public}/")
    assert "misdirected" in browser.run(_TEXT)
    browser.chrome("Page.setBypassCSP", enabled=True)
    browser.open(f"http://8271dd.portal.localhost:{ada.public}/")
    browser.run(
        f"window.over = null; const s = new WebSocket('ws://{ada.app_host('notes')}/public/echo');"
        "s.onopen = () => { window.over = 'open' }; s.onclose = () => { window.over = 'closed' };"
    )
    assert eventually(lambda: browser.run("return over")) == "closed"
    browser.run(
        f"const f = document.createElement('form'); f.method = 'post';"
        f"f.action = '{_page(ada)}'; document.body.append(f); f.submit()"
    )
    assert eventually(lambda: "proof_required" in browser.run(_TEXT))
    browser.open(_page(ada))
    assert THERE in browser.run(_TEXT)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_the_pairing_page_fits_and_can_be_read(
    browser: Browser, ada: Portal, tmp_path: Path, width: int, scheme: str
) -> None:
    browser.be(width=width, scheme=scheme)
    browser.open(_page(ada))
    browser.run("document.getElementById('code').value = 'W'.repeat(32)")
    for _ in range(2):
        browser.keep_picture(tmp_path / f"{width}-{scheme}.png")
        assert browser.run("return innerWidth") == width
        assert browser.run("return document.documentElement.scrollWidth") <= width
        colours = browser.run(COLOURS)
        assert len(colours) > 8
        for tag, ink, subject in colours:
            assert contrast(ink, subject) >= 4.5, (tag, ink, subject)
        _, ink, subject = colours[0]
        assert (luminance(subject) < luminance(ink)) == (scheme == "dark")
        browser.run("document.forms[0].requestSubmit()")
        assert eventually(lambda: browser.run("return !!document.querySelector('[role=alert]')"))


def test_every_stop_of_the_keyboard_is_seen(browser: Browser, ada: Portal) -> None:
    browser.open(_page(ada))
    assert _has_focus(browser, "code")
    seen = []
    for _ in range(3):
        seen.append(browser.run("return document.activeElement.id || 'button'"))
        ring = browser.run(
            "const s = getComputedStyle(document.activeElement);"
            "return [s.outlineStyle, parseFloat(s.outlineWidth)]"
        )
        assert ring == ["solid", 3]
        browser.press(TAB)
    assert seen == ["code", "name", "button"]
