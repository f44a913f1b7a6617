"""The examples of RFC 9292, and the messages inside those of RFC 9458 and of Chunked OHTTP."""

import json
from pathlib import Path

import pytest

from proxy.core.binary_http.message import COMPLETE, Malformed, RequestHead, ResponseHead
from proxy.core.binary_http.reader import RequestReader, ResponseReader
from proxy.core.binary_http.writer import END, content, request_head, response_head
from tests.core.binary_http.driving import one_by_one, read

_VECTORS = Path(__file__).parents[2] / "vectors"


def _vectors(file: str) -> dict[str, bytes]:
    table = json.loads((_VECTORS / file).read_text("utf-8"))
    return {
        name: bytes.fromhex(table[name])
        for name in table
        if name.endswith(("_request", "_response", "_bhttp"))
    }


_RFC = _vectors("rfc9292.json")
_HOST = b"www.example.com"
_USER_AGENT = (b"user-agent", b"curl/7.16.3 libcurl/7.16.3 OpenSSL/0.9.7l zlib/1.2.3")
_LANGUAGE = (b"accept-language", b"en, mi")
_WITH_HOST = (_USER_AGENT, (b"host", _HOST), _LANGUAGE)
_HELLO_TXT = RequestHead(b"GET", b"https", _HOST, b"/hello.txt", (_USER_AGENT, _LANGUAGE))
_BODY = b"Hello World! My content includes a trailing CRLF.\r\n"
_FINAL = ResponseHead(
    200,
    (
        (b"date", b"Mon, 27 Jul 2009 12:28:53 GMT"),
        (b"server", b"Apache"),
        (b"last-modified", b"Wed, 22 Jul 2009 19:15:56 GMT"),
        (b"etag", b'"34aa387-d-1568eb00"'),
        (b"accept-ranges", b"bytes"),
        (b"content-length", b"51"),
        (b"vary", b"Accept-Encoding"),
        (b"content-type", b"text/plain"),
    ),
)
_INFORMATIONAL = _RFC["indeterminate_response"].index(b"\x40\xc8")
"""How far the two informational responses of the example reach."""
_TRAILER = b"\x0d\x07trailer\x04text"


def _with_authority(message: bytes) -> bytes:
    """Return the request with its Host moved to where the authority is left empty."""
    field = b"\x04host\x0f" + _HOST
    moved = message.replace(field, b"").replace(b"https\0", b"https\x0f" + _HOST)
    if message[0] == 0:
        moved = moved.replace(b"\x40\x6c", (0x406C - len(field)).to_bytes(2, "big"))
    return moved


def test_the_indeterminate_request_is_written() -> None:
    head = RequestHead(b"GET", b"https", b"", b"/hello.txt", _WITH_HOST)
    assert request_head(head) + END + bytes(10) == _RFC["indeterminate_request"]


def test_the_indeterminate_response_is_written_but_for_its_informational_ones() -> None:
    expected = b"\3" + _RFC["indeterminate_response"][_INFORMATIONAL:]
    assert response_head(_FINAL) + content(_BODY) + END == expected


@pytest.mark.parametrize("name", ["known_request", "indeterminate_request"])
def test_the_requests_are_refused_as_they_stand_for_they_have_a_host_and_no_authority(
    name: str,
) -> None:
    with pytest.raises(Malformed, match="not an authority"):
        RequestReader().feed(_RFC[name])
    only_host = _RFC[name].replace(b"https\0", b"https\x01a")
    with pytest.raises(Malformed, match="host beside the authority"):
        RequestReader().feed(only_host)


@pytest.mark.parametrize("name", ["known_request", "indeterminate_request"])
def test_the_requests_are_read_once_their_host_is_the_authority(name: str) -> None:
    message = _with_authority(_RFC[name])
    reader = RequestReader()
    assert reader.feed(message) == [_HELLO_TXT, COMPLETE]
    assert reader.end() == []
    outcome = read(RequestReader(), one_by_one(message))
    assert (outcome.heads, outcome.content, outcome.is_whole) == ([_HELLO_TXT], b"", True)


def test_the_known_request_may_lose_its_last_two_bytes() -> None:
    message = _with_authority(_RFC["known_request"])
    reader = RequestReader()
    assert reader.feed(message[:-1]) == [_HELLO_TXT]
    assert reader.end() == [COMPLETE]
    reader = RequestReader()
    assert reader.feed(message[:-2]) == [_HELLO_TXT]
    assert reader.end() == [COMPLETE]


def test_the_indeterminate_request_may_lose_eleven_bytes_but_not_its_contents_end() -> None:
    message = _with_authority(_RFC["indeterminate_request"])
    for dropped in range(12):
        assert read(RequestReader(), [message[: len(message) - dropped]]).is_whole
    # The RFC would allow a twelfth: that an empty content isn't terminated.
    assert read(RequestReader(), [message[:-12]]).error == 400


def test_the_indeterminate_response_is_read_behind_its_informational_ones() -> None:
    reader = ResponseReader(b"GET")
    assert reader.feed(_RFC["indeterminate_response"]) == [_FINAL, _BODY, COMPLETE]
    assert reader.end() == []
    outcome = read(ResponseReader(b"GET"), one_by_one(_RFC["indeterminate_response"]))
    assert (outcome.heads, outcome.content, outcome.is_whole) == ([_FINAL], _BODY, True)


def test_the_known_response_is_refused_for_its_trailer_and_read_without() -> None:
    message = _RFC["known_response"]
    assert message.endswith(_TRAILER)
    with pytest.raises(Malformed, match="trailers"):
        ResponseReader(b"GET").feed(message)
    for rest in (b"", b"\0", bytes(99)):
        outcome = read(ResponseReader(b"GET"), [message.removesuffix(_TRAILER) + rest])
        assert outcome.heads == [ResponseHead(200, ())]
        assert outcome.content == b"This content contains CRLF.\r\n"
        assert outcome.is_whole


@pytest.mark.parametrize("file", ["rfc9458.json", "chunked_ohttp.json"])
def test_messages_cut_behind_their_control_data_are_read_at_their_end(file: str) -> None:
    vectors = _vectors(file)
    request = RequestReader()
    assert request.feed(vectors["request_bhttp"]) == []
    head = RequestHead(b"GET", b"https", b"example.com", b"/", ())
    assert request.end() == [head, COMPLETE]
    response = ResponseReader(b"GET")
    assert response.feed(vectors["response_bhttp"]) == []
    assert response.end() == [ResponseHead(200, ()), COMPLETE]


@pytest.mark.parametrize("file", ["rfc9458.json", "chunked_ohttp.json"])
def test_the_same_messages_are_written_in_our_form(file: str) -> None:
    """Of known length there: but for the framing indicator, control data is the same."""
    vectors = _vectors(file)
    head = RequestHead(b"GET", b"https", b"example.com", b"/", ())
    assert request_head(head) + END == b"\2" + vectors["request_bhttp"][1:] + bytes(3)
    response = response_head(ResponseHead(200, ())) + END
    assert response == b"\3" + vectors["response_bhttp"][1:] + bytes(3)
