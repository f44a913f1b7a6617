"""When a sealed call may be tried again: for two reasons, once each, and within a minute."""

from __future__ import annotations

import asyncio
import hashlib
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from proxy.core.access.policy import Contact
from proxy.core.binary_http.message import RequestHead, ResponseHead
from proxy.core.binary_http.reader import RequestReader
from proxy.core.binary_http.writer import END, content, padding, response_head
from proxy.core.errors import Code, Refusal
from proxy.core.http.problem import refusal_response
from proxy.core.identity import PrivateKey
from proxy.core.identity_document import PATH, document_body, sign_document
from proxy.core.sealing.envelope import CHUNKED_RESPONSE, GATEWAY
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.message import MessageOpener
from proxy.core.sealing.offer import OfferedKey
from proxy.core.sealing.request import RequestOpener
from proxy.core.signature.digest import content_digest
from proxy.outbound.call import Call, CallContext
from proxy.outbound.identity_documents import Directory
from proxy.outbound.reachability import Reachability
from proxy.outbound.sealed import SealedTransport
from proxy.transfer.body import REPLAYABLE
from tests.outbound.exchanges import Lower

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from proxy.core.http.headers import Field
    from proxy.http.upstream import (
        ResponseReceiver,
        UpstreamExchange,
        UpstreamRequest,
        UpstreamResponse,
    )

OURS, THEIRS = PrivateKey(bytes(32)), PrivateKey(b"t" * 32)
PEER = Contact(THEIRS.public.portal_id, "Peer", "https://peer.example")
KEY = SealingKey(bytes(range(32)))
NOW = 1_750_000_000


@dataclass
class Response:
    """A response on the wire."""

    status: int
    fields: tuple[Field, ...]
    body: bytes

    async def pieces(self) -> AsyncIterator[bytes]:
        yield self.body

    async def write(self, data: bytes) -> None:
        raise NotImplementedError(data)

    def write_end(self) -> None:
        raise NotImplementedError


@dataclass
class Got:
    """A call that arrived."""

    head: RequestHead
    body: bytes
    opener: RequestOpener

    def parameter(self, name: bytes) -> bytes:
        match = re.search(
            rb";" + name + rb'="?([^;"]+)', dict(self.head.fields)[b"signature-input"]
        )
        assert match is not None
        return match[1]

    def sealed(self, status: int = 200, fields: tuple[Field, ...] = ()) -> Response:
        sealer = self.opener.response_sealer(bytes(16))
        head = response_head(ResponseHead(status, fields))
        message = head + content(b"answer") + END
        whole = sealer.header + sealer.finish(message + bytes(padding(len(message))))
        return Response(200, (CHUNKED_RESPONSE,), whole)

    def refused(self, now: int) -> Response:
        return self.sealed(401, refusal_response(Refusal(Code.OUT_OF_TIME, now=now)).fields)


def key_problem() -> Response:
    response = refusal_response(Refusal(Code.SEALING_KEY_UNKNOWN))
    return Response(response.status, response.fields, response.body)


def page(status: int) -> Response:
    """Return what a web server says that has pages of its own for errors."""
    return Response(status, ((b"content-type", b"text/html"),), b"<h1>Sorry</h1>")


class Peer:
    """An upstream that is the peer itself, at a time of the test's choice."""

    def __init__(self, response: Callable[[Got], Response]) -> None:
        self.key_id = 1
        self.now = float(NOW)
        self.documents = 0
        self.keyless = False
        self.got: list[Got] = []
        self._response = response

    @asynccontextmanager
    async def send(self, request: UpstreamRequest) -> AsyncIterator[UpstreamResponse]:
        assert request.target == PATH
        self.documents += 1
        yield self._document()

    def begin(self, request: UpstreamRequest, receiver: ResponseReceiver) -> UpstreamExchange:
        assert (request.method, request.target) == (b"POST", GATEWAY)
        exchange = Lower(request, receiver)
        if exchange.has_body:
            self._answer(exchange)
        exchange.on_body = self._answer
        return exchange

    def _answer(self, exchange: Lower) -> None:
        opener = RequestOpener(lambda _: KEY)
        reading = MessageOpener(opener, RequestReader())
        events = [e for piece in exchange.pieces for e in reading.feed(piece)] + reading.end()
        assert isinstance(events[0], RequestHead)
        body = b"".join(event for event in events if isinstance(event, bytes))
        self.got.append(Got(events[0], body, opener))
        got = self._response(self.got[-1])
        asyncio.get_running_loop().call_soon(exchange.answer, got.status, got.fields, got.body)

    async def close(self) -> None:
        """Nothing is open."""

    def clock(self) -> float:
        return self.now

    def _document(self) -> Response:
        offer = OfferedKey(
            KeyConfig(self.key_id, KEY.public, (Aead.AES_128_GCM,)), int(self.now) + 9999
        )
        offers = () if self.keyless else (offer,)
        body = document_body(THEIRS, "Peer", "peer.example", ("sealed",), offers, 1 << 16)
        digest = content_digest(hashlib.sha256(body).digest())
        return Response(200, sign_document(THEIRS, digest, now=int(self.now)), body)


async def call(
    peer: Peer,
    method: bytes = b"POST",
    body: bytes = b"body",
    directory: Directory | None = None,
) -> int | Code:
    """Make a call; return its status, or why it failed."""

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 1000):
            yield body[at : at + 1000]

    directory = Directory(peer, peer.clock) if directory is None else directory
    transport = SealedTransport(
        CallContext(OURS, peer, Reachability(directory, peer.clock), peer.clock), directory
    )
    made = Call("box", PEER, method, b"/x", (), has_body=True, size=len(body))
    try:
        async with transport.carry_out(made, pieces()) as response:
            assert b"".join([piece async for piece in response.pieces]) == b"answer"
            return response.status
    except Refusal as refusal:
        return refusal.code


def first(respond: Callable[[Got], Response], *, after: float = 0.0, count: int = 1) -> Peer:
    """Return a peer that answers ``count`` calls with ``respond``, each after so many seconds."""

    def response(got: Got) -> Response:
        peer.now += after
        return respond(got) if len(peer.got) <= count else got.sealed()

    peer = Peer(response)
    return peer


@pytest.mark.parametrize(
    ("after", "tries"), [(0.0, 2), (59.9, 2), (60.0, 1), (600.0, 1), (-1.0, 1)]
)
async def test_a_key_problem_is_worth_another_try_for_a_minute(after: float, tries: int) -> None:
    peer = first(lambda _: key_problem(), after=after)
    found = await call(peer)
    assert len(peer.got) == tries
    assert found == (200 if tries == 2 else Code.OUTCOME_UNKNOWN)
    assert peer.documents == tries


@pytest.mark.parametrize(("after", "tries"), [(0.0, 2), (59.9, 2), (60.0, 1), (-1.0, 1)])
async def test_a_wrong_clock_is_worth_another_try_for_a_minute(after: float, tries: int) -> None:
    peer = first(lambda got: got.refused(NOW + 7200), after=after)
    found = await call(peer)
    assert len(peer.got) == tries
    assert found == (200 if tries == 2 else 401)
    assert peer.documents == 1


async def test_a_further_try_is_the_same_call_in_another_envelope() -> None:
    peer = first(lambda got: got.refused(NOW + 7200))
    assert await call(peer, body=b"the body") == 200
    one, two = peer.got
    assert one.parameter(b"nonce") == two.parameter(b"nonce")
    assert one.parameter(b"created") == b"%d" % NOW
    assert two.parameter(b"created") == b"%d" % (NOW + 7200)
    assert one.opener.enc != two.opener.enc
    assert one.body == two.body == b"the body"
    assert [name for name, _ in one.head.fields] == [name for name, _ in two.head.fields]


async def test_the_time_is_believed_for_this_call_alone() -> None:
    peer = first(lambda got: got.refused(NOW + 7200))
    assert await call(peer) == 200
    assert await call(peer) == 200
    assert peer.got[-1].parameter(b"created") == b"%d" % NOW


@pytest.mark.parametrize("size", [REPLAYABLE, REPLAYABLE + 1])
async def test_only_a_body_of_which_nothing_is_forgotten_goes_again(size: int) -> None:
    fits = size <= REPLAYABLE
    peer = first(lambda _: key_problem())
    assert await call(peer, body=bytes(size)) == (200 if fits else Code.OUTCOME_UNKNOWN)
    assert [len(got.body) for got in peer.got] == [size] * (2 if fits else 1)
    peer = first(lambda got: got.refused(NOW + 7200))
    assert await call(peer, body=bytes(size)) == (200 if fits else 401)


@pytest.mark.parametrize(
    ("method", "code"), [(b"GET", Code.PEER_UNTRUSTED), (b"POST", Code.OUTCOME_UNKNOWN)]
)
async def test_there_is_no_third_try_for_the_same_reason(method: bytes, code: Code) -> None:
    peer = first(lambda _: key_problem(), count=99)
    assert await call(peer, method) is code
    assert len(peer.got) == 2


@pytest.mark.parametrize("key_first", [True, False])
async def test_each_reason_is_worth_one_try(*, key_first: bool) -> None:
    def response(got: Got) -> Response:
        if len(peer.got) == 3:
            return got.sealed()
        return key_problem() if (len(peer.got) == 1) is key_first else got.refused(NOW + 7200)

    peer = Peer(response)
    assert await call(peer) == 200
    assert len(peer.got) == 3
    assert len({got.parameter(b"nonce") for got in peer.got}) == 1


async def test_a_response_that_was_seen_before_is_never_repeated() -> None:
    fields = refusal_response(Refusal(Code.REPLAYED)).fields
    for method in (b"GET", b"POST"):
        peer = first(lambda got: got.sealed(409, fields), count=9)
        assert await call(peer, method) is Code.OUTCOME_UNKNOWN
        assert len(peer.got) == 1


async def test_a_second_try_that_is_delayed_until_it_is_out_of_time_tells_nothing() -> None:
    """The first may have been carried out: whoever forged the problem withheld the response."""

    def response(got: Got) -> Response:
        if len(peer.got) == 1:
            return key_problem()
        peer.now += 130
        return got.refused(int(peer.now))

    peer = Peer(response)
    assert await call(peer) is Code.OUTCOME_UNKNOWN
    assert len(peer.got) == 2
    peer.got.clear()
    assert await call(peer, b"GET") == 401


async def test_a_document_without_a_key_is_asked_for_again_with_the_next_call() -> None:
    peer = Peer(lambda got: got.sealed())
    directory = Directory(peer, peer.clock)
    peer.keyless = True
    for _ in range(2):
        assert await call(peer, directory=directory) is Code.NO_SEALING_KEY
    peer.keyless = False
    for _ in range(2):
        assert await call(peer, directory=directory) == 200
    assert peer.documents == 3
    assert len(peer.got) == 2


@pytest.mark.parametrize("status", [200, 201, 302, 400, 403, 404, 429, 499])
async def test_whatever_is_not_sealed_may_hide_that_the_key_is_gone(status: int) -> None:
    peer = first(lambda _: page(status))
    directory = Directory(peer, peer.clock)
    await directory.document(PEER)
    peer.key_id = 2
    assert await call(peer, directory=directory) == 200
    assert (len(peer.got), peer.documents) == (2, 2)
    assert len({got.parameter(b"nonce") for got in peer.got}) == 1


@pytest.mark.parametrize(
    ("method", "code"), [(b"GET", Code.PEER_UNTRUSTED), (b"POST", Code.OUTCOME_UNKNOWN)]
)
@pytest.mark.parametrize("keyless", [False, True])
async def test_without_another_key_it_is_not_tried_again(
    method: bytes, code: Code, *, keyless: bool
) -> None:
    peer = first(lambda _: page(404), count=99)
    directory = Directory(peer, peer.clock)
    await directory.document(PEER)
    peer.keyless = keyless
    assert await call(peer, method, directory=directory) is code
    assert (len(peer.got), peer.documents) == (1, 2)
    peer.keyless = False
    for _ in range(3):
        peer.key_id = 1
        assert await call(peer, method, directory=directory) in {code, Code.NO_SEALING_KEY}
    assert peer.documents <= 3


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_that_failed_says_nothing_about_the_key(status: int) -> None:
    peer = first(lambda _: page(status))
    directory = Directory(peer, peer.clock)
    await directory.document(PEER)
    peer.key_id = 2
    assert await call(peer, directory=directory) is Code.OUTCOME_UNKNOWN
    assert (len(peer.got), peer.documents) == (1, 1)


@pytest.mark.parametrize("second", [page(404), key_problem(), page(502)])
async def test_behind_it_is_one_further_try_and_no_third(second: Response) -> None:
    def response(got: Got) -> Response:
        del got
        peer.key_id += 1
        return page(404) if len(peer.got) == 1 else second

    peer = Peer(response)
    assert await call(peer) is Code.OUTCOME_UNKNOWN
    assert len(peer.got) == 2


async def test_a_refusal_behind_it_leaves_the_outcome_unknown_as_behind_a_key_problem() -> None:
    fields = refusal_response(Refusal(Code.NOT_ALLOWED)).fields

    def response(got: Got) -> Response:
        peer.key_id += 1
        return page(404) if len(peer.got) == 1 else got.sealed(403, fields)

    peer = Peer(response)
    assert await call(peer) is Code.OUTCOME_UNKNOWN
    assert len(peer.got) == 2


async def test_a_body_that_is_forgotten_does_not_go_again_behind_it() -> None:
    peer = first(lambda _: page(413))
    directory = Directory(peer, peer.clock)
    await directory.document(PEER)
    peer.key_id = 2
    body = bytes(REPLAYABLE + 1)
    assert await call(peer, body=body, directory=directory) is Code.OUTCOME_UNKNOWN
    assert await call(peer, body=body, directory=directory) == 200  # the new key is known now
    assert peer.documents == 2
