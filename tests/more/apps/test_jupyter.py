"""JupyterLab (Tornado, its own server): notebooks, whose kernels are reached by WebSockets."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.more.apps.stage import App, Both, Stage, manifest
from tests.more.browser import ENTER, SHIFT, Browser, eventually
from tests.wire.harness.raw import RawConnection, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.wire.harness.portals import Portal

pytestmark = pytest.mark.more

_TOKEN = "sesame"
_AUTH = ("Authorization", f"token {_TOKEN}")
_MOMENT = re.compile(rb'[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z|[0-9a-f]{32}|"version":"[0-9.]+"')
_HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
_CODE = "import sys\nprint('gr\xfc\xdfe', 6 * 7, len(sys.argv) > 0)"
_READY = "return !!document.querySelector('.jp-Notebook .cm-content')"
_IDLE = "return document.body.innerText.includes('Python 3 (ipykernel) | Idle')"
_OUTPUT = "return document.querySelector('.jp-OutputArea-output')?.innerText"


@pytest.fixture(scope="module")
def portal(stage: Stage) -> Portal:
    return stage.portal("Ada")


@pytest.fixture(scope="module")
def app(stage: Stage, portal: Portal) -> App:
    """JupyterLab as its author starts it, told the one thing it must know: its name."""
    work = stage.folder / "work"
    work.mkdir()
    cell: dict[str, Any] = {
        "cell_type": "code", "execution_count": None, "id": "one", "metadata": {},
        "outputs": [], "source": _CODE,
    }  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    form = {"nbformat": 4, "nbformat_minor": 5}
    notebook = {"cells": [cell], "metadata": {"kernelspec": kernel}, **form}
    (work / "hello.ipynb").write_text(json.dumps(notebook), "utf-8")
    name = portal.app_host("lab").partition(":")[0]
    folders = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    app = stage.run(
        "jupyter", "jupyter", "lab", "--no-browser", "--allow-root", "--ServerApp.port={port}",
        "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={work}",
        f"--IdentityProvider.token={_TOKEN}", f"--ServerApp.local_hostnames={[name]}",
        HOME=str(stage.folder), **{f"JUPYTER_{each}": str(stage.folder / each) for each in folders},
    )  # fmt: skip
    closed = {"api/terminals": "private", "terminals": "private"}
    portal.add_app("lab", manifest(rest="public", **closed), app.port)
    portal.add_app("named", manifest(rest="public", **closed), app.port)
    portal.add_app("told", manifest(rest="public", **closed), app.port, "host: 127.0.0.1\n")
    portal.start()
    return app


@pytest.fixture
def both(app: App, portal: Portal) -> Both:
    return Both(app, portal, "lab", _MOMENT)


def test_a_cell_runs_in_the_browser(
    both: Both, browser: Browser, say: Callable[[str], None]
) -> None:
    browser.open(f"http://{both.host}/lab/tree/hello.ipynb?token={_TOKEN}")
    assert eventually(lambda: browser.run(_READY))
    assert eventually(lambda: browser.run(_IDLE))
    browser.run("document.querySelector('.jp-Notebook .cm-content').focus()")
    browser.chord(SHIFT, ENTER)

    said = eventually(lambda: browser.run(_OUTPUT))
    say(f"Chromium: the notebook's cell says {said!r}")
    assert said.strip() == "gr\xfc\xdfe 42 True"
    loaded = browser.run(
        "return performance.getEntriesByType('resource').map((e) => [e.name, e.responseStatus])"
    )
    elsewhere = [name for name, _ in loaded if not name.startswith(f"http://{both.host}/")]
    assert elsewhere == []
    failed = [(name, status) for name, status in loaded if status >= 400]
    assert [name for name, _ in failed if "terminals" not in name] == []


def test_a_kernel_does_as_it_is_told_as_without_the_proxy(
    stage: Stage, both: Both, say: Callable[[str], None]
) -> None:
    direct = stage.client("kernel_client.py", f"http://{both.app.authority}", _TOKEN)
    proxied = stage.client("kernel_client.py", f"http://{both.host}", _TOKEN)

    say(f"websocket-client: {proxied['long'][0]} characters of output, {proxied['subprotocol']}")
    assert proxied == direct
    assert proxied["plain"] == {"printed": "gr\xfc\xdfe\n", "result": "42", "status": "ok"}
    assert proxied["failing"] == "error"
    assert proxied["long"][1] == "19999"
    assert proxied["subprotocol"] == "v1.kernel.websocket.jupyter.org"
    assert proxied["binary"]["result"] == "1000000"


@pytest.mark.parametrize(
    ("method", "target", "fields", "body", "status"),
    [
        ("GET", "/", (), None, 302),
        ("GET", "/api", (), None, 200),
        ("GET", "/lab", (), None, 302),
        ("GET", "/api/contents", (), None, 403),
        ("GET", "/api/contents?content=0", (_AUTH,), None, 200),
        ("GET", "/api/contents/none", (_AUTH,), None, 404),
        ("GET", "/api/kernelspecs", (_AUTH,), None, 200),
        ("PUT", "/api/contents/n.txt", (_AUTH,), b"{", 400),
        ("GET", "/files/hello.ipynb", (_AUTH,), None, 200),
        ("GET", "/files/hello.ipynb", (_AUTH, ("Range", "bytes=0-4")), None, 206),
        ("HEAD", "/files/hello.ipynb", (_AUTH,), None, 200),
        ("GET", "/static/favicon.ico", (), None, 200),
        ("GET", "/api/kernels/none/channels", (_AUTH, *_HANDSHAKE), None, 404),
        ("GET", "/api/events/subscribe", _HANDSHAKE, None, 403),
    ],
)
def test_a_response_is_the_same_to_the_byte(
    both: Both, method: str, target: str, fields: tuple[tuple[str, str], ...],
    body: bytes | None, status: int,
) -> None:  # fmt: skip
    got = both.alike(method, target, *fields, body=body)

    assert got.status == status


def test_strangers_dont_get_a_terminal(both: Both) -> None:
    for target in ("/api/terminals", "/terminals/websocket/1", "/Terminals/websocket/1",
                   "//terminals/websocket/1", "/terminals%2fwebsocket/1"):  # fmt: skip
        for fields in ((), _HANDSHAKE):
            got = both.ask("GET", target, _AUTH, *fields)
            assert (got.status, got.code) == (401, "proof_required"), target
    assert "terminals" not in both.app.log.partition("is running at")[2]


def test_another_sites_page_gets_no_websocket(both: Both) -> None:
    """Jupyter compares Origin with Host, which it gets as the browser sent it."""
    login = both.ask("GET", f"/lab?token={_TOKEN}")
    cookies = b"; ".join(value.partition(b";")[0] for value in login.all("set-cookie")).decode()
    for origin, status in ((f"http://{both.host}", 101), ("http://evil.example", 403)):
        with RawConnection(both.portal.public) as wire:
            fields = (("Host", both.host), ("Cookie", cookies), ("Origin", origin), *_HANDSHAKE)
            wire.send(request("GET", "/api/events/subscribe", *fields))
            assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 %d " % status)


def test_an_app_that_looks_at_its_name_must_be_told_the_portals(both: Both, portal: Portal) -> None:
    """Behind the proxy an app is asked for by its public name, and Jupyter knows only its own."""
    named = Both(both.app, portal, "named")

    assert named.alike("GET", "/api").status == 403


def test_told_another_host_it_refuses_the_browsers_websockets(both: Both, portal: Portal) -> None:
    """It takes Origin for another site's, since it isn't the name that it was told."""
    host = portal.app_host("told")
    assert Both(both.app, portal, "told").ask("GET", "/api").status == 200
    login = both.ask("GET", f"/lab?token={_TOKEN}")
    cookies = b"; ".join(value.partition(b";")[0] for value in login.all("set-cookie")).decode()
    with RawConnection(portal.public) as wire:
        fields = (("Host", host), ("Cookie", cookies), ("Origin", f"http://{host}"), *_HANDSHAKE)
        wire.send(request("GET", "/api/events/subscribe", *fields))
        assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 403 ")
