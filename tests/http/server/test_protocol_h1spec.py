"""The cases that uNetworking's h1spec lists for a server of HTTP/1.1, written anew as data."""

import asyncio
from contextlib import suppress

import pytest

from tests.http.ends import Recorder, connected, listening

_GET = b"GET / HTTP/1.1\r\nHost: example.com\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: example.com\r\n"
_BAD = range(400, 500)
_GOOD = range(200, 300)
_BAD_OR_OURS = range(400, 600)

WAITS = {
    "method": b"G",
    "target, before it": b"GET ",
    "target": b"GET /hello",
    "target, behind it": b"GET /hello ",
    "version": b"GET /hello HTTP",
    "request line": b"GET /hello HTTP/1.1",
    "request line, its CR": b"GET /hello HTTP/1.1\r",
    "request line, its LF": b"GET /hello HTTP/1.1\r\n",
    "field name": b"GET /hello HTTP/1.1\r\nHos",
    "field's colon": b"GET /hello HTTP/1.1\r\nHost:",
    "field's space": b"GET /hello HTTP/1.1\r\nHost: ",
    "field value": b"GET /hello HTTP/1.1\r\nHost: localhost",
    "field, its CR": b"GET /hello HTTP/1.1\r\nHost: localhost\r",
    "field, its LF": b"GET /hello HTTP/1.1\r\nHost: localhost\r\n",
    "end, its CR": b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r",
}

ANSWERS = {
    "no version": (b"GET / \r\n\r\n", _BAD_OR_OURS),
    "Expect": (_GET + b"Expect: 100-continue\r\n\r\n", (100, *_GOOD)),
    "a request": (_GET + b"\r\n", _GOOD),
    "a tab for a space": (b"GET / HTTP/1.1\r\nhoSt:\texample.com\r\nempty:\r\n\r\n", _GOOD),
    "brackets in a name": (_GET + b"X-Invalid[]: test\r\n\r\n", _BAD),
    "no Host": (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", _BAD),
    "two Hosts": (_GET + b"Host: example.org\r\n\r\n", _BAD),
    "a huge negative length": (_GET + b"Content-Length: -%d\r\n\r\n" % 123456789**3, _BAD),
    "a negative length": (_GET + b"Content-Length: -1234\r\n\r\n", _BAD),
    "a length of letters": (_GET + b"Content-Length: abc\r\n\r\n", _BAD),
    "an empty value": (_GET + b"X-Empty-Header: \r\n\r\n", _GOOD),
    "a control byte": (_GET + b"X-Bad-Control-Char: test\x07\r\n\r\n", _BAD),
    "another version": (b"GET / HTTP/9.9\r\nHost: example.com\r\n\r\n", _BAD_OR_OURS),
    "words in front": (b"Extra lineGET / HTTP/1.1\r\nHost: example.com\r\n\r\n", _BAD_OR_OURS),
    "a CR that ends a line": (_GET + b"\rSome-Header: Test\r\n\r\n", _BAD),
    "a body": (_POST + b"Content-Length: 5\r\n\r\nhello", (*_GOOD, 404)),
    "a body in chunks": (
        _POST + b"Transfer-Encoding: chunked\r\n\r\nc\r\nHello world1\r\n0\r\n\r\n",
        _GOOD,
    ),
    "a length beside chunks": (
        _GET + b"tRANSFER-ENCODING: chunked\r\ncONTENT-LENGTH: 5\r\n\r\n",
        _BAD,
    ),
}  # fmt: skip


def test_the_list_is_whole() -> None:
    assert len(WAITS) + len(ANSWERS) == 33


@pytest.mark.parametrize("row", WAITS)
async def test_it_waits_for_the_rest(row: str) -> None:
    app = Recorder()
    async with listening(app) as listener, connected(listener.port) as link:
        await link.send(WAITS[row])
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                pytest.fail(f"it said {await link.reader.read(100)!r}")
        assert app.started == 0


@pytest.mark.parametrize("row", ANSWERS)
async def test_it_answers(row: str) -> None:
    request, expected = ANSWERS[row]
    async with listening(Recorder()) as listener, connected(listener.port) as link:
        await link.send(request)
        assert (await link.response())[0] in expected
