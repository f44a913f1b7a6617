"""The gateway against senders that seal whatever they like, and those who can't seal at all."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from proxy.core.binary_http.message import RequestHead
from proxy.core.binary_http.varint import varint
from proxy.core.binary_http.writer import END, content, request_head
from proxy.core.sealing.chunks import LARGEST_CHUNK
from proxy.core.sealing.envelope import CHUNKED_REQUEST, GATEWAY
from proxy.core.sealing.hpke import Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.signature.digest import content_digest
from proxy.core.signature.request import Recipient
from tests.patience import soon
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.raw import Raw, RawConnection, exchange, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.sealer import OUTER, Sender, offered_by
from tests.wire.harness.signer import sign_call

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import World

KEY_PROBLEM = "https://iana.org/assignments/http-problem-types#ohttp-key"


@pytest.fixture(scope="module")
def config(cast: World) -> KeyConfig:
    """Give the key that Bob offers."""
    return offered_by(cast.bob)


def cleo(world: World, config: KeyConfig, **changes: int | Aead) -> Sender:
    return Sender(world.cleo, world.bob, config=config, **changes)  # type: ignore[arg-type]


# --- what isn't an envelope ----------------------------------------------------------------


def test_anybody_may_ask_for_the_key_and_it_is_the_one_in_the_document(world: World) -> None:
    host = ("Host", world.bob.host)
    got = world.bobs(request("GET", GATEWAY, host))
    document = world.bobs(request("GET", "/.well-known/portal-identity", host)).json()
    assert got.one("content-type") == b"application/ohttp-keys"
    (offer,) = document["sealing_keys"]
    assert got.body[2:] == offered_by(world.bob).serialise()
    assert int.from_bytes(got.body[:2], "big") == len(got.body) - 2
    assert offer["until"] > time.time()
    assert document["largest_chunk"] == LARGEST_CHUNK
    assert document["modes"] == ["sealed", "signed"]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "post"])
def test_no_other_method_is_served(world: World, method: str) -> None:
    got = world.bobs(request(method, GATEWAY, ("Host", world.bob.host), body=b""))
    assert (got.status, got.code) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "kind", [None, "", "message/ohttp-req", "message/ohttp-chunked-res", "application/json",
             "text/plain, message/ohttp-chunked-req"]
)  # fmt: skip
def test_another_media_type_is_not_looked_into(world: World, kind: str | None) -> None:
    fields = (("Content-Type", kind),) if kind is not None else ()
    got = world.bobs(request("POST", GATEWAY, ("Host", world.bob.host), *fields, body=b"x" * 99))
    assert (got.status, got.code) == (415, "not_an_envelope")


def test_the_media_type_may_have_parameters_and_the_body_a_length(
    world: World, config: KeyConfig
) -> None:
    sender = cleo(world, config)
    whole = sender.whole(sender.head("wide", b"/x"))
    kind = ("Content-Type", CHUNKED_REQUEST[1].title() + b"; x=y")
    got = world.bobs(request("POST", GATEWAY, ("Host", world.bob.host), kind, body=whole))
    assert sender.opened(got).body == b"ok"


def test_at_an_apps_host_the_path_is_the_apps_own(world: World, config: KeyConfig) -> None:
    sender = cleo(world, config)
    raw = sender.around(sender.whole(sender.head("wide", b"/x")))
    at_site = raw.replace(world.bob.host.encode(), world.bob.app_host("site").encode(), 1)
    assert world.bobs(at_site).body == b"ok"
    assert world.bob_app.request.first_line == b"POST %b HTTP/1.1" % GATEWAY
    at_wide = raw.replace(world.bob.host.encode(), world.bob.app_host("wide").encode(), 1)
    assert world.bobs(at_wide).code == "proof_required"
    elsewhere = raw.replace(world.bob.host.encode(), b"evil.example", 1)
    assert world.bobs(elsewhere).code == "misdirected"


@pytest.mark.parametrize(
    "target",
    [
        "%2e/.well-known/ohttp-gateway",
        ".well-known/ohttp-gateway/",
        ".well-known/ohttp-gateway%20",
        ".well-known/OHTTP-gateway",
    ],
)
def test_the_gateway_has_one_path(world: World, config: KeyConfig, target: str) -> None:
    sender = cleo(world, config)
    raw = sender.around(sender.whole(sender.head("wide", b"/x")))
    got = world.bobs(raw.replace(GATEWAY, b"/" + target.encode(), 1))
    assert got.status in {400, 404}
    assert world.bob_app.received == b""


# --- what can't be opened ------------------------------------------------------------------


def undecryptable(world: World, config: KeyConfig) -> Iterator[tuple[str, bytes]]:
    """Yield envelopes of which no chunk opens."""

    def sealed(given: KeyConfig = config) -> bytes:
        sender = cleo(world, given)
        return sender.whole(sender.head("wide", b"/x"))

    other = SealingKey(secrets.token_bytes(32)).public
    unknown = KeyConfig((config.key_id + 1) % 256, config.public, config.aeads)
    yield "an unknown key", sealed(unknown)
    yield "another key under this one's ID", sealed(KeyConfig(config.key_id, other, config.aeads))
    whole = sealed()
    for name, at in (("KEM", 2), ("KDF", 4), ("AEAD", 6), ("enc", 38), ("first chunk", 60)):
        yield f"another {name}", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    yield "an AEAD that is known and not the one", whole[:5] + b"\0\3" + whole[7:]
    yield "an AEAD for export alone", whole[:5] + b"\xff\xff" + whole[7:]
    yield "nothing", b""
    yield "half a header", whole[:20]
    yield "a header alone", whole[:39]
    yield "no final chunk", whole[:39] + varint(len(whole) - 40) + whole[40:]
    yield "an empty first chunk", whole[:39] + varint(16) + bytes(16)
    yield "a chunk that is too large", whole[:39] + varint(LARGEST_CHUNK + 17)
    yield "a chunk of 2^62 - 1 bytes", whole[:39] + b"\xff" * 8
    yield "noise", secrets.token_bytes(500)
    for name, enc in LOW_ORDER.items():
        yield f"enc is {name}", whole[:7] + enc + whole[39:]


_P = 2**255 - 19
LOW_ORDER = {
    "zero": bytes(32),
    "one": bytes([1]) + bytes(31),
    "of order 8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "of order 8 again": bytes.fromhex(
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"
    ),
    "p - 1": (_P - 1).to_bytes(32, "little"),
    "p": _P.to_bytes(32, "little"),
    "p + 1": (_P + 1).to_bytes(32, "little"),
    "p with the top bit": (_P + (1 << 255)).to_bytes(32, "little"),
    "zero with the top bit": (1 << 255).to_bytes(32, "little"),
}


def test_whatever_does_not_open_is_answered_alike_byte_for_byte(
    world: World, config: KeyConfig
) -> None:
    responses = {}
    for name, envelope in undecryptable(world, config):
        sender = cleo(world, config)
        got = sender.send(envelope) if envelope else sender.send()
        for request_id in got.all("x-request-id"):  # a random one, the same in the log
            got = Raw(got.head.replace(request_id, b""), got.body)
        responses[name] = got
    assert set(responses.values()) == {responses["an unknown key"]}
    got = responses["an unknown key"]
    assert (got.status, got.code) == (400, "sealing_key_unknown")
    assert got.json()["type"] == KEY_PROBLEM
    assert world.bob_app.received == b""
    assert "Traceback" not in world.bob.log


def test_the_harmless_twin_of_all_that_opens(world: World, config: KeyConfig) -> None:
    for aead in Aead:
        sender = cleo(world, config, aead=aead)
        if aead is Aead.AES_128_GCM:
            assert sender.ask(sender.head("wide", b"/x")).body == b"ok"
        else:
            assert sender.send(sender.whole(sender.head("wide", b"/x"))).status == 200
    assert len(world.bob_app.requests) == 2


# --- what opens and is refused -------------------------------------------------------------


def refused(world: World, config: KeyConfig) -> Iterator[tuple[str, Sender, bytes, int, str]]:
    """Yield heads in honest envelopes, and how they are refused, under seal."""
    nobody = secrets.token_bytes(32)
    stranger = Sender(world.mallory, world.bob, config=config)
    hidden = Sender(world.dora, world.bob, config=config)
    bob, now = world.bob, time.time()
    rows: list[tuple[str, Callable[[Sender], bytes], int, str]] = [
        ("unsigned", lambda s: s.unsigned("wide", b"/x"), 401, "proof_required"),
        ("unsigned and public", lambda s: s.unsigned("site", b"/"), 401, "proof_required"),
        ("unsigned for the Portal", lambda s: s.unsigned(None, b"/.well-known/portal-identity"),
         401, "proof_required"),
        ("another envelope", lambda s: s.head("wide", seal=nobody), 401, "wrong_envelope"),
        ("uncovered", lambda s: s.head("wide", uncovered=((b"x-a", b"1"),)), 401,
         "signature_coverage"),
        ("an identity field uncovered", lambda s: s.head(
            "wide", uncovered=((b"x-ptl-client-id", b"x"),)), 401, "signature_coverage"),
        ("seal twice", lambda s: s.head("wide", uncovered=((b"portal-seal", b":AA==:"),)), 401,
         "signature_coverage"),
        ("another app's", lambda s: s.head("wide", recipient=Recipient(bob.id, "box")), 401,
         "wrong_recipient"),
        ("another Portal's", lambda s: s.head("wide", recipient=Recipient(world.ada.id, "wide")),
         401, "wrong_recipient"),
        ("another app's host", lambda s: s.head("wide", authority=bob.app_host("box")), 401,
         "wrong_recipient"),
        ("another host", lambda s: s.head("wide", authority="wide.evil.example"), 421,
         "misdirected"),
        ("no such app", lambda s: s.head("nothing"), 404, "no_such_app"),
        ("private", lambda s: s.head("box", b"/private"), 403, "not_allowed"),
        ("dot segments", lambda s: s.head("wide", b"/peer/../x"), 400, "bad_target"),
        ("out of time", lambda s: s.head("wide", now=now - 3600), 401, "out_of_time"),
        ("ahead of time", lambda s: s.head("wide", now=now + 3600), 401, "out_of_time"),
        ("a bad digest", lambda s: s.head("wide", fields=((b"content-digest", b"md5=:AA==:"),)),
         401, "signature_malformed"),
        ("an upgrade", lambda s: s.head("wide", b"/x", fields=((b"upgrade-insecure", b"1"),),
                                        uncovered=((b"x", b"1"),)), 401, "signature_coverage"),
        ("no such page", lambda s: s.head(None, b"/nothing"), 404, "not_found"),
        ("an envelope in it", lambda s: s.head(
            None, GATEWAY, method=b"POST", fields=(CHUNKED_REQUEST,)), 405, "method_not_allowed"),
    ]  # fmt: skip
    for name, make, status, code in rows:
        sender = cleo(world, config)
        yield name, sender, make(sender), status, code
    yield "a stranger's", stranger, stranger.head("wide"), 403, "not_allowed"
    yield "hidden", hidden, hidden.head("wide"), 403, "not_allowed"


def test_what_is_refused_is_refused_under_seal_and_its_sender_alone_hears_why(
    world: World, config: KeyConfig
) -> None:
    outer = set()
    for name, sender, head, status, code in refused(world, config):
        raw = sender.send(sender.whole(head))
        outer.add((raw.comparable[0], len(raw.body)))
        got = sender.opened(raw)
        assert (got.status, got.code) == (status, code), name
        assert got.one("portal-refusal").partition(b";")[0].decode() == code
        if code == "out_of_time":
            assert abs(got.json()["now"] - time.time()) < 10
    assert world.bob_app.received == b""
    assert len(outer) == 1, "an observer can tell refusals apart"


def test_hidden_and_unknown_look_alike(world: World, config: KeyConfig) -> None:
    responses = [
        sender.ask(sender.head("wide", b"/x"))
        for key in (world.dora, world.mallory)
        for sender in [Sender(key, world.bob, config=config)]
    ]
    assert responses[0] == responses[1]


def test_an_honest_one_passes_and_a_replay_of_it_in_any_envelope_does_not(
    world: World, config: KeyConfig
) -> None:
    nonce = secrets.token_bytes(32)
    first = cleo(world, config)
    whole = first.whole(first.head("wide", b"/x", nonce=nonce))
    assert first.opened(first.send(whole)).body == b"ok"
    assert first.opened(first.send(whole)).code == "replayed"
    again = cleo(world, config)
    assert again.ask(again.head("wide", b"/y", nonce=nonce)).code == "replayed"
    signed = sign_call(world.cleo, world.bob, "wide", nonce=nonce)
    assert world.bobs(signed.raw).code == "replayed"
    other = Sender(world.dora, world.bob, config=config)
    assert other.ask(other.head("site", b"/y", nonce=nonce)).body == b"ok"
    assert len(world.bob_app.requests) == 2


def test_a_call_taken_out_of_its_envelope_goes_nowhere(world: World, config: KeyConfig) -> None:
    """Who could open it (the peer) can't pass it on as a signed call, or seal it to a third."""
    sender = cleo(world, config)
    head = sender.head("wide", b"/x")
    other = cleo(world, config)
    assert other.opened(other.send(other.whole(head))).code == "wrong_envelope"
    at_ada = Sender(world.cleo, world.ada)
    assert at_ada.opened(at_ada.send(at_ada.whole(head))).code == "misdirected"
    assert sender.ask(head).body == b"ok"


def test_the_portals_own_paths_answer_in_an_envelope(world: World, config: KeyConfig) -> None:
    for target, status, kind in (
        (b"/.well-known/portal-identity", 200, b"application/json"),
        (b"/core/public/meta/whoareyou", 200, b"application/json"),
        (GATEWAY, 200, b"application/ohttp-keys"),
    ):
        sender = cleo(world, config)
        got = sender.ask(sender.head(None, target))
        assert (got.status, got.one("content-type")) == (status, kind)
    assert world.bob_app.received == b""


def test_a_signed_request_around_an_envelope_is_none(world: World, config: KeyConfig) -> None:
    sender = cleo(world, config)
    whole = sender.whole(sender.head("wide", b"/x"))
    call = sign_call(world.cleo, world.bob, None, GATEWAY, method=b"POST",
                     fields=(CHUNKED_REQUEST,), body=whole)  # fmt: skip
    assert world.bobs(call.raw).code == "method_not_allowed"
    assert world.bob_app.received == b""


# --- sizes ---------------------------------------------------------------------------------


def test_a_chunk_above_the_limit_is_refused_before_it_is_there(
    world: World, config: KeyConfig
) -> None:
    """The head came: the refusal is sealed, and comes while the chunk is still on its way."""
    sender = cleo(world, config, largest=1 << 20)
    head = sender.head("wide", b"/x", method=b"POST")
    first = sender.sealer.header + sender.sealer.seal(head)
    for chunk in (
        varint(LARGEST_CHUNK + 1 + 16) + bytes(10),
        sender.sealer.seal(content(bytes(LARGEST_CHUNK)))[:1000],
    ):
        with RawConnection(world.bob.public) as wire:
            wire.send(request("POST", GATEWAY, ("Host", world.bob.host), *OUTER))
            for piece in (first, chunk):
                wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            assert sender.opened(wire.read()).code == "envelope_broken"


def test_the_largest_chunk_is_taken_and_a_byte_more_is_not(world: World, config: KeyConfig) -> None:
    for size, is_taken in ((LARGEST_CHUNK, True), (LARGEST_CHUNK + 1, False)):
        for final in (True, False):
            sender = cleo(world, config, largest=1 << 20)
            head = sender.head("wide", b"/x", method=b"POST")
            room = size - len(head) - len(content(bytes(1 << 15))) + (1 << 15) - len(END)
            message = head + content(bytes(room)) + END
            assert len(message) == size
            if final:
                whole = sender.sealer.header + sender.sealer.finish(message)
            else:
                whole = sender.sealer.header + sender.sealer.seal(message) + sender.sealer.finish()
            got = sender.send(whole)
            if is_taken:
                assert sender.opened(got).body == b"ok"
            else:
                assert got.code == "sealing_key_unknown"


@pytest.mark.parametrize("sized", ["value", "name", "target", "method", "many"])
def test_a_head_above_the_limit_is_refused_while_it_comes(
    world: World, config: KeyConfig, sized: str
) -> None:
    sender = cleo(world, config)
    own = world.bob.app_host("wide").encode()
    big = b"a" * 70_000
    heads = {
        "value": RequestHead(b"GET", b"http", own, b"/x", ((b"x-a", big),)),
        "name": RequestHead(b"GET", b"http", own, b"/x", ((big, b"1"),)),
        "target": RequestHead(b"GET", b"http", own, b"/" + big, ()),
        "method": RequestHead(big, b"http", own, b"/x", ()),
        "many": RequestHead(b"GET", b"http", own, b"/x", ((b"a", b""),) * 1000),
    }
    data = request_head(heads[sized])
    with RawConnection(world.bob.public) as wire:
        wire.send(request("POST", GATEWAY, ("Host", world.bob.host), *OUTER))
        for at in range(0, len(data), 2000):  # never to its end: it is refused before
            piece = (b"" if at else sender.sealer.header) + sender.sealer.seal(data[at : at + 2000])
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        got = sender.opened(wire.read())
    assert (got.status, got.code) == (431, "head_too_large")
    assert world.bob_app.received == b""


def malformed(own: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield messages that are authentic, and no HTTP."""

    def head(*fields: tuple[bytes, bytes], method: bytes = b"GET", scheme: bytes = b"http",
             authority: bytes = own, target: bytes = b"/x") -> bytes:  # fmt: skip
        return request_head(RequestHead(method, scheme, authority, target, fields))

    yield "nothing", b""
    yield "a response", b"\3\x40\xc8\0\0\0"
    yield "no authority", head(authority=b"") + END
    yield "another scheme", head(scheme=b"ftp") + END
    yield "absolute form", head(target=b"http://evil/") + END
    yield "asterisk", head(method=b"OPTIONS", target=b"*") + END
    yield "CONNECT", head(method=b"CONNECT", authority=b"evil:443", target=b"") + END
    yield "a blank in the method", head(method=b"GET /x") + END
    yield "a line break in the target", head(target=b"/x HTTP/1.1\r\nx: y") + END
    yield "a line break in the authority", head(authority=own + b"\r\nx: y") + END
    for name in (
        b"host",
        b"connection",
        b"transfer-encoding",
        b"te",
        b"trailer",
        b"upgrade",
        b"keep-alive",
        b"proxy-connection",
        b"expect",
        b":path",
        b"X-A",
        b"a b",
        b"a:",
    ):
        yield f"the field {name!r}", head((name, b"x")) + END  # fmt: skip
    for value in (b"a\r\nb: c", b"a\0", b" a", b"a ", b"\x7f"):
        yield f"the value {value!r}", head((b"x-a", value)) + END
    for value in (b"+4", b"4, 4", b"04", b"-1", b"", b"4 ", b"0x4"):
        yield f"the length {value!r}", head((b"content-length", value)) + content(b"body") + END
    yield (
        "two lengths",
        head((b"content-length", b"4"), (b"content-length", b"4")) + (content(b"body") + END),
    )
    yield "trailers", head() + b"\0" + b"\3x-a\1b\0"
    yield "no end", head()[:-1]


def test_what_is_authentic_and_no_http_is_refused_under_seal(
    world: World, config: KeyConfig
) -> None:
    for name, message in malformed(world.bob.app_host("wide").encode()):
        sender = cleo(world, config)
        got = sender.opened(sender.send(sender.sealer.header + sender.sealer.finish(message)))
        assert (got.status, got.code) == (400, "envelope_broken"), name
    assert world.bob_app.received == b""


@pytest.mark.parametrize(
    ("value", "code"), [(b"a" * 70_000, "head_too_large"), (b"a\0", "envelope_broken")]
)
def test_a_head_request_that_cannot_be_read_gets_no_content(
    world: World, config: KeyConfig, value: bytes, code: str
) -> None:
    own = world.bob.app_host("wide").encode()
    for method, has_content in ((b"HEAD", False), (b"GET", True)):
        sender = cleo(world, config)
        sender.head("wide", method=method)  # so that its reader expects what HEAD is answered
        message = request_head(RequestHead(method, b"http", own, b"/x", ((b"x-a", value),))) + END
        pieces = [message[at : at + 16_000] for at in range(0, len(message), 16_000)]
        sealed = [sender.sealer.seal(piece) for piece in pieces[:-1]]
        last = sender.sealer.finish(pieces[-1])
        got = sender.opened(sender.send(b"".join((sender.sealer.header, *sealed, last))))
        assert got.one("portal-refusal") == code.encode()
        assert bool(got.body) is has_content


@pytest.mark.parametrize(
    ("length", "body"), [(b"5", b"body"), (b"3", b"body"), (b"0", b"body"), (b"4", b"")]
)
def test_a_body_that_is_not_as_long_as_it_says_never_arrives_whole(
    world: World, config: KeyConfig, length: bytes, body: bytes
) -> None:
    sender = cleo(world, config)
    head = sender.head("wide", b"/x", method=b"POST", fields=((b"content-length", length),))
    assert sender.ask(head, body).code == "envelope_broken"
    eventually(lambda: world.ask(world.bob.id, "/next").status == 200)
    assert b"/x" not in [raw.target for raw in world.bob_app.requests]


def test_a_request_without_content_reaches_the_app_only_when_it_is_whole(
    world: World, config: KeyConfig
) -> None:
    """Its head is all of it, and the end is on its way for longer."""
    length = ((b"content-length", b"0"),)
    for fields, method in (((), b"GET"), (length, b"POST"), (length, b"GET")):
        sender = cleo(world, config)
        head = sender.head("wide", b"/x", method=method, fields=fields)
        first = sender.sealer.header + sender.sealer.seal(head + END)
        with RawConnection(world.bob.public) as wire:
            wire.send(request("POST", GATEWAY, ("Host", world.bob.host), *OUTER))
            wire.send(b"%x\r\n%b\r\n" % (len(first), first))
        world.ask(world.bob.id, "/next")
    assert {raw.target for raw in world.bob_app.requests} == {b"/next"}


def test_chunks_without_end_that_hold_nothing_cost_no_memory(
    world: World, config: KeyConfig
) -> None:
    """Zeros behind the end, by the megabyte, while the app waits for the end of its request."""
    sender = cleo(world, config)
    head = sender.head("wide", b"/x", method=b"POST")
    chunks = sender.sealer.header + sender.sealer.seal(head + content(b"body") + END)
    with RawConnection(world.bob.public) as wire:
        wire.send(request("POST", GATEWAY, ("Host", world.bob.host), *OUTER))
        wire.send(b"%x\r\n%b\r\n" % (len(chunks), chunks))
        before = world.bob.memory()
        for _ in range(60):
            crumbs = (sender.sealer.seal(b"\0") for _ in range(20))
            zeros = sender.sealer.seal(bytes(1 << 18)) + b"".join(crumbs)
            wire.send(b"%x\r\n%b\r\n" % (len(zeros), zeros))
        zeros = sender.sealer.finish(bytes(100))
        wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(zeros), zeros))
        got = sender.opened(wire.read())
        assert world.bob.memory() - before < 2 << 20
    assert got.body == b"ok"
    assert world.bob_app.request.body == b"body"


def test_empty_chunks_are_refused(world: World, config: KeyConfig) -> None:
    sender = cleo(world, config)
    head = sender.head("wide", b"/x", method=b"POST")
    first = sender.sealer.header + sender.sealer.seal(head)
    empty = varint(16) + sender.sealer._cipher.seal(b"", b"")
    got = sender.opened(sender.send(first + empty, sender.sealer.finish(END)))
    assert got.code == "envelope_broken"


# --- digests inside ------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("size", [0, 10, 300_000])
def test_a_digest_inside_is_verified_before_the_app_has_the_whole(
    world: World, config: KeyConfig, size: int, *, told: bool
) -> None:
    body = b"b" * size
    length = ((b"content-length", b"%d" % size),) if told else ()
    for good in (False, True):
        sender = cleo(world, config)
        digest = content_digest(hashlib.sha256(body if good else b"other").digest())
        head = sender.head("wide", b"/x", method=b"POST", fields=(*length, digest))
        got = sender.ask(head, body)
        if good:
            assert got.body == b"ok"
        else:
            assert (got.status, got.code) == (401, "digest_mismatch")
            world.ask(world.bob.id, "/next")
    assert [raw.target for raw in world.bob_app.requests] == [b"/next", b"/x"]
    assert world.bob_app.requests[1].body == body
    assert not world.bob_app.requests[1].all("content-digest")


# --- timing of what comes ------------------------------------------------------------------


def test_a_broken_chunk_is_noticed_though_the_sender_sends_nothing_more(
    world: World, config: KeyConfig
) -> None:
    sender = cleo(world, config)
    head = sender.head("wide", b"/x", method=b"POST")
    pieces = (sender.sealer.header + sender.sealer.seal(head), varint(100) + bytes(100))
    start = time.monotonic()
    with RawConnection(world.bob.public) as wire:
        wire.send(request("POST", GATEWAY, ("Host", world.bob.host), *OUTER))
        for piece in pieces:
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert sender.opened(wire.read()).code == "envelope_broken"
    assert time.monotonic() - start < soon(5)


def test_an_envelope_that_comes_byte_by_byte_is_opened(world: World, config: KeyConfig) -> None:
    sender = cleo(world, config)
    whole = sender.whole(sender.head("wide", b"/x", method=b"POST"), b"slow")
    got = sender.send(*(whole[at : at + 1] for at in range(len(whole))))
    assert sender.opened(got).body == b"ok"
    assert world.bob_app.request.body == b"slow"


# --- modes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "accepted"),
    [("accept: [sealed]\n", {"sealed"}), ("accept: [signed]\n", {"signed"}),
     ("", {"sealed"}), ("accept: [signed, sealed]\n", {"sealed", "signed"})],
)  # fmt: skip
def test_only_the_modes_that_the_owner_accepts_are_served(
    world: World, tmp_path: Path, settings: str, accepted: set[str]
) -> None:
    """By default sealed alone: the public address is plain http."""
    with_settings = Portal(tmp_path, "Carol", settings=settings)
    try:
        serves(world, with_settings, accepted)
    finally:
        with_settings.release()


def serves(world: World, portal: Portal, accepted: set[str]) -> None:
    """Call a Portal in both modes."""
    portal.add_app("wide", '{"v": "3.2", "port": 80, "paths": {"": {"access": "peer"}}}',
                   world.bob_app.port)  # fmt: skip
    portal.knows(contact(world.cleo.public.portal_id, "Cleo", 9, 9), apps={"wide": "all"})
    portal.start()
    document = exchange(
        portal.public, request("GET", "/.well-known/portal-identity", ("Host", portal.host))
    ).json()
    assert set(document["modes"]) == accepted
    assert bool(document["sealing_keys"]) is ("sealed" in accepted)
    signed = exchange(portal.public, sign_call(world.cleo, portal, "wide").raw)
    if "signed" in accepted:
        assert signed.body == b"ok"
    else:
        assert (signed.status, signed.code) == (403, "mode_not_accepted")
    if "sealed" in accepted:
        sender = Sender(world.cleo, portal)
        assert sender.ask(sender.head("wide", b"/x")).body == b"ok"
    else:
        keys = exchange(portal.public, request("GET", GATEWAY, ("Host", portal.host)))
        assert (keys.status, keys.code) == (404, "not_found")
        sender = Sender(world.cleo, portal, config=offered_by(world.bob))
        got = sender.send(sender.whole(sender.head("wide", b"/x")))
        assert (got.status, got.code) == (403, "mode_not_accepted")
