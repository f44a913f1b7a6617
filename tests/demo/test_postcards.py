"""The postcard box alone: a real process, with a stand-in for the Portal that it runs on."""

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.patience import PATIENCE

_ROOT = Path(__file__).resolve().parents[2]
_BOB = "b8rk3f" + "a" * 97
_PEER = {
    "X-Ptl-Client-Type": "peer",
    "X-Ptl-Client-Id": _BOB,
    "X-Ptl-Client-Name": "B%C3%B6b%20%3Cb%3E",
}


@dataclass
class _StandIn:
    """The Portal's apps listener: records what it is asked, answers as it is told."""

    url: str = ""
    asked: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    call: tuple[int, dict[str, object]] = (201, {"received": True})
    peers: object = field(
        default_factory=lambda: [{"id": _BOB, "name": "Bob", "is_reachable": True}]
    )


@pytest.fixture
def portal() -> Iterator[_StandIn]:
    stand_in = _StandIn()

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            token = self.headers.get("Proxy-Authorization", "")
            stand_in.asked.append((self.command, self.path, token, body))
            responses = {
                "http://portal_core/public/meta/whoareyou": (200, {"name": "Ada"}),
                "http://portal_core/protected/peers": (200, stand_in.peers),
            }
            status, content = responses.get(self.path, stand_in.call)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        do_POST = do_GET  # noqa: N815 - http.server calls it so

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stand_in.url = f"http://postcards:a-token@127.0.0.1:{server.server_port}"
        yield stand_in
        server.shutdown()


@dataclass(frozen=True)
class _Answer:
    status: int
    text: str
    fields: dict[str, str]


@dataclass(frozen=True)
class _App:
    port: int
    host: str = "postcards.8271dd.portal.localhost:9180"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        fields: dict[str, str] | None = None,
    ) -> _Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {"Host": self.host} | (fields or {}))
            response = connection.getresponse()
            return _Answer(response.status, response.read().decode(), dict(response.getheaders()))
        finally:
            connection.close()

    def write(self, text: str, to: str = _BOB, **fields: str) -> _Answer:
        """Send the page's form, as a browser that is on the page does."""
        sent = fields or {"Origin": f"http://{self.host}"}
        named = {name.replace("_", "-"): value for name, value in sent.items()}
        return self.ask("POST", "/send", urlencode({"to": to, "text": text}).encode(), named)

    def receive(self, text: str) -> _Answer:
        return self.ask("POST", "/peer/postcards", json.dumps({"text": text}).encode(), _PEER)


class _Process:
    def __init__(self, storage: Path, proxy: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "postcards", "--port", "0", "--storage", str(storage)],
            cwd=_ROOT / "demo",
            env=clean | {"HTTP_PROXY": proxy},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> _App:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()  # "postcards: http://127.0.0.1:PORT/"
        return _App(int(line.rstrip("/\n").rpartition(":")[2]))

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


@pytest.fixture
def app(portal: _StandIn, tmp_path: Path) -> Iterator[_App]:
    with _Process(tmp_path / "cards.sqlite", portal.url) as running:
        yield running


def test_the_page_offers_the_peers_that_the_portal_names(app: _App) -> None:
    page = app.ask("GET", "/")
    assert page.status == 200
    assert f'<option value="{_BOB}">Bob (b8rk3f)</option>' in page.text
    assert "<h1>Ada: postcards</h1>" in page.text


def test_every_input_has_a_label(app: _App) -> None:
    page = app.ask("GET", "/").text
    for name in ("to", "text"):
        assert f'<label for="{name}">' in page
        assert f'id="{name}"' in page


def test_the_page_can_run_no_script_and_load_nothing_from_elsewhere(app: _App) -> None:
    page = app.ask("GET", "/")
    policy = page.fields["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script" not in page.text
    assert "http://" not in page.text
    assert app.ask("GET", "/style.css").status == 200


def test_a_card_is_sent_with_one_plain_call_and_the_apps_token(app: _App, portal: _StandIn) -> None:
    response = app.write("Hello\r\nBob")
    assert (response.status, response.fields["Location"]) == (303, "/?delivered")
    method, url, token, body = portal.asked[-1]
    assert method == "POST"
    assert url == f"http://portal_core/internal/call_peer/{_BOB}/peer/postcards"
    assert token == "Basic cG9zdGNhcmRzOmEtdG9rZW4="  # postcards:a-token
    assert json.loads(body) == {"text": "Hello\nBob"}
    page = app.ask("GET", "/?delivered").text
    assert "has been delivered" in page
    assert "Hello\nBob" in page


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "no_such_peer", "may not know Bob"),
        (403, "not_allowed", "ask Bob to add your Portal"),
        (502, "peer_unreachable", "Bob&#x27;s Portal can&#x27;t be reached"),
        (502, "outcome_unknown", "perhaps arrived"),
        (500, "what-is-this", "Bob didn&#x27;t take it (status 500)"),
    ],
)
def test_a_card_that_was_not_delivered_says_why_and_keeps_the_draft(
    app: _App, portal: _StandIn, status: int, code: str, said: str
) -> None:
    portal.call = (status, {"code": code})
    page = app.write("My draft")
    assert page.status == 502
    assert said in page.text
    assert 'role="alert"' in page.text
    assert ">\nMy draft</textarea>" in page.text
    assert "No card has been sent yet" in page.text


def test_a_portal_that_is_down_is_said_on_the_page(tmp_path: Path) -> None:
    with _Process(tmp_path / "cards.sqlite", "http://postcards:t@127.0.0.1:9") as app:
        page = app.ask("GET", "/")
    assert page.status == 200
    assert "Your own Portal can&#x27;t be reached" in page.text


def test_a_list_of_peers_that_cannot_be_read_is_said_on_the_page(
    app: _App, portal: _StandIn
) -> None:
    portal.peers = [{"name": "no ID"}]
    page = app.ask("GET", "/")
    assert page.status == 200
    assert "can&#x27;t be read" in page.text


def test_a_card_from_a_peer_is_shown_with_its_senders_name_and_full_id(app: _App) -> None:
    assert app.receive("Grüße\nfrom Bob").status == 201
    page = app.ask("GET", "/").text
    assert "Grüße\nfrom Bob" in page
    assert "Böb &lt;b&gt;" in page
    assert _BOB in page


def test_what_a_card_says_is_text_and_never_markup(app: _App) -> None:
    app.receive("<script>alert(1)</script>\x00\ud800")
    page = app.ask("GET", "/").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;</p>" in page


@pytest.mark.parametrize("caller", [{}, {"X-Ptl-Client-Type": "anonymous", "X-Ptl-Client-Id": ""}])
def test_only_peers_leave_cards(app: _App, caller: dict[str, str]) -> None:
    body = json.dumps({"text": "Hello"}).encode()
    assert app.ask("POST", "/peer/postcards", body, caller).status == 403
    assert "No card has come yet" in app.ask("GET", "/").text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b'{"text": 5}', 400),
        (b'{"text": " \\n "}', 400),
        (json.dumps({"text": "x" * 501}).encode(), 400),
        (b"[" * 10_000, 400),
        (b"x" * 16_385, 413),
    ],
)
def test_a_body_that_is_no_card_is_refused(app: _App, body: bytes, status: int) -> None:
    assert app.ask("POST", "/peer/postcards", body, _PEER).status == status
    assert app.receive("x" * 500).status == 201


@pytest.mark.parametrize(
    "fields",
    [
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://postcards.8271dd.portal.localhost:9180"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "http://elsewhere.portal.localhost:9180"},
        {"Origin": "null"},
        {"X_Nothing": "said"},
    ],
)
def test_another_site_cannot_send_the_form(
    app: _App, portal: _StandIn, fields: dict[str, str]
) -> None:
    assert app.write("Sent by a trap", **fields).status == 403
    assert portal.asked == []


def test_the_page_itself_can_send_the_form(app: _App) -> None:
    assert app.write("Hello", Sec_Fetch_Site="same-origin").status == 303


def test_a_peer_that_the_app_may_not_know_is_not_called(app: _App, portal: _StandIn) -> None:
    page = app.write("Hello", to="x/../y")
    assert page.status == 400
    assert "may not know that Portal" in page.text
    assert not any("call_peer" in url for _, url, _, _ in portal.asked)


def test_cards_are_there_after_a_restart(portal: _StandIn, tmp_path: Path) -> None:
    for text in ("first", "second"):
        with _Process(tmp_path / "cards.sqlite", portal.url) as app:
            app.receive(text)
            page = app.ask("GET", "/").text
    assert page.index("second") < page.index("first")


@pytest.mark.parametrize("name", ["ada", "bob", "cleo"])
@pytest.mark.parametrize("app_name", ["postcards", "files"])
def test_every_portal_has_the_app_json_of_the_apps_author(name: str, app_name: str) -> None:
    authors = _ROOT / "demo" / app_name / "app.json"
    installed = _ROOT / "config" / name / "apps" / app_name / "app.json"
    assert installed.read_bytes() == authors.read_bytes()
