"""A response into an envelope: the same bytes in the same pieces as ever, and as few as can be."""

from __future__ import annotations

from contextlib import nullcontext
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from proxy.core.binary_http.message import COMPLETE, ResponseHead
from proxy.core.binary_http.reader import ResponseReader
from proxy.core.sealing.envelope import CHUNKED_RESPONSE, INCREMENTAL
from proxy.core.sealing.message import MessageOpener
from proxy.core.sealing.request import RequestOpener, RequestSealer
from proxy.http.upstream import UpstreamFailed
from proxy.inbound.response_envelope import ResponseEnvelope
from proxy.transfer.body import SMALL

from .envelope_sides import CONFIG, KEY, Outer, Sides, some_turns, whole

if TYPE_CHECKING:
    from proxy.core.http.headers import Field
    from proxy.core.sealing.response import ResponseSealer

MUCH = 9 * 1024 * 1024 + 1
"""A body behind which the padding goes out in several parts."""


def sealers() -> tuple[RequestSealer, ResponseSealer]:
    """Return the sender of a request, and what seals the response to it."""
    request = RequestSealer(CONFIG, ephemeral=b"e" * 32)
    gateway = RequestOpener(lambda _: KEY)
    gateway.feed(request.header)
    return request, gateway.response_sealer(bytes(16))


def fields_with(length: int | None) -> tuple[Field, ...]:
    own: tuple[Field, ...] = ((b"x-a", b"1"),)
    return own if length is None else (*own, (b"content-length", b"%d" % length))


class Response:
    """A response on its way to an outer request, of which ``pieces`` came."""

    def __init__(self, status: int, length: int | None, method: bytes = b"GET") -> None:
        self._request, sealer = sealers()
        self._method = method
        self.outer = Outer()
        head = ResponseHead(status, fields_with(length))
        self._envelope = ResponseEnvelope(self.outer, sealer, method, head)
        self._envelope.begin()

    def send(self, *pieces: bytes, ends: bool = True) -> None:
        """Send the pieces; the last one with the end, if it ends."""
        for at, piece in enumerate(pieces, 1):
            self._envelope.send(piece, ends=ends and at == len(pieces))

    def content(self) -> bytes:
        """Return the body that its sender gets, which must be whole."""
        assert self.outer.is_whole
        opener = MessageOpener(self._request.response_opener(), ResponseReader(self._method))
        events = [event for piece in self.outer.sent for event in opener.feed(piece)]
        events += opener.end()
        assert events.count(COMPLETE) == 1
        return b"".join(event for event in events if isinstance(event, bytes))


ROWS: dict[str, tuple[bytes, int, int | None, tuple[bytes, ...]]] = {
    "small": (b"GET", 404, 3, (b"one",)),
    "small, and its end later": (b"GET", 200, 3, (b"one", b"")),
    "small, in pieces": (b"GET", 200, 6, (b"one", b"two")),
    "behind an empty piece": (b"GET", 200, 3, (b"", b"one")),
    "empty": (b"POST", 200, 0, (b"",)),
    "large": (b"GET", 200, 3 * SMALL, (bytes(SMALL),) * 3),
    "above a chunk": (b"GET", 200, 200_000, (bytes(100_000), bytes(100_000), b"")),
    "much padding": (b"GET", 200, MUCH, (bytes(MUCH), b"")),
    "of unknown length": (b"GET", 200, None, (b"one", b"", b"two")),
    "of unknown length, and its end later": (b"GET", 200, None, (b"one", b"")),
    "of unknown length, empty": (b"GET", 200, None, (b"",)),
    "to HEAD": (b"HEAD", 200, 99_999, (b"",)),
    "to HEAD, with what isn't sent": (b"HEAD", 200, 9, (b"notsentup",)),
    "204": (b"GET", 204, None, (b"",)),
    "304": (b"GET", 304, 99_999, (b"",)),
    "short": (b"GET", 200, 3, (b"ab",)),
    "short and empty": (b"GET", 200, 1, (b"",)),
    "short and large": (b"GET", 200, 1 << 20, (bytes(SMALL), b"")),
    "long": (b"GET", 200, 3, (b"abcd",)),
    "long at its end": (b"GET", 200, 3, (b"abc", b"d")),
    "long in front of it": (b"GET", 200, 3, (b"abc", b"d", b"")),
    "a body where there is none": (b"GET", 204, None, (b"a", b"")),
}
SENT = {
    "small": (1, "7ba6c06b36e2f45cf6c0f1d1c0acf39a"),
    "small, and its end later": (1, "69c11f1373d2424de427ba2bc475e333"),
    "small, in pieces": (2, "8fb217614615865d57805d58af4fba26"),
    "behind an empty piece": (2, "cc062a6f09151efd9f2b2b385da3ce46"),
    "empty": (1, "554b9636e88d7ad45fd83db3dcf79c74"),
    "large": (3, "e724e5b7cbaa57311c015fb053a2e5eb"),
    "above a chunk": (2, "44a8960a9a439ced5de15ad1e11a7a43"),
    "much padding": (4, "7d906fd30dbcd8b51b911ebac0d0718c"),
    "of unknown length": (3, "30b9f1c686f9ec5720f940919f6393f7"),
    "of unknown length, and its end later": (3, "c3e7368ef7affb76dcd836c2ca1df070"),
    "of unknown length, empty": (2, "2313209efe25962f566c476fe7eac495"),
    "to HEAD": (1, "9874167933a8a1d05f92b412b6279977"),
    "to HEAD, with what isn't sent": (1, "74c2a5c2a0b94642e42c5dea9ab53e9e"),
    "204": (1, "217c5b22c6462a6b2d13aa2554dfc26f"),
    "304": (1, "0764ac28a226c7e74ebac2a5665832fa"),
    "short": (0, "e3b0c44298fc1c149afbf4c8996fb924"),
    "short and empty": (0, "e3b0c44298fc1c149afbf4c8996fb924"),
    "short and large": (1, "59ca8406e40aa34055fb1ce3cb485efc"),
    "long": (0, "e3b0c44298fc1c149afbf4c8996fb924"),
    "long at its end": (0, "e3b0c44298fc1c149afbf4c8996fb924"),
    "long in front of it": (0, "e3b0c44298fc1c149afbf4c8996fb924"),
    "a body where there is none": (0, "e3b0c44298fc1c149afbf4c8996fb924"),
}
"""How many pieces each row is, and a hash of them with their lengths: as ever on the wire."""

BROKEN = {name for name in ROWS if name.startswith(("short", "long", "a body"))}


@pytest.mark.parametrize("name", ROWS)
async def test_it_is_the_same_as_ever_byte_for_byte_and_piece_by_piece(name: str) -> None:
    method, status, length, pieces = ROWS[name]
    response = Response(status, length, method)
    with pytest.raises(UpstreamFailed) if name in BROKEN else nullcontext():
        response.send(*pieces)
    assert response.outer.is_whole is (name not in BROKEN)
    sent = response.outer.sent
    digest = sha256(b"".join(b"%d:%b" % (len(piece), piece) for piece in sent)).hexdigest()
    assert (len(sent), digest[:32]) == SENT[name]


async def test_a_response_that_comes_at_once_is_one_piece() -> None:
    response = Response(404, 3)
    response.send(b"one")
    assert response.outer.heads == [
        (200, (CHUNKED_RESPONSE, INCREMENTAL, (b"cache-control", b"no-store")))
    ]
    assert len(response.outer.sent) == 1
    assert response.content() == b"one"


async def test_a_response_of_unknown_length_goes_out_piece_by_piece() -> None:
    response = Response(200, None)
    assert len(response.outer.sent) == 1
    response.send(b"one", b"two", b"")
    assert len(response.outer.sent) == 1 + 2 + 1  # head, pieces, end
    assert response.content() == b"onetwo"


async def test_the_head_goes_with_the_first_piece_and_the_end_with_the_last() -> None:
    response = Response(200, 3 * SMALL)
    response.send(*[bytes(SMALL)] * 3, b"")
    assert len(response.outer.sent) == 3
    assert response.content() == bytes(3 * SMALL)


async def test_much_padding_goes_out_in_parts() -> None:
    response = Response(200, MUCH)
    response.send(bytes(MUCH), b"")
    assert max(map(len, response.outer.sent[1:])) < 1 << 18
    assert len(response.content()) == MUCH


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 304), (b"GET", 204)])
async def test_what_has_no_body_sends_none_whatever_its_length_says(
    method: bytes, status: int
) -> None:
    response = Response(status, None if status == 204 else 99_999, method)
    response.send(b"")
    assert len(response.outer.sent) == 1
    assert response.content() == b""


@pytest.mark.parametrize(
    ("pieces", "length"), [((b"ab",), 3), ((b"",), 1), ((bytes(SMALL), b""), 1 << 20)]
)
async def test_a_response_that_is_too_short_is_never_ended(
    pieces: tuple[bytes, ...], length: int
) -> None:
    response = Response(200, length)
    with pytest.raises(UpstreamFailed):
        response.send(*pieces)
    assert not response.outer.is_whole


@pytest.mark.parametrize("pieces", [(b"abcd",), (b"abc", b"d")])
@pytest.mark.parametrize("ends", [True, False])
async def test_a_response_that_is_too_long_is_never_ended(
    pieces: tuple[bytes, ...], *, ends: bool
) -> None:
    response = Response(200, 3)
    with pytest.raises(UpstreamFailed):
        response.send(*pieces, ends=ends)
    assert not response.outer.is_whole


# --- through the whole envelope ------------------------------------------------------------


async def asked() -> tuple[Sides, RequestSealer]:
    """Return the sides of a request that waits for its response, and its sender."""
    sides = Sides()
    sides.begin()
    await some_turns()
    sealer, envelope = whole()
    sides.outer.come(envelope, ends=True)
    assert sides.served.told == ["end"]
    sides.served.told.clear()
    return sides, sealer


def blocked(sides: Sides) -> bool:
    return sides.envelope.is_blocked


async def test_a_response_is_sealed_to_the_sender_of_its_request() -> None:
    sides, sealer = await asked()
    sides.envelope.send_interim(103, ())
    assert not sides.envelope.takes_interim
    assert not sides.envelope.takes_upgrade
    sides.envelope.send_head(404, [(b"x-a", b"1")])
    sides.envelope.send(b"one")
    sides.envelope.send(b"two", ends=True)
    head, *body, complete = sides.response(sealer)
    assert head == ResponseHead(404, ((b"x-a", b"1"),))
    assert body == [b"one", b"two"]
    assert complete == COMPLETE
    assert not sides.outer.is_finished
    sides.envelope.finish()
    assert sides.outer.finishes == 1


async def test_what_cannot_be_is_a_mistake() -> None:
    sides, _ = await asked()
    with pytest.raises(RuntimeError):
        sides.envelope.send(b"x")
    with pytest.raises(RuntimeError):
        sides.envelope.switch_protocols(())


async def test_a_client_that_takes_no_more_pauses_who_answers() -> None:
    sides, sealer = await asked()
    sides.outer.block_from = 2
    sides.envelope.send_head(200, ())
    assert not blocked(sides)
    sides.envelope.send(b"one")
    assert blocked(sides)
    assert sides.served.told == ["pause"]
    sides.outer.unblock()
    assert not blocked(sides)
    assert sides.served.told == ["pause", "resume"]
    sides.envelope.send(b"two", ends=True)
    assert b"".join(p for p in sides.response(sealer) if isinstance(p, bytes)) == b"onetwo"


async def test_behind_the_end_it_is_told_when_the_client_has_it_all() -> None:
    sides, _ = await asked()
    sides.outer.block_from = 1
    sides.envelope.send_head(204, ())
    sides.envelope.send(b"", ends=True)
    assert sides.outer.is_whole
    assert blocked(sides)
    sides.outer.unblock()
    assert sides.served.told == ["pause", "resume"]


async def test_padding_waits_for_the_client_and_its_end_is_told_once() -> None:
    sides, sealer = await asked()
    sides.envelope.send_head(200, fields_with(MUCH))
    sides.outer.block_from = 2
    sides.envelope.send(bytes(MUCH))
    sides.envelope.send(b"", ends=True)
    parts = 0
    while blocked(sides):
        parts += 1
        assert "resume" not in sides.served.told
        sides.outer.is_blocked = False
        sides.outer.block_from = len(sides.outer.sent) + 1
        sides.envelope.resume_response()
        if sides.outer.is_whole:
            assert blocked(sides)
            sides.outer.unblock()
    assert parts > 1
    assert sides.served.told.count("resume") == 1
    assert len(b"".join(p for p in sides.response(sealer) if isinstance(p, bytes))) == MUCH


async def test_a_response_that_is_not_what_its_head_says_is_raised_to_who_sends_it() -> None:
    sides, _ = await asked()
    sides.envelope.send_head(200, fields_with(3))
    with pytest.raises(UpstreamFailed):
        sides.envelope.send(b"ab", ends=True)
    sides.envelope.break_off()
    sides.envelope.finish()
    assert sides.outer.is_broken_off
    assert not sides.outer.is_whole
