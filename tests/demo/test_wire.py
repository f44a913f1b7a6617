"""The relay between two proxies, as a real process, and what its record is read as."""

import base64
import json
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from demo.stage import DemoError
from demo.wire import Exchange, exchanges, marks_in
from tests.patience import PATIENCE

_RELAY = Path(__file__).resolve().parents[2] / "demo" / "relay.py"
_ANSWER = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n\r\nok"
_CARD = b"POST /card HTTP/1.1\r\nhost: bob\r\ncontent-length: 5\r\n\r\nHello"


class _Answering(socketserver.BaseRequestHandler):
    """Answers a card that is whole, and then the next one on the same connection."""

    def handle(self) -> None:
        came = b""
        while piece := self.request.recv(65536):
            came += piece
            if came == _CARD:
                self.request.sendall(_ANSWER)
                came = b""


@pytest.fixture
def target() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


def _connection(port: int, relay: "subprocess.Popen[bytes]") -> socket.socket:
    while relay.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        except ConnectionRefusedError:
            continue
    pytest.fail("the relay has ended")


def _send_card(wire: socket.socket, *pieces: bytes) -> None:
    for piece in pieces:
        wire.sendall(piece)
    response = b""
    while len(response) < len(_ANSWER):
        response += wire.recv(65536)
    assert response == _ANSWER


def test_the_relay_passes_all_on_and_writes_both_directions_down(target: int) -> None:
    port = _free_port()
    relay = subprocess.Popen(
        [sys.executable, str(_RELAY), str(port), f"127.0.0.1:{target}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with _connection(port, relay) as one, _connection(port, relay) as other:
        _send_card(one, _CARD)
        _send_card(other, _CARD[:30], _CARD[30:])
        _send_card(one, _CARD)
    record, _ = relay.communicate(timeout=PATIENCE)  # ends its standard input, and so the relay
    whole = Exchange("127.0.0.1", _CARD, _ANSWER)
    assert exchanges(record) == [whole, whole, whole]
    assert relay.returncode == 0


def _line(piece: bytes, *, asked: bool) -> bytes:
    encoded = base64.b64encode(piece).decode()
    told = {"connection": 1, "from": "10.0.0.1", "asked": asked, "piece": encoded}
    return json.dumps(told).encode() + b"\n"


def test_an_exchange_is_told_as_who_carried_it_saw_it() -> None:
    sealed = bytes(range(128, 228))
    head = b"POST /gate HTTP/1.1\r\nhost: bob\r\ntransfer-encoding: chunked\r\n"
    body = b"content-type: message/x\r\n\r\n64\r\n" + sealed + b"\r\n0\r\n\r\n"
    [exchange] = exchanges(_line(head + body, asked=True) + _line(_ANSWER, asked=False))
    assert exchange.is_whole
    assert (exchange.request_body, exchange.response_body) == (sealed, b"ok")
    assert exchange.told() == [
        "-> POST /gate",
        f"   100 bytes of message/x: {sealed[:20].hex(' ', 4)} ...",
        "<- 201",
        "   2 bytes of text/plain: ok",
    ]


@pytest.mark.parametrize("missing", range(1, 20, 6))
def test_an_exchange_without_its_end_is_not_whole(missing: int) -> None:
    [no_response] = exchanges(_line(_CARD, asked=True))
    [half_asked] = exchanges(_line(_CARD[:-missing], asked=True))
    record = _line(_CARD, asked=True) + _line(_ANSWER[:-missing], asked=False)
    [half_answered] = exchanges(record)
    assert not any(each.is_whole for each in (no_response, half_asked, half_answered))


def test_a_line_that_is_being_written_waits() -> None:
    record = _line(_CARD, asked=True) + _line(_ANSWER, asked=False)
    assert exchanges(record[:-1]) == exchanges(_line(_CARD, asked=True))
    assert exchanges(record[:5]) == []


@pytest.mark.parametrize("line", [b"{}\n", b"[1]\n", b"Traceback\n"])
def test_a_record_of_something_else_is_an_error(line: bytes) -> None:
    with pytest.raises(DemoError, match="can't be read"):
        exchanges(line)


def test_a_mark_is_found_in_any_of_its_forms() -> None:
    marks = {"the key": (b"\x01\x02", b"AQI"), "the card": (b"Hello",), "the app": (b"cards",)}
    assert marks_in(b"..AQI..Hello", marks) == ["the key", "the card"]
    assert marks_in(b"..Hell", marks) == []
