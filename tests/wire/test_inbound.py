"""Who gets to which path of an app, and what the app is told of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from .harness.raw import Raw, Wire, answer, chunked, request
from .harness.recorder import eventually
from .harness.signer import SignedCall, sign_call

if TYPE_CHECKING:
    from .conftest import World


def stranger(world: World, app: str, target: str, *fields: tuple[str, str]) -> Raw:
    """Ask an app of Bob's without any proof."""
    return world.bobs(request("GET", target, ("Host", world.bob.app_host(app)), *fields))


TABLE = [
    # caller, app, path, status, code
    ("anonymous", "box", "/public", 200, ""),
    ("anonymous", "box", "/public/a?b", 200, ""),
    ("anonymous", "site", "/any", 200, ""),
    ("anonymous", "box", "/peer", 401, "proof_required"),
    ("anonymous", "box", "/", 401, "proof_required"),
    ("anonymous", "box", "/publicity", 401, "proof_required"),
    ("anonymous", "box", "/PUBLIC", 401, "proof_required"),
    ("anonymous", "box", "/public;x/../peer", 400, "bad_target"),
    ("anonymous", "box", "/public/%2e%2e/peer", 400, "bad_target"),
    ("anonymous", "box", "//public", 401, "proof_required"),
    ("anonymous", "nosuch", "/public", 404, "no_such_app"),
    ("cleo", "box", "/public", 200, ""),
    ("cleo", "box", "/peer", 200, ""),
    ("cleo", "box", "/peer/a?b", 200, ""),
    ("cleo", "box", "/peerage", 403, "not_allowed"),
    ("cleo", "box", "/", 403, "not_allowed"),
    ("cleo", "site", "/any", 200, ""),
    ("cleo", "nosuch", "/", 404, "no_such_app"),
    ("cleo", "box", "/peer/%2e%2e/x", 400, "bad_target"),
    ("dora", "box", "/public", 403, "not_allowed"),
    ("dora", "box", "/peer", 403, "not_allowed"),
    ("dora", "site", "/any", 200, ""),
    ("mallory", "box", "/public", 403, "not_allowed"),
    ("mallory", "box", "/peer", 403, "not_allowed"),
    ("mallory", "box", "/", 403, "not_allowed"),
    ("mallory", "site", "/any", 403, "not_allowed"),
    ("mallory", "nosuch", "/", 403, "not_allowed"),
]


@pytest.mark.parametrize(("caller", "app", "path", "status", "code"), TABLE)
def test_who_may_come_in(
    world: World, caller: str, app: str, path: str, status: int, code: str
) -> None:
    if caller == "anonymous":
        got = stranger(world, app, path)
    else:
        call = sign_call(getattr(world, caller), world.bob, app, path.encode())
        got = world.bobs(call.raw)
        assert call.believes(got, world.bob.id)  # refusals are signed too

    assert got.status == status
    if code:
        assert got.code == code
        assert got.one("portal-refusal").decode() == code
    assert len(world.bob_app.requests) == (status == 200)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "{bob}.evil.example", "x{bob}", "wide.{mallory}", "a.wide.{bob}", "{bob}:1",
        "{name}.:{port}", "wide..{bob}", "wide_x.{bob}", "{name}:0{port}", "127.0.0.1.nip.io", "",
        "wide.{bob}/public", "user@wide.{bob}", "wide.{bob} x",
    ],
)  # fmt: skip
def test_a_host_that_isnt_ours_is_misdirected(world: World, host: str) -> None:
    filled = host.format(
        bob=world.bob.host,
        name=world.bob.host.partition(":")[0],
        port=world.bob.public,
        mallory=world.mallory.public.portal_id[:6] + ".portal.localhost",
    )

    got = world.bobs(request("GET", "/", ("Host", filled)))

    assert (got.status, got.code) == (421, "misdirected")
    assert world.bob_app.connections == 0


def test_another_version_of_http_is_refused_as_such(world: World) -> None:
    for raw in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"):
        with Wire(world.bob.public) as wire:
            wire.send(raw)
            got = wire.read()
        assert (got.status, got.code) == (505, "version_unsupported")


@pytest.mark.parametrize(
    "host", ["site.{bob}", "SITE.{BOB}", "site.{name}", "site.bob.example", "site.bob.example:99"]
)
def test_every_way_to_write_our_host_is_ours(world: World, host: str) -> None:
    filled = host.format(
        bob=world.bob.host, BOB=world.bob.host.upper(), name=world.bob.host.partition(":")[0]
    )

    assert world.bobs(request("GET", "/", ("Host", filled))).status == 200
    assert world.bob_app.request.one("host").decode() == filled


@pytest.mark.parametrize("hosts", [(), ("site.bob.example", "site.bob.example"), ("a", "b")])
def test_exactly_one_host_is_needed(world: World, hosts: tuple[str, ...]) -> None:
    got = world.bobs(request("GET", "/", *(("Host", host) for host in hosts)))

    assert (got.status, got.code) == (400, "bad_request")


def test_a_browser_gets_a_page_that_tells_no_detail(world: World) -> None:
    accept = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")

    got = stranger(world, "box", "/secret-path", accept)

    assert got.status == 401
    assert got.one("content-type") == b"text/html; charset=utf-8"
    assert b"default-src 'none'" in got.one("content-security-policy")
    assert b"proof_required" in got.body
    assert b"secret-path" not in got.body
    assert got.one("cache-control") == b"no-store"


def test_no_refusal_tells_its_detail(world: World) -> None:
    call = sign_call(world.mallory, world.bob, "box", b"/peer/detail")
    for got in (stranger(world, "box", "/detail"), world.bobs(call.raw)):
        assert set(got.json()) == {"type", "title", "status", "code"}
        assert b"detail" not in got.body


def test_an_anonymous_request_passes_as_it_is(world: World) -> None:
    world.bob_app.script(
        answer(203, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=\xe4"), ("ETag", '"1"'), body=b"page")
    )
    fields = (("X-A", "1"), ("X-A", "\xe4"), ("Cookie", "a=b"), ("Accept-Encoding", "gzip"))

    got = stranger(world, "site", "/a%2Fb?b&c=%E4", *fields)

    arrived = world.bob_app.request
    assert arrived.first_line == b"GET /a%2Fb?b&c=%E4 HTTP/1.1"
    assert arrived.fields == [
        (b"host", world.bob.app_host("site").encode()),
        *((name.lower().encode(), value.encode("latin-1")) for name, value in fields),
        (b"x-ptl-client-type", b"anonymous"),
        (b"x-ptl-client-id", b""),
        (b"x-ptl-client-name", b""),
    ]
    assert (got.status, got.body) == (203, b"page")
    assert got.fields == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=\xe4"),
        (b"etag", b'"1"'),
        (b"content-length", b"4"),
    ]


def test_an_anonymous_body_streams_through_in_its_framing(world: World) -> None:
    host = ("Host", world.bob.app_host("site"))

    world.bobs(request("POST", "/", host, body=b"x" * 100_000))
    head = request("POST", "/", host, ("Transfer-Encoding", "chunked"))
    world.bobs(head + chunked(b"one", b"two", trailers=b"X-Ptl-Client-Id: evil\r\n"))

    whole, pieces = world.bob_app.requests
    assert (whole.one("content-length"), len(whole.body)) == (b"100000", 100_000)
    assert (pieces.one("transfer-encoding"), pieces.body) == (b"chunked", b"onetwo")
    assert b"evil" not in world.bob_app.received


def test_an_answer_streams_to_an_anonymous_client_in_its_framing(world: World) -> None:
    framing = ("Transfer-Encoding", "chunked")
    world.bob_app.script(answer(200, framing, body=None) + chunked(b"one", b"two"))
    assert stranger(world, "site", "/").body == b"onetwo"

    world.bob_app.script(answer(200, body=None) + b"until the end", close=True)
    assert stranger(world, "site", "/").body == b"until the end"

    world.bob_app.script(answer(304, ("Content-Length", "9"), body=None))
    assert stranger(world, "site", "/").one("content-length") == b"9"


def test_an_answer_that_breaks_off_never_looks_whole(world: World) -> None:
    host = world.bob.app_host("site")
    for head in (("Content-Length", "1000"), ("Transfer-Encoding", "chunked")):
        world.bob_app.script(answer(200, head, body=None) + b"5\r\nhello\r\n", close=True)
        with Wire(world.bob.public) as wire:
            wire.send(request("GET", "/", ("Host", host)))
            got = wire.rest()
        assert b"hello" in got
        assert not got.endswith(b"0\r\n\r\n")


FORGED = [
    "X-Ptl-Client-Id", "x-ptl-client-type", "X_Ptl_Client_Id", "X.Ptl.Client.Id",
    "x-PTL-client-name", "X-Ptl-Anything", "X_PTL_NEW", "X~Ptl~Client~Id", "Remote-User",
    "REMOTE_USER", "Remote.User", "X-Ptl-Foo", "x_host", "X'Host",
]  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_identity_field_reaches_no_app(world: World, name: str) -> None:
    stranger(world, "box", "/public", (name, "evil"), (name, "evil"), ("X-Kept", "good"))
    fields = ((name.lower().encode(), b"evil"), (b"x-kept", b"good"))
    world.bobs(sign_call(world.cleo, world.bob, "box", b"/peer", fields=fields).raw)

    anonymous, peer = world.bob_app.requests
    assert b"evil" not in world.bob_app.received
    assert anonymous.one("x-kept") == peer.one("x-kept") == b"good"
    assert anonymous.one("x-ptl-client-type") == b"anonymous"
    assert anonymous.one("x-ptl-client-id") == b""
    assert anonymous.one("remote-user") == b"guest"
    assert peer.one("x-ptl-client-type") == b"peer"
    assert peer.one("x-ptl-client-id").decode() == world.cleo.public.portal_id
    assert peer.one("remote-user") == b"peer Cleo"
    assert peer.one("x-ptl-foo").decode() == f"{world.bob.id[:6]}@example.com"
    assert peer.one("x-host").decode() == world.bob.host.partition(":")[0]


def test_connection_cant_remove_what_we_say(world: World) -> None:
    options = "X-Ptl-Client-Id, x-ptl-client-type, Host, Remote-User, X-Gone"

    stranger(world, "box", "/public", ("Connection", options), ("X-Gone", "1"))

    arrived = world.bob_app.request
    assert arrived.one("x-ptl-client-type") == b"anonymous"
    assert arrived.one("remote-user") == b"guest"
    assert arrived.one("host").decode() == world.bob.app_host("box")
    assert arrived.all("x-gone") == []


def test_intermediaries_fields_are_dropped(world: World) -> None:
    for name in ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via"):
        stranger(world, "site", "/", (name, "evil"))
    assert b"evil" not in world.bob_app.received
    assert len(world.bob_app.requests) == 5


def test_a_strangers_own_signature_is_for_the_app(world: World) -> None:
    fields = (
        (
            "Signature",
            'keyId="https://a.example/u#main-key",headers="(request-target)",signature="x"',
        ),
        ("Signature-Input", 'sig1=("date");keyid="k";tag="somebody-elses"'),
        ("Content-Digest", "sha-256=:x:"),
        ("Digest", "SHA-256=x"),
    )

    assert stranger(world, "site", "/inbox", *fields).status == 200

    arrived = world.bob_app.request
    for name, value in fields:
        assert arrived.one(name.lower()).decode() == value


def test_the_protocols_own_fields_reach_no_app(world: World) -> None:
    for name in ("Portal-Token", "Portal-Refusal", "Portal-App-Signature", "portal_app_signature"):
        stranger(world, "site", "/", (name, "evil"))
    assert b"evil" not in world.bob_app.received
    assert len(world.bob_app.requests) == 4


def test_no_field_of_a_signature_reaches_the_app(world: World) -> None:
    world.bobs(sign_call(world.cleo, world.bob, "wide", b"/", fields=((b"x-a", b"1"),)).raw)

    names = [name for name, _ in world.bob_app.request.fields]
    assert names == [
        b"host",
        b"x-a",
        b"x-ptl-client-type",
        b"x-ptl-client-id",
        b"x-ptl-client-name",
    ]


def with_field(line: bytes) -> Callable[[SignedCall], bytes]:
    return lambda call: call.raw.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n", 1)


def changed(old: bytes, new: bytes) -> Callable[[SignedCall], bytes]:
    def spoil(call: SignedCall) -> bytes:
        assert old in call.raw
        return call.raw.replace(old, new, 1)

    return spoil


def without(name: bytes) -> Callable[[SignedCall], bytes]:
    def spoil(call: SignedCall) -> bytes:
        head, _, body = call.raw.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        kept = [line for line in lines if not line.startswith(name + b":")]
        assert len(kept) < len(lines)
        return b"\r\n".join(kept) + b"\r\n\r\n" + body

    return spoil


SPOILED: list[tuple[str, Callable[[SignedCall], bytes], int, str]] = [
    ("a query added", changed(b"/peer?a=1", b"/peer?a=1&admin=1"), 401, "signature_invalid"),
    ("a query taken away", changed(b"/peer?a=1", b"/peer?"), 401, "signature_invalid"),
    ("another path", changed(b"/peer?", b"/peer/x?"), 401, "signature_invalid"),
    ("another method", changed(b"POST", b"PUT"), 401, "signature_invalid"),
    ("a field changed", changed(b"x-a: 1", b"x-a: 2"), 401, "signature_invalid"),
    ("a field twice", with_field(b"X-A: 1"), 401, "signature_coverage"),
    ("a field taken away", without(b"x-a"), 401, "signature_coverage"),
    ("no signature", without(b"signature"), 401, "signature_malformed"),
    ("no signature-input", without(b"signature-input"), 401, "signature_malformed"),
    ("no key", without(b"portal-key"), 401, "signature_coverage"),
    ("another body", changed(b"the body", b"THE BODY"), 401, "digest_mismatch"),
    ("an app's host", changed(b"host: box.", b"host: wide."), 401, "wrong_recipient"),
    ("the portal's host", changed(b"host: box.", b"host: "), 401, "wrong_recipient"),
    ("an upgrade", with_field(b"Connection: Upgrade\r\nUpgrade: h2c"), 501, "upgrade_unsupported"),
    ("connection", with_field(b"Connection: Content-Digest"), 400, "bad_field"),
    ("a sealed field", with_field(b"Portal-Seal: :AA==:"), 401, "signature_malformed"),
]


@pytest.mark.parametrize(("spoil", "status", "code"), [row[1:] for row in SPOILED],
                         ids=[row[0] for row in SPOILED])  # fmt: skip
def test_a_spoiled_call_is_refused_and_never_taken_for_an_anonymous_one(
    world: World, spoil: Callable[[SignedCall], bytes], status: int, code: str
) -> None:
    fields = ((b"x-a", b"1"),)
    call = sign_call(
        world.cleo, world.bob, "box", b"/peer?a=1", method=b"POST", fields=fields, body=b"the body"
    )

    got = world.bobs(spoil(call))

    assert (got.status, got.code) == (status, code)
    assert world.bob_app.received == b""
    assert world.bobs(call.raw).status in {200, 409}  # the twin: as it was, it passes


def test_what_isnt_covered_is_not_forwarded(world: World) -> None:
    call = sign_call(world.cleo, world.bob, "wide")

    world.bobs(with_field(b"X-Added: evil\r\nX-Forwarded-For: evil")(call))

    assert len(world.bob_app.requests) == 1
    assert b"evil" not in world.bob_app.received


def test_a_signed_body_above_the_limit_is_refused(world: World) -> None:
    body = bytes(33 * 1024 * 1024)
    call = sign_call(world.cleo, world.bob, "wide", method=b"PUT", body=body)

    got = world.bobs(call.raw)

    assert (got.status, got.code) == (413, "too_large")
    assert call.believes(got, world.bob.id)
    assert world.bob_app.received == b""


def test_an_app_that_is_down_or_broken_is_said_to_be(world: World) -> None:
    for data in (b"not HTTP at all\r\n\r\n", b"", answer(200, ("Bad Name", "x"))):
        world.bob_app.script(data, close=True)
        assert stranger(world, "site", "/").code == "app_failed"
        call = sign_call(world.cleo, world.bob, "wide")
        got = world.bobs(call.raw)
        assert got.code == "app_failed"
        assert call.believes(got, world.bob.id)


@pytest.mark.parametrize("status", [199, 600, 999])
def test_a_status_that_cant_be_passed_on_is_a_broken_answer(world: World, status: int) -> None:
    world.bob_app.script(answer(status), close=True)

    call = sign_call(world.cleo, world.bob, "wide")

    assert stranger(world, "site", "/").code == "app_failed"
    assert world.bobs(call.raw).code == "app_failed"


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-1\r\n", b"5\nhello", b"0x5\r\nhello\r\n"])
def test_a_body_in_bad_chunks_is_never_a_whole_one(world: World, chunk: bytes) -> None:
    before = len(world.bob.log)
    framing = ("Transfer-Encoding", "chunked")
    head = request("POST", "/", ("Host", world.bob.app_host("site")), framing)
    call = sign_call(world.cleo, world.bob, "wide", method=b"POST")
    signed = with_field(b"Transfer-Encoding: chunked")(call)
    for raw in (head, signed):
        got = world.bobs(raw + b"3\r\none\r\n" + chunk + b"0\r\n\r\n")
        assert (got.status, got.code) == (400, "bad_request")
    eventually(lambda: world.bob.log.count("not a request", before) == 2)
    assert world.bob_app.requests == []


def test_two_lengths_and_a_name_with_a_blank_are_refused(world: World) -> None:
    host = ("Host", world.bob.app_host("site"))
    both = (host, ("Transfer-Encoding", "chunked"), ("Content-Length", "4"))
    for raw in (
        request("POST", "/", *both) + b"0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
        request("GET", "/", host, ("X-Ptl-Client-Id ", "evil")),
        request("GET", "http://evil/", host),
        request("GET", "private", host),
        request("OPTIONS", "*", host),
        request("GET", "/\x01", host),
        b"nonsense\r\n\r\n",
    ):
        with Wire(world.bob.public) as wire:
            wire.send(raw)
            got = wire.read()
        assert got.status == 400
        assert got.code in {"bad_request", "bad_target"}
    assert world.bob_app.connections == 0


def test_interim_responses_are_passed_on(world: World) -> None:
    early = answer("103 Early Hints", ("Link", "</a.css>; rel=preload"), body=None)
    processing = answer("102 Processing", body=None)
    world.bob_app.script(processing + early + answer(200, body=b"page"))

    with Wire(world.bob.public) as wire:
        wire.send(request("GET", "/", ("Host", world.bob.app_host("site"))))
        heads = [wire.until(b"\r\n\r\n") for _ in range(3)]
        body = wire.exactly(4)

    assert [int(head.split(b" ")[1]) for head in heads] == [102, 103, 200]
    assert b"link: </a.css>; rel=preload\r\n" in heads[1]
    assert body == b"page"
