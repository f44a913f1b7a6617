"""Peers' documents: one fetch for many who ask, kept until they expire, forgotten when told to."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxy.core.access.policy import Contact
from proxy.core.errors import Code, Refusal
from proxy.core.identity import PrivateKey
from proxy.core.identity_document import BACKDATED, LIFETIME, document_body, sign_document
from proxy.core.signature.digest import content_digest
from proxy.http.upstream import (
    ResponseReceiver,
    UpstreamExchange,
    UpstreamFailed,
    UpstreamRequest,
    UpstreamResponse,
)
from proxy.outbound.identity_documents import Directory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.core.http.headers import Field

KEY = PrivateKey(bytes(32))
PEER = Contact(KEY.public.portal_id, "Peer", "https://peer.example")
NOW = 1_750_000_000


class Response:
    """A document on the wire."""

    status = 200

    def __init__(self, now: int, name: str) -> None:
        self._body = document_body(KEY, name, "peer.example", ("sealed", "signed"))
        digest = content_digest(hashlib.sha256(self._body).digest())
        self.fields: tuple[Field, ...] = sign_document(KEY, digest, now=now)

    async def pieces(self) -> AsyncIterator[bytes]:
        yield self._body

    async def write(self, data: bytes) -> None:
        raise NotImplementedError(data)

    def write_end(self) -> None:
        raise NotImplementedError


class Peer:
    """An upstream that answers once it may, and counts who asks; its clock is ours."""

    def __init__(self) -> None:
        self.asked = 0
        self.now = NOW
        self.name = "Peer"
        self.failure: UpstreamFailed | None = None
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        assert request.to.origin.host == "peer.example"
        self.asked += 1
        self.was_asked.set()
        response = Response(self.now, self.name)
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        yield response

    def begin(self, request: UpstreamRequest, receiver: ResponseReceiver) -> UpstreamExchange:
        raise NotImplementedError(request, receiver)

    async def close(self) -> None:
        """Nothing is open."""

    def clock(self) -> float:
        return self.now


async def test_many_who_ask_at_once_cause_one_fetch_and_later_ones_none() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    found = await asyncio.gather(*(directory.document(PEER) for _ in range(50)))
    assert peer.asked == 1
    assert all(document is found[0] for document in found)
    assert await directory.document(PEER) is found[0]
    assert peer.asked == 1


async def test_when_the_first_who_asked_is_cancelled_the_others_still_get_it() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    peer.may_answer.clear()
    first, *others = [asyncio.ensure_future(directory.document(PEER)) for _ in range(5)]
    await peer.was_asked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    peer.may_answer.set()
    assert {document.name for document in await asyncio.gather(*others)} == {"Peer"}
    assert peer.asked == 1


async def test_when_all_who_asked_are_cancelled_the_next_one_finds_it() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    peer.may_answer.clear()
    asking = asyncio.ensure_future(directory.document(PEER))
    await peer.was_asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    peer.may_answer.set()
    assert (await directory.document(PEER)).name == "Peer"
    assert peer.asked == 1


async def test_a_fetch_that_fails_fails_for_all_and_the_next_one_tries_again() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    peer.failure = UpstreamFailed("down", sent=False)
    failed = await asyncio.gather(
        *(directory.document(PEER) for _ in range(5)), return_exceptions=True
    )
    assert [refusal.code for refusal in failed if isinstance(refusal, Refusal)] == (
        [Code.PEER_UNREACHABLE] * 5
    )
    assert peer.asked == 1
    peer.failure = None
    assert (await directory.document(PEER)).name == "Peer"
    assert peer.asked == 2


async def test_a_document_is_kept_until_the_second_in_which_it_expires() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    first = await directory.document(PEER)
    assert first.expires == NOW - BACKDATED + LIFETIME
    peer.now = first.expires - 1
    assert await directory.document(PEER) is first
    peer.now = first.expires
    second = await directory.document(PEER)
    assert peer.asked == 2
    assert second.expires > first.expires


async def test_one_that_is_forgotten_is_fetched_again_once() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    first = await directory.document(PEER)
    peer.name = "Renamed"
    directory.forget(PEER, first)
    found = await asyncio.gather(*(directory.document(PEER) for _ in range(5)))
    assert {document.name for document in found} == {"Renamed"}
    assert peer.asked == 2


async def test_who_forgets_late_does_not_throw_the_newer_one_away() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    first = await directory.document(PEER)
    directory.forget(PEER, first)
    second = await directory.document(PEER)
    directory.forget(PEER, first)
    assert await directory.document(PEER) is second
    assert peer.asked == 2


async def test_one_is_renewed_on_nobodys_word_once_in_ten_seconds() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    first = await directory.document(PEER)
    peer.name = "Renamed"
    found = await asyncio.gather(*(directory.renewed(PEER, first) for _ in range(5)))
    assert {document.name for document in found} == {"Renamed"}
    second = found[0]
    for passed, fetches in ((0, 2), (9, 2), (10, 3), (11, 3), (-60, 4)):
        peer.now = NOW + passed
        kept = await directory.document(PEER)
        assert (await directory.renewed(PEER, kept)).name == "Renamed"
        assert peer.asked == fetches, passed
    assert await directory.renewed(PEER, second) is await directory.document(PEER)
    assert peer.asked == 4


async def test_one_that_cannot_be_renewed_is_kept() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    first = await directory.document(PEER)
    peer.failure = UpstreamFailed("down", sent=False)
    with pytest.raises(Refusal):
        await directory.renewed(PEER, first)
    assert await directory.renewed(PEER, first) is first
    assert await directory.document(PEER) is first
    assert peer.asked == 2


async def test_two_contacts_are_renewed_each_for_itself() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    moved = replace(PEER, connect="127.0.0.1:1")
    for contact in (PEER, moved):
        await directory.renewed(contact, await directory.document(contact))
    assert peer.asked == 4


async def test_two_contacts_have_two_documents_and_a_moved_one_is_asked_anew() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    await directory.document(PEER)
    await directory.document(replace(PEER, connect="127.0.0.1:1"))
    assert peer.asked == 2


async def test_another_portals_document_is_not_taken() -> None:
    peer = Peer()
    directory = Directory(peer, peer.clock)
    other = replace(PEER, id=PrivateKey(b"x" * 32).public.portal_id)
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            await directory.document(other)
        assert caught.value.code is Code.PEER_UNTRUSTED
    assert peer.asked == 2


@pytest.mark.parametrize("shift", [-BACKDATED + 61, BACKDATED - 61])
async def test_a_clock_that_is_half_an_hour_off_still_reads_a_document(shift: int) -> None:
    peer = Peer()
    directory = Directory(peer, lambda: NOW + shift)
    assert (await directory.document(PEER)).name == "Peer"
