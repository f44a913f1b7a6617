"""TLS on the public listener: who reads slowly gets all, whatever ends, and the log is true."""

from __future__ import annotations

import http.client
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.patience import PATIENCE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import LOOPBACK, RawConnection, request, response
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.test_tls import Secure, secure

_BODY = b"0123456789abcdef" * (9 << 15)  # 4.5 MiB
_PAUSE = 2.5
"""Seconds: more than the two in which an end has to be over where places are short."""


_SETTINGS = (
    "accept: [sealed, signed]\ntls: {certificate: tls/fullchain.pem, key: tls/privkey.pem}\n"
    "grace: 110s\n"
)
_PATIENT = _SETTINGS + "timeouts: {head: 60s}\n"
_IMPATIENT = _SETTINGS + "timeouts: {head: 60s, client_send: 5s}\n"


@pytest.fixture
def settings() -> str:
    return _PATIENT


@pytest.fixture
def gina(gina: Portal, app: Recorder) -> Portal:
    """A Portal that speaks TLS, with an app that answers with much."""
    app.script(response(200, body=_BODY))
    return secure(gina).start()


class _Slow(Secure):
    """A client whose socket takes little, and that takes an end without TLS's own for an error."""

    def __init__(self, portal: Portal) -> None:
        with _small_buffers():
            super().__init__(portal)
        self.tls.suppress_ragged_eofs = False  # type: ignore[attr-defined] # of every SSLSocket


@contextmanager
def _small_buffers() -> Iterator[None]:
    made = socket.socket.connect

    def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        made(sock, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield


def _get(portal: Portal, more: bytes = b"", version: bytes = b"1.1") -> bytes:
    host = portal.app_host("site").encode()
    return b"GET / HTTP/%b\r\nHost: %b\r\n%b\r\n" % (version, host, more)


def _outcomes(portal: Portal) -> list[tuple[object, object]]:
    return [(line["outcome"], line.get("bytes_out")) for line in portal.lines(listener="public")]


@pytest.mark.parametrize(
    "asked", [(b"Connection: close\r\n", b"1.1"), (b"", b"1.0")], ids=["close", "HTTP/1.0"]
)
def test_a_client_that_pauses_gets_all_of_it(gina: Portal, asked: tuple[bytes, bytes]) -> None:
    with _Slow(gina) as wire:
        wire.send(_get(gina, *asked))
        wire.until(b"\r\n\r\n")
        time.sleep(_PAUSE)
        assert wire.exactly(len(_BODY)) == _BODY
        assert wire.rest() == b""
    eventually(lambda: _outcomes(gina))
    assert _outcomes(gina) == [("answered", len(_BODY))]


def test_pythons_own_client_gets_all_of_what_only_the_end_bounds(
    gina: Portal, app: Recorder
) -> None:
    app.script(b"HTTP/1.0 200 OK\r\n\r\n" + _BODY, close=True)
    with _Slow(gina) as wire:
        wire.send(_get(gina, version=b"1.0"))
        time.sleep(_PAUSE)
        got = http.client.HTTPResponse(wire.tls)
        got.begin()
        assert got.read() == _BODY
    eventually(lambda: _outcomes(gina))
    assert _outcomes(gina) == [("answered", len(_BODY))]


def test_downloads_on_kept_connections_outlive_the_request_to_end(gina: Portal) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(_Slow(gina)) for _ in range(5)]
        for wire in wires:
            wire.send(_get(gina))
            wire.until(b"\r\n\r\n")
        process = gina._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        time.sleep(_PAUSE)
        for wire in wires:
            assert wire.exactly(len(_BODY)) == _BODY
        for wire in wires:
            assert wire.rest() == b""
        assert process.wait(PATIENCE) == 0
    assert _outcomes(gina) == [("answered", len(_BODY))] * 5


@pytest.mark.more
@pytest.mark.parametrize("settings", [_IMPATIENT])
def test_one_that_takes_nothing_was_not_answered(gina: Portal) -> None:
    with _Slow(gina) as wire:
        wire.send(_get(gina, b"Connection: close\r\n"))
        wire.until(b"\r\n\r\n")
        eventually(lambda: _outcomes(gina))
        with pytest.raises((EOFError, OSError)):
            wire.exactly(len(_BODY))
    assert [outcome for outcome, _ in _outcomes(gina)] == ["left"]


def _leaves(wire: RawConnection) -> None:
    wire.socket.close()


def _speaks_http(wire: RawConnection) -> None:
    wire.send(request("GET", "/", ("Host", "a")))
    assert b"HTTP/" not in wire.rest()


def _trusts_nobody(wire: RawConnection) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(wire.socket, server_hostname="a.example")


@pytest.mark.parametrize(
    ("fails", "reason"),
    [(_leaves, "left before"), (_speaks_http, "http request"), (_trusts_nobody, "unknown ca")],
)
def test_the_line_of_a_failed_handshake_says_whose_it_was_and_why(
    gina: Portal, fails: Callable[[RawConnection], None], reason: str
) -> None:
    with RawConnection(gina.public) as wire:
        fails(wire)
    said = f"no connection of {LOOPBACK} to the public listener was made: "

    eventually(lambda: any(said in line and reason in line for line in gina.log.splitlines()))
