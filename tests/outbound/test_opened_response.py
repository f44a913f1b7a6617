"""Responses opened as they come, cut at every place: what is given out, and when."""

from __future__ import annotations

import pytest

from proxy.core.binary_http.message import ResponseHead
from proxy.core.binary_http.writer import response_head
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.message import MessageSealer
from proxy.core.sealing.request import RequestOpener, RequestSealer
from proxy.outbound.opened_response import OpenedResponse

KEY = SealingKey(bytes(range(32)))


def sealed(
    *pieces: bytes, length: int | None = None, method: bytes = b"GET"
) -> tuple[OpenedResponse, bytes]:
    """Return what opens a response, and the response."""
    config = KeyConfig(1, KEY.public, (Aead.AES_128_GCM,))
    request = RequestSealer(config, ephemeral=bytes(range(32)))
    opener = RequestOpener(lambda _: KEY)
    opener.feed(request.header)
    fields = ((b"content-length", b"%d" % length),) if length is not None else ()
    message = MessageSealer(
        opener.response_sealer(bytes(16)), response_head(ResponseHead(200, fields))
    )
    envelope = message.flush()
    for piece in pieces:
        message.add(piece)
        envelope += message.flush()
    return OpenedResponse(request, method), envelope + message.end()


def given_out(response: OpenedResponse) -> bytes:
    found = b""
    while (piece := response.next_piece()) is not None:
        found += piece
    return found


@pytest.mark.parametrize("length", [None, 6])
def test_cut_anywhere_it_is_whole_only_with_its_end(length: int | None) -> None:
    size = len(sealed(b"ans", b"wer", length=length)[1])
    for cut in range(size + 1):
        response, envelope = sealed(b"ans", b"wer", length=length)
        assert response.receive(envelope[:cut], ends=False) == ""
        before = given_out(response)
        assert not response.is_over
        assert len(before) <= (5 if length else 6)
        assert response.receive(envelope[cut:], ends=True) == ""
        assert before + given_out(response) == b"answer"
        assert response.is_over


def test_cut_short_anywhere_it_is_never_whole() -> None:
    for length in (None, 6):
        size = len(sealed(b"ans", b"wer", length=length)[1])
        for cut in range(size):
            response, envelope = sealed(b"ans", b"wer", length=length)
            assert response.receive(envelope[:cut], ends=True)
            assert not response.is_whole
            assert len(given_out(response)) <= (5 if length else 6)
            assert not response.is_over


def test_of_one_without_a_body_nothing_is_told_before_it_is_whole() -> None:
    response, envelope = sealed(length=6, method=b"HEAD")
    assert response.receive(envelope[:-1], ends=False) == ""
    assert response.head is not None
    before = response.has_begun
    assert response.receive(envelope[-1:], ends=True) == ""
    assert (before, response.has_begun, response.is_over) == (False, True, True)


@pytest.mark.parametrize("at", [0, 20, -1])
def test_a_changed_byte_is_found(at: int) -> None:
    response, envelope = sealed(b"answer")
    spoiled = bytearray(envelope)
    spoiled[at] ^= 1
    assert response.receive(bytes(spoiled), ends=True)
    assert not response.is_whole
