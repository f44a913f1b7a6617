"""Apps sign for themselves: what one signed verifies at the other, over the bytes that it got.

As ActivityPub's servers do (draft-cavage-http-signatures-12), and by RFC 9421 under labels and tags
of their own: from strangers on public paths, and from a calling app, whose proxy signs too.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from tests.wire.harness.raw import Raw, exchange, request, response

if TYPE_CHECKING:
    from .conftest import World

KEY = SigningKey(b"an app's own key, of 32 bytes in all"[:32])
BODY = b'{"type": "Create", "object": "h\xc3\xa4"}'
DATE = "Sun, 22 Nov 2026 14:00:00 GMT"
TARGET = "/inbox/a%2Fb?x=%C3%A4&y"
DRAFT = ("(request-target)", "host", "date", "digest")

Lines = tuple[tuple[str, str], ...]


def digest(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def signature(base: str) -> str:
    return base64.b64encode(KEY.sign(base.encode("latin-1")).signature).decode()


def draft_base(line: str, host: str, values: dict[str, str]) -> str:
    method, target, _ = line.split(" ")
    known = {"(request-target)": f"{method.lower()} {target}", "host": host, **values}
    return "\n".join(f"{name}: {known[name]}" for name in DRAFT)


def rfc_base(line: str, host: str, values: dict[str, str], parameters: str) -> str:
    method, target, _ = line.split(" ")
    path, _, query = target.partition("?")
    return "\n".join(
        (
            f'"@method": {method}',
            f'"@authority": {host}',
            f'"@path": {path}',
            f'"@query": ?{query}',
            f'"date": {values["date"]}',
            f'"content-digest": {values["content-digest"]}',
            f'"@signature-params": {parameters}',
        )
    )


def activity(host: str) -> Lines:
    """Return a delivery as Mastodon signs one."""
    values = {"date": DATE, "digest": f"SHA-256={digest(BODY)}"}
    value = signature(draft_base(f"POST {TARGET} HTTP/1.1", host, values))
    listed = " ".join(DRAFT)
    return (
        ("Date", DATE),
        ("Digest", values["digest"]),
        ("Content-Type", "application/activity+json"),
        (
            "Signature",
            f'keyId="https://a.example/u",algorithm="hs2019",headers="{listed}",signature="{value}"',
        ),
    )


def by_rfc(host: str) -> Lines:
    """Return a message signed by RFC 9421, twice, on lines of its own; one label is the proxy's."""
    values = {"date": DATE, "content-digest": f"sha-256=:{digest(BODY)}:"}
    parameters = (
        '("@method" "@authority" "@path" "@query" "date" "content-digest");created=1763820000'
        ';keyid="https://a.example/u#key";alg="ed25519";tag="fediverse"'
    )
    value = signature(rfc_base(f"POST {TARGET} HTTP/1.1", host, values, parameters))
    return (
        ("Date", DATE),
        ("Content-Digest", values["content-digest"]),
        ("Signature-Input", f"portal={parameters}"),
        ("Signature-Input", 'other=("date");tag="another"'),
        ("Signature", f"portal=:{value}:"),
        ("Signature", "other=:AAAA:"),
    )


def verify_activity(arrived: Raw) -> None:
    values = {name: arrived.one(name).decode() for name in ("date", "digest")}
    base = draft_base(arrived.first_line.decode(), arrived.one("host").decode(), values)
    (found,) = re.findall(rb'signature="([^"]+)"', arrived.one("signature"))
    KEY.verify_key.verify(base.encode(), base64.b64decode(found))
    assert values["digest"] == f"SHA-256={digest(arrived.body)}"


def verify_by_rfc(arrived: Raw) -> None:
    values = {name: arrived.one(name).decode() for name in ("date", "content-digest")}
    parameters, other = (line.partition(b"=")[2] for line in arrived.all("signature-input"))
    host = arrived.one("host").decode()
    base = rfc_base(arrived.first_line.decode(), host, values, parameters.decode())
    value, second = arrived.all("signature")
    KEY.verify_key.verify(base.encode(), base64.b64decode(value.removeprefix(b"portal=")[1:-1]))
    assert (other, second) == (b'("date");tag="another"', b"other=:AAAA:")
    assert values["content-digest"] == f"sha-256=:{digest(arrived.body)}:"


FORMS = pytest.mark.parametrize(
    ("sign", "verify"), [(activity, verify_activity), (by_rfc, verify_by_rfc)],
    ids=["the draft", "the RFC"],
)  # fmt: skip


def as_a_stranger(world: World, lines: Lines) -> Raw:
    host = ("Host", world.bob.app_host("site"))
    return world.bobs(request("POST", TARGET, host, *lines, body=BODY))


def called(world: World, mode: str, lines: Lines) -> Raw:
    caller = world.eda if mode == "sealed" else world.ada
    host = world.bob.told_host("wide")
    own = (("Host", host), ("Portal-Token", caller.token("wide")))
    return exchange(caller.apps, request("POST", f"http://{host}{TARGET}", *own, *lines, body=BODY))


@FORMS
def test_what_a_stranger_signed_verifies_at_the_app(
    world: World, sign: Callable[[str], Lines], verify: Callable[[Raw], None]
) -> None:
    lines = sign(world.bob.app_host("site"))

    assert as_a_stranger(world, lines).status == 200

    arrived = world.bob_app.request
    verify(arrived)
    sent = [(name.lower().encode(), value.encode()) for name, value in lines]
    assert [pair for pair in arrived.fields if pair in sent] == sent


@FORMS
@pytest.mark.parametrize("mode", ["signed", "sealed"])
def test_what_a_calling_app_signed_verifies_at_the_peers_app(
    sealed: World, mode: str, sign: Callable[[str], Lines], verify: Callable[[Raw], None]
) -> None:
    lines = sign(sealed.bob.told_host("wide"))

    assert called(sealed, mode, lines).status == 200

    arrived = sealed.bob_app.request
    verify(arrived)
    for name in {name.lower() for name, _ in lines}:
        sent = [value.encode() for key, value in lines if key.lower() == name]
        assert arrived.all(name) == sent
    assert arrived.one("x-ptl-client-type") == b"peer"


@pytest.mark.parametrize("way", ["stranger", "signed", "sealed"])
def test_what_an_app_signs_of_its_response_arrives_too(sealed: World, way: str) -> None:
    lines = (
        ("Date", DATE),
        ("Content-Digest", f"sha-256=:{digest(b'ok')}:"),
        ("Signature-Input", 'sig=("@status" "date" "content-digest");tag="fediverse"'),
        ("Signature-Input", 'b=();tag="portal-peering-response"'),
        ("Signature", "sig=:AAAA:"),
        ("Signature", "b=:AAAA:"),
    )
    sealed.bob_app.script(response(200, *lines, body=b"ok"))

    got = as_a_stranger(sealed, ()) if way == "stranger" else called(sealed, way, ())

    for name in {name.lower() for name, _ in lines}:
        sent = [value.encode() for key, value in lines if key.lower() == name]
        assert got.all(name) == sent, name
    assert got.body == b"ok"


def test_a_signature_that_was_changed_is_seen_to_be(world: World) -> None:
    """The harmless twins above prove something: the same check fails of a body that isn't."""
    host = world.bob.app_host("site")
    spoiled = [(n, v.replace("14:00:00", "14:00:01")) for n, v in activity(host)]
    assert as_a_stranger(world, tuple(spoiled)).status == 200
    with pytest.raises(BadSignatureError):
        verify_activity(world.bob_app.request)
