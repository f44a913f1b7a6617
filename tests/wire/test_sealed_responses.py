"""A sealed call to a peer that answers whatever it likes, and a response cut at every place."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from proxy.core.binary_http.message import ResponseHead
from proxy.core.binary_http.varint import varint
from proxy.core.binary_http.writer import END, content, response_head
from proxy.core.sealing.chunks import LARGEST_CHUNK
from proxy.core.sealing.envelope import CHUNKED_RESPONSE
from tests.patience import soon
from tests.wire.harness.meddler import REQUEST_HEADER, envelope
from tests.wire.harness.raw import Raw
from tests.wire.harness.sealer import Opened, around, message, padded
from tests.wire.harness.signer import answer_bytes

if TYPE_CHECKING:
    from proxy.core.http.headers import Field

    from .conftest import World

Responder = Callable[[Opened], bytes]
CODES = {"GET": {"peer_untrusted", "peer_unreachable"}, "POST": {"outcome_unknown"}}


def get(world: World, method: str) -> Raw | None:
    """Return what the calling app gets, None where it breaks off."""
    try:
        return world.ask_peer(method)
    except EOFError:
        return None


def must_fail(world: World, response: Responder, name: str) -> None:
    """Make calls of both kinds, which must fail, and never with a response that looks whole."""
    for method, codes in CODES.items():
        world.peer.clear()
        world.peer.response = response
        got = get(world, method)
        if got is not None:
            assert (got.status, got.code in codes) == (502, True), (name, got)
        assert len(world.peer.asked) == 1, name


# --- inside --------------------------------------------------------------------------------


def bad_messages() -> Iterator[tuple[str, bytes]]:
    """Yield authentic messages that are no response."""

    def head(status: int = 200, *fields: Field) -> bytes:
        return response_head(ResponseHead(status, fields))

    def with_status(status: int) -> bytes:
        return b"\3" + varint(status) + b"\0"

    yield "nothing", b""
    yield "a request", b"\2\3GET\4http\1a\2/x\0\0\0"
    yield "framing of another kind", b"\4\x40\xc8\0\0\0"
    for status in (0, 99, 101, 600, 1000):
        yield f"status {status}", with_status(status) + END
    yield "only interim", with_status(103)
    yield "a hundred interim", b"\3" + (varint(103) + b"\0") * 100 + varint(200) + b"\0" + END
    for name in (
        b"connection",
        b"transfer-encoding",
        b"te",
        b"upgrade",
        b"keep-alive",
        b"trailer",
        b"proxy-connection",
        b"host",
        b"X-Upper",
        b"a b",
        b":status",
    ):
        yield f"the field {name!r}", head(200, (name, b"x")) + END  # fmt: skip
    for value in (b"a\r\nset-cookie: evil", b"a\0", b" a"):
        yield f"the value {value!r}", head(200, (b"x-a", value)) + END
    for length in (b"3", b"5", b"04", b"+4", b"4, 4", b""):
        yield (
            f"the length {length!r}",
            head(200, (b"content-length", length)) + (content(b"body") + END),
        )
    two = ((b"content-length", b"4"), (b"content-length", b"4"))
    yield "two lengths", head(200, *two) + content(b"body") + END
    yield "204 with content", head(204) + content(b"body") + END
    yield "304 with content", head(304) + content(b"body") + END
    yield "trailers", head() + content(b"body") + b"\0\3x-a\1b\0"
    yield "no end", head() + content(b"body")
    yield "cut in its content", head() + b"\x05body"
    yield "no zeros behind it", head() + content(b"body") + END + b"\0\0x"
    yield "another response behind it", head() + content(b"body") + END + head() + END
    yield "an endless head", head(200, (b"x-a", b"a" * 80_000)) + END
    yield "endless fields", head(200, *((b"a", b"b"),) * 500) + END


def test_what_the_peer_seals_and_is_no_response_is_none(sealed: World) -> None:
    for name, plaintext in bad_messages():
        must_fail(sealed, lambda opened, p=plaintext: around(opened.envelope(p)), name)  # type: ignore[misc]


def test_the_harmless_twins_are_responses(sealed: World) -> None:
    head = response_head(ResponseHead(200, ((b"content-length", b"4"),)))
    whole = content(b"bo") + content(b"dy") + END
    interim = b"\3" + (varint(103) + b"\0") * 16 + head[1:]
    known = b"\1" + head[1:3] + varint(len(head) - 4) + head[3:-1] + b"\4body"
    for plaintext in (head + whole, padded(head + whole), interim + whole, head + whole[:-1],
                      known, known + b"\0", known + bytes(99)):  # fmt: skip
        sealed.peer.clear()
        sealed.peer.response = lambda opened, p=plaintext: around(opened.envelope(p))  # type: ignore[misc]
        got = sealed.ask_peer()
        assert (got.status, got.body) == (200, b"body")


def test_head_and_empty_responses_have_no_content_whatever_they_say(sealed: World) -> None:
    length = ((b"content-length", b"4"),)
    for method, status, body in (("HEAD", 200, b""), ("HEAD", 404, b""), ("GET", 304, b"")):
        sealed.peer.clear()
        sealed.peer.response = lambda o, s=status, b=body: around(o.sealed(s, length, b))  # type: ignore[misc]
        got = sealed.ask_peer(method)
        assert (got.status, got.one("content-length"), got.body) == (status, b"4", b"")
    sealed.peer.response = lambda opened: around(opened.sealed(200, (), b"content"))
    failed = get(sealed, "HEAD")
    assert failed is None or failed.status == 502


def test_fields_of_ours_in_a_response_go_nowhere(sealed: World) -> None:
    fields = (
        (b"portal-refusal", b"not_allowed"),
        (b"portal-key", b":AA==:"),
        (b"signature", b"a=:AA==:"),
        (b"portal-app-signature", b"b=:AA==:"),
        (b"x-kept", b"1"),
        (b"portal-seal", b"x"),
    )
    sealed.peer.response = lambda opened: around(opened.sealed(200, fields))
    assert sealed.ask_peer().fields == [
        (b"signature", b"b=:AA==:"),
        (b"x-kept", b"1"),
        (b"transfer-encoding", b"chunked"),
    ]


def test_what_the_outer_response_says_beside_goes_nowhere(sealed: World) -> None:
    more = [(b"set-cookie", b"evil=1"), (b"x-evil", b"1"), (b"portal-refusal", b"replayed"),
            (b"content-encoding", b"gzip")]  # fmt: skip
    sealed.peer.response = lambda o: answer_bytes(200, [CHUNKED_RESPONSE, *more], o.sealed())
    got = sealed.ask_peer("POST")
    assert (got.status, got.body) == (200, b"from the peer")
    assert b"evil" not in got.head
    assert not got.all("content-encoding")


# --- outside -------------------------------------------------------------------------------


def outer(opened: Opened) -> Iterator[tuple[str, bytes]]:
    """Yield responses in which an honest envelope is sent in a way that is none."""
    whole = opened.sealed()
    for status in (201, 202, 206, 299, 302, 400, 404, 500):
        yield f"status {status}", answer_bytes(status, [CHUNKED_RESPONSE], whole)
    for kind in (
        b"message/ohttp-res",
        b"message/ohttp-chunked-req",
        b"text/plain",
        b"message/ohttp-chunked-res, text/plain",
    ):
        yield kind.decode(), answer_bytes(200, [(b"content-type", kind)], whole)  # fmt: skip
    yield "no type", answer_bytes(200, [], whole)
    yield "two types", answer_bytes(200, [CHUNKED_RESPONSE, CHUNKED_RESPONSE], whole)
    yield "shorter than it says", around(whole, length=len(whole) + 1)
    yield "longer than it says", around(whole, length=len(whole) - 1)
    yield "two lengths", answer_bytes(200, [CHUNKED_RESPONSE, (b"content-length", b"1")], whole)
    yield "no HTTP", whole
    yield "nothing", b""


def test_an_envelope_that_is_not_sent_as_one_is_none(sealed: World) -> None:
    names = [name for name, _ in outer(opened_once(sealed))]
    for index, name in enumerate(names):
        must_fail(sealed, lambda o, i=index: list(outer(o))[i][1], name)  # type: ignore[misc]


def opened_once(world: World) -> Opened:
    """Return a call that the peer got."""
    assert world.ask_peer().status == 200
    return world.peer.asked[-1]


def test_a_response_that_ends_with_its_connection_is_whole_by_its_final_chunk(
    sealed: World,
) -> None:
    sealed.peer.response = lambda opened: around(opened.sealed(), length=-1)
    assert sealed.ask_peer().body == b"from the peer"


def test_a_response_cut_at_any_byte_is_none(sealed: World) -> None:
    """Whether the outer framing notices it or not."""
    whole = len(opened_once(sealed).sealed())
    for at in sorted({*range(60), *range(60, whole, 97), *range(whole - 20, whole)}):
        for told in (None, -1, whole):
            sealed.peer.response = lambda o, n=at, t=told: around(o.sealed()[:n], length=t)  # type: ignore[misc]
            got = sealed.ask_peer("POST")
            assert (got.status, got.code) == (502, "outcome_unknown"), at


def test_a_call_is_answered_by_who_opened_it_alone(sealed: World) -> None:
    """The wrong nonce, the wrong key, the wrong exchange."""
    before = opened_once(sealed)
    cases: dict[str, Responder] = {
        "another exchange's": lambda _: around(before.sealed()),
        "another nonce in front": lambda o: around(secrets.token_bytes(16) + o.sealed()[16:]),
        "nobody's": lambda o: around(o.sealed()[:16] + secrets.token_bytes(1041)),
        "its own request": lambda o: around(o.outer.body),
        "the chunks of the request": lambda o: around(o.sealed()[:16] + o.outer.body[39:]),
    }
    for name, response in cases.items():
        must_fail(sealed, response, name)


def test_a_chunk_above_the_limit_ends_the_response(sealed: World) -> None:
    def response(opened: Opened, size: int) -> bytes:
        sealer = opened.opener.response_sealer(secrets.token_bytes(16), largest=1 << 20)
        head = response_head(ResponseHead(200, ()))
        body = content(bytes(size - len(head) - 4)) if size > 1 << 14 else b""
        return around(sealer.header + sealer.seal(head + body) + sealer.finish(END))

    sealed.peer.response = lambda opened: response(opened, LARGEST_CHUNK)
    assert sealed.ask_peer().status == 200
    must_fail(sealed, lambda opened: response(opened, LARGEST_CHUNK + 1), "a byte more")

    def endless(opened: Opened) -> bytes:
        sealer = opened.opener.response_sealer(secrets.token_bytes(16))
        return around(sealer.header + varint(1 << 30) + bytes(1 << 20), length=-1)

    start = time.monotonic()
    must_fail(sealed, endless, "a chunk of a gibibyte")
    assert time.monotonic() - start < soon(5)


def test_a_refusal_from_the_peer_reaches_the_app_as_it_is(sealed: World) -> None:
    problem = (b"content-type", b"application/problem+json")
    fields = (problem, (b"portal-refusal", b"not_allowed"))
    plaintext = message(403, fields, b'{"code": "not_allowed"}')
    sealed.peer.response = lambda opened: around(opened.envelope(padded(plaintext)))
    got = sealed.ask_peer("POST")
    assert (got.status, got.json()) == (403, {"code": "not_allowed"})
    assert (got.all("portal-refusal"), got.all("portal-peer-refusal")) == ([], [b"not_allowed"])


def test_a_peer_cannot_write_that_its_proxy_refused(sealed: World) -> None:
    forged = ((b"portal-peer-refusal", b"rate_limited"),)
    plaintext = message(403, forged, b'{"code": "rate_limited"}')
    sealed.peer.response = lambda opened: around(opened.envelope(padded(plaintext)))
    got = sealed.ask_peer("POST")
    assert (got.status, got.all("portal-peer-refusal")) == (403, [])


def test_a_replay_that_the_peer_proves_is_never_repeated(sealed: World) -> None:
    plaintext = message(409, ((b"portal-refusal", b"replayed"),), b"{}")
    sealed.peer.response = lambda opened: around(opened.envelope(padded(plaintext)))
    for method in ("GET", "POST"):
        sealed.peer.asked.clear()
        got = sealed.ask_peer(method)
        assert (got.status, got.code) == (502, "outcome_unknown")
        assert len(sealed.peer.asked) == 1


@pytest.mark.parametrize("largest", [16_384, 65_536, 1 << 20])
def test_no_chunk_is_sent_that_the_peer_does_not_take(sealed: World, largest: int) -> None:
    sealed.forget_peer()
    sealed.peer.largest = largest
    assert sealed.ask_peer("POST", bytes(300_000)).status == 200
    sizes = chunk_sizes(sealed.peer.asked[-1].outer.body)
    assert max(sizes) <= min(largest, LARGEST_CHUNK)
    sealed.peer.rotate()


def chunk_sizes(body: bytes) -> list[int]:
    """Return the plaintext sizes of a request's chunks."""
    return [len(chunk) - 16 for chunk in envelope(body, REQUEST_HEADER).chunks]
