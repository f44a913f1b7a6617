"""A clock that is wrong is told as such, also where TLS fails before anything could be proven."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from proxy.cli.ping_clock import is_about_time, whose_clock
from proxy.core.http.origin import Origin
from proxy.http.upstream import Destination
from tests.certificates import authority
from tests.cli.remote_portals import Fixed
from tests.wire.harness.raw import response

if TYPE_CHECKING:
    import socket
    from pathlib import Path

HOST = "bob.example"


class _Dated(Fixed):
    """A web server with TLS that has no document, and tells the time by its ``Date``."""

    def __init__(self, folder: Path, answered: bytes, *, begins: float, ends: float) -> None:
        certificate, key = authority().issue(HOST, begins=begins, ends=ends)
        file = folder / "pair.pem"
        file.write_bytes(certificate + key)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(file)
        super().__init__(answered)

    def handle(self, accepted: socket.socket) -> None:
        with self._tls.wrap_socket(accepted, server_side=True) as opened:
            super().handle(opened)


def _asked(folder: Path, date: str, *, begins: float = -60, ends: float = 3600) -> str:
    dated = response(404, ("Date", date), ("Server", "nginx"))
    with ExitStack() as stack:
        server = stack.enter_context(_Dated(folder, dated, begins=begins, ends=ends))
        to = Destination(Origin("https", HOST, 443), ("127.0.0.1", server.port))
        return asyncio.run(whose_clock(to, 20))


@pytest.mark.parametrize(
    "date", ["", "yesterday", "\xff", "Mon, 01 Jan 99999 00:00:00 GMT", "Tue, 32 Jan 2030 00:00:00"]
)
def test_a_date_that_cannot_be_read_tells_nothing(tmp_path: Path, date: str) -> None:
    assert _asked(tmp_path, date) == ""


def test_another_time_there_is_told_with_both(tmp_path: Path) -> None:
    told = _asked(tmp_path, "Tue, 01 Jan 2030 00:00:00 GMT")
    assert told.startswith("One of the two clocks is wrong: here it is 20")
    assert told.endswith("there 2030-01-01 00:00:00 UTC by its web server's Date.")


def test_where_their_certificate_fits_their_time_it_is_this_clock(tmp_path: Path) -> None:
    years = 20 * 366 * 86_400
    told = _asked(tmp_path, "Tue, 01 Jan 2030 00:00:00 GMT", begins=-years, ends=years)
    assert told.startswith("The clock of this machine seems to be wrong")


def test_nobody_there_tells_nothing() -> None:
    to = Destination(Origin("https", HOST, 443), ("127.0.0.1", 1))
    assert asyncio.run(whose_clock(to, 20)) == ""


def test_only_what_tls_says_of_time_is_about_it() -> None:
    error = ssl.SSLCertVerificationError()
    for code, expected in ((9, True), (10, True), (18, False), (62, False)):
        error.verify_code = code
        assert is_about_time(error) is expected
    assert not is_about_time(OSError())
    assert not is_about_time(None)
