"""Which bodies a server that doesn't read them could take for a request."""

import pytest

from proxy.core.http1.smuggled_request import SmuggledRequest
from tests.core.http1.driving import one_by_one

_FORGED = {
    "request": b"GET /private HTTP/1.1\r\nHost: a\r\n\r\n",
    "request_of_http_0_9": b"GET /private\r\n",
    "behind_empty_lines": b"\r\n\n\r\nGET /private\r\n",
    "behind_blanks": b" \t GET /private\r\n",
    "tabs": b"GET\t/private\tX\r\n",
    "blanks_of_python": b"GET\xa0/private\x85HTP\r\n",
    "lower_case": b"get /private\r\n",
    "odd_method": b"X-~1 /private\r\n",
    "further_in": b'{"a": 1}' * 1000 + b"GET /private HTTP/1.1\r\n\r\n" + b"x" * 1000,
    "behind_a_line": b"=\r\nGET /private HTTP/1.0\r\n\r\n",
    "a_method_alone": b"GET",
    "nothing": b"",
    "empty_lines": b"\r\n",
}
_TWINS = {
    "json": b'{"GET": "/private"}',
    "json_list": b"[1, 2]",
    "json_text": b'"GET /private"',
    "form": b"a=GET /private&b=2",
    "multipart": b"------WebKitFormBoundary7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data",
    "xml": b"<?xml version='1.0'?><propfind/>",
    "gzip": b"\x1f\x8b\x08\x00GET /private",
    "png": b"\x89PNG\r\n\x1a\n",
    "elf": b"\x7fELF GET /private",
    "long_word": b"a" * 65 + b" /private",
    "no_version": b"{}" + b" /private HTTP" * 100,
}


_LARGE = b"{}" * 2 * 1024 * 1024
"""As much as is looked through."""


def _is_likely(pieces: list[bytes]) -> bool:
    found = SmuggledRequest()
    for piece in pieces:
        found.feed(piece)
    return found.is_likely


@pytest.mark.parametrize("body", _FORGED.values(), ids=_FORGED.keys())
def test_a_body_that_could_be_a_request_is_likely_one(body: bytes) -> None:
    assert _is_likely([body])
    assert _is_likely(one_by_one(body))


@pytest.mark.parametrize("body", _TWINS.values(), ids=_TWINS.keys())
def test_a_body_that_couldn_t_is_none(body: bytes) -> None:
    assert not _is_likely([body])
    assert not _is_likely(one_by_one(body))


def test_a_large_body_counts_as_one_unseen() -> None:
    assert not _is_likely([_LARGE])
    assert _is_likely([_LARGE, b"}"])
    assert _is_likely([_LARGE + b"}"])
    assert not _is_likely([_LARGE[:-1], b"}", b""])
