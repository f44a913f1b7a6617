"""A response as ASGI sends it, into an envelope: as few pieces as its length allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.core.binary_http.message import COMPLETE, ResponseHead
from proxy.core.binary_http.reader import ResponseReader
from proxy.core.sealing.envelope import CHUNKED_RESPONSE, INCREMENTAL
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.message import MessageOpener
from proxy.core.sealing.request import RequestOpener, RequestSealer
from proxy.http.scope import INTERIM
from proxy.http.upstream import UpstreamFailed
from proxy.inbound.sealed_response import SealedResponse
from proxy.transfer.body import SMALL

if TYPE_CHECKING:
    from starlette.types import Message

    from proxy.core.http.headers import Field
    from proxy.core.sealing.message import Event

KEY = SealingKey(bytes(range(32)))
CONFIG = KeyConfig(7, KEY.public, (Aead.AES_128_GCM,))


class Client:
    """Whoever asked; keeps what is sent, and can open it."""

    def __init__(self, method: bytes = b"GET") -> None:
        request = RequestSealer(CONFIG, ephemeral=b"e" * 32)
        gateway = RequestOpener(lambda _: KEY)
        gateway.feed(request.header)
        self.method = method
        self.sent: list[Message] = []
        self.response = SealedResponse(self._keep, gateway.response_sealer(bytes(16)), method)
        self._opener = request.response_opener()

    async def _keep(self, message: Message) -> None:
        self.sent.append(message)

    async def gets(self, status: int, *pieces: bytes, length: int | None = None) -> None:
        """Answer with ``pieces``, then the end."""
        fields: list[Field] = [(b"x-a", b"1")]
        if length is not None:
            fields.append((b"content-length", b"%d" % length))
        await self.response({"type": "http.response.start", "status": status, "headers": fields})
        for piece in pieces:
            await self.response({"type": "http.response.body", "body": piece, "more_body": True})
        await self.response({"type": "http.response.body", "body": b""})

    def opened(self) -> list[Event]:
        """Return the events of the whole message."""
        opener = MessageOpener(self._opener, ResponseReader(self.method))
        events = [e for message in self.sent[1:] for e in opener.feed(message["body"])]
        assert not self.sent[-1].get("more_body")
        return events + opener.end()


def content_of(events: list[Event]) -> bytes:
    assert events.count(COMPLETE) == 1
    return b"".join(event for event in events if isinstance(event, bytes))


async def test_a_response_that_comes_at_once_is_one_piece() -> None:
    client = Client()
    await client.gets(404, b"one", length=3)
    start, *bodies = client.sent
    assert start["status"] == 200
    assert start["headers"] == [CHUNKED_RESPONSE, INCREMENTAL, (b"cache-control", b"no-store")]
    assert len(bodies) == 1
    events = client.opened()
    assert events[0] == ResponseHead(404, ((b"x-a", b"1"), (b"content-length", b"3")))
    assert content_of(events) == b"one"


async def test_a_response_of_unknown_length_goes_out_piece_by_piece() -> None:
    client = Client()
    await client.gets(200, b"one", b"two")
    assert len(client.sent) == 1 + 1 + 2 + 1  # start, head, pieces, end
    assert content_of(client.opened()) == b"onetwo"


async def test_the_head_goes_with_the_first_piece_and_the_end_with_the_last() -> None:
    client = Client()
    await client.gets(200, *[bytes(SMALL)] * 3, length=3 * SMALL)
    assert len(client.sent) == 1 + 3
    assert len(content_of(client.opened())) == 3 * SMALL


async def test_an_empty_first_piece_lets_the_head_go() -> None:
    client = Client()
    await client.gets(200, b"", b"one", length=3)
    assert len(client.sent) == 1 + 2
    assert content_of(client.opened()) == b"one"


async def test_much_padding_goes_out_in_parts() -> None:
    client = Client()
    size = 9 * 1024 * 1024 + 1
    await client.gets(200, bytes(size), length=size)
    assert max(len(message["body"]) for message in client.sent[2:]) < 1 << 18
    assert len(content_of(client.opened())) == size


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 304), (b"GET", 204)])
async def test_what_has_no_body_sends_none_whatever_its_length_says(
    method: bytes, status: int
) -> None:
    client = Client(method)
    await client.gets(status, length=None if status == 204 else 99_999)
    assert len(client.sent) == 2
    assert content_of(client.opened()) == b""


@pytest.mark.parametrize(("pieces", "length"), [((b"ab",), 3), ((), 1), ((bytes(SMALL),), 1 << 20)])
async def test_a_response_that_is_too_short_is_never_ended(
    pieces: tuple[bytes, ...], length: int
) -> None:
    client = Client()
    with pytest.raises(UpstreamFailed):
        await client.gets(200, *pieces, length=length)
    assert all(message.get("more_body") for message in client.sent[1:])


@pytest.mark.parametrize("pieces", [(b"abcd",), (b"abc", b"d")])
async def test_a_response_that_is_too_long_is_never_ended(pieces: tuple[bytes, ...]) -> None:
    client = Client()
    with pytest.raises(UpstreamFailed):
        await client.gets(200, *pieces, length=3)
    assert all(message.get("more_body") for message in client.sent[1:])


async def test_interim_responses_stay_here() -> None:
    client = Client()
    await client.response({"type": INTERIM, "status": 103, "headers": []})
    assert client.sent == []
    await client.gets(200, length=0)
    assert content_of(client.opened()) == b""


async def test_an_empty_piece_is_nothing_and_no_end() -> None:
    client = Client()
    await client.gets(200, b"", b"one", b"", b"two")
    assert content_of(client.opened()) == b"onetwo"


async def test_a_body_before_its_head_is_a_mistake() -> None:
    with pytest.raises(RuntimeError):
        await Client().response({"type": "http.response.body", "body": b"x", "more_body": True})
