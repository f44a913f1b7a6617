"""Device tokens as text and in ``Authorization``: found in every form, taken in two."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.terminals.device_token import (
    CHANCE_BYTES,
    challenge,
    new_device_token,
    shown_device_token,
    shows_device_token,
    without_authorization,
)

TOKEN = new_device_token(bytes(range(CHANCE_BYTES)))
RAW = TOKEN.encode("ascii")
OTHER = new_device_token(bytes(CHANCE_BYTES))


def basic(pair: bytes) -> bytes:
    return b"Basic " + base64.b64encode(pair)


def fields(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", value) for value in values]


def test_a_token_is_of_letters_and_digits_that_nothing_escapes() -> None:
    assert len(TOKEN) == len(OTHER) == 70
    assert set(TOKEN) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert TOKEN != OTHER


@given(st.binary(min_size=CHANCE_BYTES, max_size=CHANCE_BYTES), st.binary(max_size=40))
def test_every_token_is_taken_with_every_user_name(chance: bytes, user: bytes) -> None:
    token = new_device_token(chance).encode("ascii")
    user = user.replace(b":", b"")
    for value in (b"Bearer " + token, basic(user + b":" + token)):
        assert shows_device_token(fields(value))
        assert shown_device_token(fields(value)) == token


TAKEN = {
    "bearer": b"Bearer " + RAW,
    "a scheme in lower case": b"bearer " + RAW,
    "a scheme in capitals": b"BASIC " + base64.b64encode(b":" + RAW),
    "several blanks": b"Bearer    " + RAW,
    "no user": basic(b":" + RAW),
    "a user": basic(b"8271dd:" + RAW),
    "a user in UTF-8": basic("J\xfcrgen \N{PERSONAL COMPUTER}:".encode() + RAW),
    "a user in Latin-1": basic("J\xfcrgen:".encode("latin-1") + RAW),
    "a user of control bytes": basic(b"\x00\x01\r\n:" + RAW),
}
REFUSED = {
    "a tab behind the scheme": b"Bearer\t" + RAW,
    "another scheme": b"Digest " + RAW,
    "no scheme": RAW,
    "a scheme alone before it": b"Bearer" + RAW,
    "a parameter behind it": b"Bearer " + RAW + b", realm=x",
    "quotes around it": b'Bearer "' + RAW + b'"',
    "a parameter of another scheme": b'Digest username="' + RAW + b'"',
    "two joined by a comma": b"Bearer " + RAW + b", Bearer " + RAW,
    "two Basic joined by a comma": basic(b"a:b") + b", " + basic(b"a:" + RAW),
    "an app's own joined before it": b"Bearer x, " + basic(b":" + RAW),
    "as the user": basic(RAW + b":"),
    "as the user, with a password": basic(RAW + b":secret"),
    "without a colon": basic(RAW),
    "a colon too many": basic(b"a:b:" + RAW),
    "something behind it": basic(b"a:" + RAW + b"x"),
    "a line behind it": basic(b"a:" + RAW + b"\n"),
    "bearer's token as Basic": b"Basic " + RAW,
    "Basic's as bearer": b"Bearer " + base64.b64encode(b":" + RAW),
    "base64 without padding": basic(b"ab:" + RAW).rstrip(b"="),
    "base64 with padding too much": basic(b"ab:" + RAW) + b"==",
    "base64 with stray bits": basic(b"ab:" + RAW)[:-3] + b"x==",
    "base64 for URLs": b"Basic " + base64.urlsafe_b64encode(b"\xff\xfe\xfb:" + RAW),
    "base64 in lines": b"Basic " + base64.b64encode(b"a:" + RAW)[:40] + b"!"
    + base64.b64encode(b"a:" + RAW)[40:],
    "base64 with a blank in it": b"Basic " + base64.b64encode(b"a:" + RAW)[:41] + b" "
    + base64.b64encode(b"a:" + RAW)[41:],
    "base64 with what only URLs have in it": b"Basic " + base64.b64encode(b"a:" + RAW)[:9] + b"-_"
    + base64.b64encode(b"a:" + RAW)[9:],
    "the same before another": b"Basic " + base64.b64encode(b"a:" + RAW)[:9] + b"-"
    + base64.b64encode(b"a:" + RAW)[9:] + b", Basic AA",
    "base64 with a comma in it, and no scheme": base64.b64encode(b"a:" + RAW)[:6] + b","
    + base64.b64encode(b"a:" + RAW)[6:],
    "the prefix alone, in base64": b"Basic cG9ydGFsX2RldmljZV8",
    "a character short": b"Bearer " + RAW[:-1],
    "half of it": b"Bearer " + RAW[:40],
    "a character more": b"Bearer " + RAW + b"a",
    "a character mistyped": b"Bearer " + RAW[:20] + bytes([RAW[20] ^ 1]) + RAW[21:],
    "its check mistyped": b"Bearer " + RAW[:-1] + (b"a" if RAW[-1:] != b"a" else b"b"),
    "in capitals": b"Bearer " + RAW.upper(),
    "its first letter a capital": basic(b"a:P" + RAW[1:]),
    "a letter that no token has": b"Bearer " + RAW[:20] + b"i" + RAW[21:],
    "its beginning alone": b"Bearer portal_device_",
    "escaped as in a URL": b"Bearer " + RAW.replace(b"_", b"%5F"),
    "escaped, as a password": basic(b"a:" + RAW.replace(b"p", b"%70").replace(b"_", b"%5f")),
}  # fmt: skip
OTHERS = {
    "nothing": b"",
    "a scheme alone": b"Basic",
    "somebody's password": basic(b"carol:pass word"),
    "an app's own token": b"Bearer eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IPHmQ",
    "Digest": b'Digest username="carol", realm="portal", nonce="x", uri="/", response="0"',
    "AWS": b"AWS4-HMAC-SHA256 Credential=AKID/2/s3/aws4_request, SignedHeaders=host, Signature=0a",
    "Negotiate": b"Negotiate " + base64.b64encode(bytes(range(256)) * 8),
    "a cookie's token": b"Bearer " + b"T" * 43,
    "nearly our prefix": b"Bearer portal-device-" + RAW[14:],
    "a password with per cents": basic(b"carol:100%%5Fportal%device_%"),
    "bytes outside ASCII": b"Basic \xff\xfe\xe4",
    "base64 of one character": b"Basic A",
    "64 KiB of base64": b"Basic " + b"QUJD" * 16_000,
    "64 KiB of single characters": b"Basic " + b"A=" * 32_000,
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_token_is_taken(name: str) -> None:
    assert shows_device_token(fields(TAKEN[name]))
    assert shown_device_token(fields(TAKEN[name])) == RAW


@pytest.mark.parametrize("name", REFUSED)
def test_what_looks_like_a_token_is_found_and_not_taken(name: str) -> None:
    assert shows_device_token(fields(REFUSED[name]))
    with pytest.raises(ValueError, match=r"^it stands|^it isn't whole|^its base64") as caught:
        shown_device_token(fields(REFUSED[name]))
    assert TOKEN[14:40] not in str(caught.value)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_none_of_ours_isnt_found(name: str) -> None:
    assert not shows_device_token(fields(OTHERS[name]))
    assert not shows_device_token([(b"proxy-authorization", TAKEN["bearer"])])


@pytest.mark.parametrize("other", [b"", b"Basic Og==", b"Bearer x", TAKEN["bearer"]])
def test_of_several_fields_none_is_taken(other: bytes) -> None:
    for values in ((TAKEN["bearer"], other), (other, TAKEN["a user"])):
        assert shows_device_token(fields(*values))
        with pytest.raises(ValueError, match="beside another"):
            shown_device_token(fields(*values))


def test_the_field_is_taken_out_and_nothing_else() -> None:
    others = [(b"x-authorization", b"a"), (b"cookie", b"b")]
    assert without_authorization([others[0], *fields(b"x"), others[1]]) == tuple(others)


def test_thousands_of_runs_that_are_too_short_arent_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[bytes] = []
    decode = base64.b64decode

    def noted(text: bytes) -> bytes:
        decoded.append(text)
        return decode(text)

    monkeypatch.setattr(base64, "b64decode", noted)
    assert not shows_device_token(fields(OTHERS["64 KiB of single characters"]))
    assert len(decoded) == 2


@given(st.binary(max_size=200))
def test_whatever_is_sent_is_looked_at(value: bytes) -> None:
    shows_device_token(fields(value, b"Basic " + value))


# Who is asked for one


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        (b"GET", ()),
        (b"GET", ((b"accept", b"*/*"),)),
        (b"PROPFIND", ((b"accept", b"text/html,*/*"),)),
        (b"OPTIONS", ()),
        (b"HEAD", ()),
        (b"POST", ((b"accept", b"application/x-git-upload-pack-result"),)),
    ],
)
def test_a_program_is_asked_for_a_token(
    method: bytes, sent: tuple[tuple[bytes, bytes], ...]
) -> None:
    assert challenge(method, sent, "files") == b'Basic realm="files", charset="UTF-8"'


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        (b"GET", ((b"accept", b"text/html,*/*;q=0.8"),)),
        (b"HEAD", ((b"accept", b"text/html"),)),
        (b"POST", ((b"accept", b"text/html"),)),
        (b"GET", ((b"sec-fetch-mode", b"navigate"),)),
        (b"GET", ((b"sec-fetch-mode", b"cors"), (b"sec-fetch-dest", b"empty"))),
        (b"GET", ((b"sec-fetch-site", b"none"),)),
        (b"GET", ((b"sec-fetch-dest", b"image"),)),
        (b"PUT", ((b"origin", b"https://files.8271dd.p.example"),)),
        (b"OPTIONS", ((b"origin", b"https://a.example"), (b"accept", b"*/*"))),
        (b"GET", ((b"referer", b"https://files.8271dd.p.example/"),)),
    ],
)  # fmt: skip
def test_no_browser_is_made_to_ask_for_a_password(
    method: bytes, sent: tuple[tuple[bytes, bytes], ...]
) -> None:
    assert challenge(method, sent, "files") == b"Portal"
