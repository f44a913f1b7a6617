"""What somebody who sees every byte between two Portals can tell of a sealed call, and what not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from proxy.core.binary_http.writer import SMALLEST_PADDED, padding
from proxy.core.identity_document import PATH
from proxy.core.sealing.envelope import GATEWAY
from tests.wire.harness.meddler import REQUEST_HEADER, envelope
from tests.wire.harness.raw import exchange, request, response
from tests.wire.harness.recorder import eventually
from tests.wire.harness.sealer import Sender, offered_by

if TYPE_CHECKING:
    from .conftest import World

SIZE_LINE = re.compile(rb"\r\n([0-9a-f]+)\r\n")
TAG = 16


def split(raw: bytes) -> tuple[bytes, list[int]]:
    """Return a message's head, and the sizes of the pieces it came in."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    sizes = []
    while rest:
        line, _, rest = rest.partition(b"\r\n")
        sizes.append(int(line, 16))
        rest = rest[sizes[-1] + 2 :]
    return head, sizes


def shape(world: World) -> tuple[bytes, list[int]]:
    """Return what is seen of the one response on the wire, once it is whole."""
    eventually(lambda: world.meddler.answered.endswith(b"\r\n0\r\n\r\n"))
    return split(bytes(world.meddler.answered))


def watch(world: World) -> None:
    """Let Eda have Bob's document, then see all bytes that go by."""
    world.bob_app.clear()
    world.ask_sealed()
    world.bob_app.clear()
    world.meddler.clear()
    world.meddler.stream(note=True)


def test_a_refusal_looks_like_a_response(sealed: World) -> None:
    """Same head, same number of pieces, same sizes: answered or refused, and whatever for."""
    responses = {
        "ok": response(200, body=b"ok"),
        "nothing": response(200, body=b""),
        "not found by the app": response(404, ("Content-Type", "text/html"), body=b"<h1>no</h1>"),
        "no content": response(204, body=None),
        "not modified": response(304, ("ETag", '"1"'), body=None),
        "larger": response(200, ("Set-Cookie", "a=b"), body=b"x" * 700),
    }
    seen = {}
    for name, raw in responses.items():
        watch(sealed)
        sealed.bob_app.script(raw)
        sealed.ask_sealed()
        seen[name] = shape(sealed)
    for name, method, app, target, status in (
        ("a refusal", "GET", "box", "/private", 403),
        ("HEAD", "HEAD", "wide", "/x", 200),
    ):
        watch(sealed)
        sealed.bob_app.script(response(200, ("Content-Length", "9"), body=None))
        own = (("Host", "x"), ("Portal-Token", sealed.eda.token(app)))
        path = f"/internal/call_peer/{sealed.bob.id}{target}"
        got = exchange(sealed.eda.apps, request(method, path, *own))
        assert got.status == status
        seen[name] = shape(sealed)
    assert len({(head, tuple(sizes)) for head, sizes in seen.values()}) == 1, seen
    _, sizes = seen["ok"]
    assert sizes == [16 + 1 + SMALLEST_PADDED + TAG, 0]


@pytest.mark.parametrize("code", ["401", "403", "404", "421"])
def test_every_refusal_has_the_size_of_a_response(world: World, code: str) -> None:
    config = offered_by(world.bob)
    keys = {"403": world.mallory}
    sizes = set()
    for status in (code, "200"):
        sender = Sender(keys.get(status, world.cleo), world.bob, config=config)
        app = "nothing" if status == "404" else "wide"
        authority = "evil.example" if status == "421" else None
        seal = bytes(32) if status == "401" else None
        raw = sender.send(sender.whole(sender.head(app, authority=authority, seal=seal)))
        assert str(sender.opened(raw).status) == status
        sizes.add((raw.comparable[0], len(raw.body)))
    assert len(sizes) == 1


def test_nothing_of_a_call_is_readable_on_the_way(sealed: World) -> None:
    watch(sealed)
    sealed.bob_app.script(response(200, ("X-Secret-Back", "backfield"), body=b"answer-body " * 500))

    got = sealed.ask_sealed(
        "/secret-path?secret-query", ("X-Secret", "fieldvalue"), method="POST",
        body=b"request-body " * 5000,
    )  # fmt: skip

    assert got.body == b"answer-body " * 500
    seen = bytes(sealed.meddler.sent + sealed.meddler.answered).lower()
    assert len(seen) > 60_000
    hidden = (
        b"secret", b"fieldvalue", b"backfield", b"request-body", b"answer-body", b"wide",
        sealed.eda.id.encode(), sealed.eda.id[:6].encode(), b"portal-key", b"portal-to",
        b"portal-seal", b"signature", b"nonce", b"x-ptl", b"call_peer",
        sealed.eda.token("wide").encode().lower(),
    )  # fmt: skip
    for word in hidden:
        assert word not in seen, word
    assert sealed.bob_app.request.body == b"request-body " * 5000


def test_outside_of_the_envelope_all_calls_are_the_same(sealed: World) -> None:
    heads = set()
    for method, target, body in (("GET", "/", None), ("POST", "/a?b", b"x"), ("BREW", "/z", b"")):
        watch(sealed)
        sealed.ask_sealed(target, ("X-A", target), method=method, body=body)
        head, _ = split(bytes(sealed.meddler.sent))
        back, _ = shape(sealed)
        heads.add((head, back))
    (found,) = heads
    assert found[0].split(b"\r\n")[1:] == [
        b"host: " + sealed.bob.host.encode(),
        b"content-type: message/ohttp-chunked-req",
        b"incremental: ?1",
        b"transfer-encoding: chunked",
    ]
    assert found[1].split(b"\r\n")[1:] == [
        b"content-type: message/ohttp-chunked-res",
        b"incremental: ?1",
        b"cache-control: no-store",
        b"transfer-encoding: chunked",
    ]


@pytest.mark.parametrize("step", [1, 97])
def test_the_size_of_a_request_is_a_padded_one(sealed: World, step: int) -> None:
    """Few sizes for many bodies; how few is Padme's, and begins at ``SMALLEST_PADDED``."""
    sizes = set()
    bodies = range(0, 20, 1) if step == 1 else range(0, 901, step)
    for size in bodies:
        sealed.meddler.clear()
        assert sealed.ask_sealed("/x", method="POST", body=b"b" * size).status == 200
        (call,) = sealed.meddler.calls
        parts = envelope(call.body, REQUEST_HEADER)
        assert len(parts.chunks) == 1
        sizes.add(len(parts.chunks[0]) - TAG)
    for size in sizes:
        assert padding(size) == 0
    assert len(sizes) <= (2 if step == 1 else len(bodies))
    assert min(sizes) >= SMALLEST_PADDED


def test_bodies_of_the_same_padded_size_look_alike_whatever_they_are(sealed: World) -> None:
    seen = set()
    for target, fields, body in (
        ("/aaaaaaaaaaaaaaa", (), b"1234567890"),
        ("/b", (("X-A", "1"),), b"12345"),
        ("/?q=1", (), b""),
    ):
        sealed.meddler.clear()
        sealed.ask_sealed(target, *fields, method="POST", body=body)
        (call,) = sealed.meddler.calls
        seen.add((call.head, len(call.body)))
    assert len(seen) == 1


def test_two_calls_that_are_the_same_share_no_byte_but_the_header(sealed: World) -> None:
    sealed.meddler.clear()
    for _ in range(2):
        sealed.ask_sealed("/same", method="POST", body=b"same " * 100)
    one, two = (call.body for call in sealed.meddler.calls)
    assert one[:7] == two[:7]
    assert one[7:39] != two[7:39]
    shared = {one[at : at + 8] for at in range(39, len(one) - 8)} & {
        two[at : at + 8] for at in range(39, len(two) - 8)
    }
    assert shared == set()


def test_an_observer_sees_documents_and_envelopes_alone(sealed: World) -> None:
    for size in (0, 300_000):
        sealed.ask_sealed("/x", method="POST", body=bytes(size))
    assert {raw.target for raw in sealed.meddler.requests} <= {PATH, GATEWAY}
    assert {raw.first_line for raw in sealed.meddler.calls} == {b"POST %b HTTP/1.1" % GATEWAY}
