"""The gate for devices that are no browsers: where their token counts, and that no app gets it."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from proxy.core.access.policy import ANONYMOUS, Caller
from proxy.core.devices import ExposedToken, UnknownToken
from proxy.core.errors import Code, Refusal
from proxy.core.gate import (
    AccessContext,
    Admission,
    RefusedPeer,
    Request,
    Unpaired,
    admit,
)
from proxy.core.terminals.cookie import COOKIE_SECURE
from proxy.core.terminals.device_token import CHANCE_BYTES, new_device_token
from proxy.core.terminals.terminals import LIFETIME, Terminal, TerminalList, token_digest
from tests.core.peering import CONTEXT, HOST, NOW, Claims, Draft, ask, unsigned

TOKEN, LOST, POSTCARDS = (new_device_token(bytes([at]) * CHANCE_BYTES) for at in range(3))
COOKIE = "T" * 43


def _terminal(name: str, token: str, app: str = "") -> Terminal:
    return Terminal(name[:6], name, token_digest(token.encode()), NOW - 1000, NOW - 1000, app)


DAV = _terminal("davdav", TOKEN, "guestbook")
OTHERS = _terminal("postcards", POSTCARDS, "postcards")
PHONE = _terminal("browser", COOKIE)
DEVICES = replace(
    CONTEXT,
    terminals=TerminalList((DAV, OTHERS, PHONE)),
    device_tokens=frozenset({"guestbook", "postcards"}),
)
OFF = replace(DEVICES, device_tokens=frozenset({"postcards"}))
PORTAL = CONTEXT.hosts.origin.authority
ORIGIN = f"https://{HOST}"
_IS_DAV = Caller("terminal", "davdav", "davdav")
_IS_PHONE = Caller("terminal", "browse", "browser")
_CHALLENGE = b'Basic realm="guestbook", charset="UTF-8"'

Pairs = tuple[tuple[str, str], ...]


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


def basic(token: str, user: str = "phone") -> tuple[str, str]:
    pair = base64.b64encode(f"{user}:{token}".encode()).decode("ascii")
    return ("authorization", f"Basic {pair}")


def cookie(token: str = COOKIE) -> tuple[str, str]:
    return ("cookie", f"{COOKIE_SECURE.decode()}={token}")


class Counted:
    """Rates that are never reached."""

    def __init__(self) -> None:
        self.strangers = 0
        self.at_apps: list[Caller] = []

    def count_stranger(self) -> None:
        self.strangers += 1

    def count_at_app(self, caller: Caller, app: str) -> None:
        del app
        self.at_apps.append(caller)

    def refuse_peer(self, peer: str, app: str | None) -> None:
        raise AssertionError(peer, app)

    def count_peer(self, peer: str, app: str | None) -> None:
        raise AssertionError(peer, app)


def asked(
    target: str,
    *fields: tuple[str, str],
    method: str = "GET",
    host: str = HOST,
    context: AccessContext = DEVICES,
    now: float = NOW,
    confidential: bool = True,
    rates: Counted | None = None,
) -> Admission | Refusal:
    request = unsigned(target, *fields, method=method, host=host)
    try:
        return admit(request, context, now, Claims(), rates, lambda: confidential)
    except Refusal as refusal:
        return refusal


def caller(response: Admission | Refusal) -> Caller | Code:
    return response.caller if isinstance(response, Admission) else response.code


@pytest.mark.parametrize("shown", [bearer(TOKEN), basic(TOKEN), basic(TOKEN, "")])
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/private", _IS_DAV),
        ("/public", _IS_DAV),
        ("/public/secret", _IS_DAV),
        ("/peer", Code.NOT_ALLOWED),
        ("//peer/x", Code.NOT_ALLOWED),
        ("/public/%2e%2e/private", Code.BAD_TARGET),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PROPFIND", "OPTIONS"])
def test_a_device_with_a_token_comes_to_what_is_public_or_private(
    method: str, target: str, expected: Caller | Code, shown: tuple[str, str]
) -> None:
    assert caller(asked(target, shown, method=method)) == expected


@pytest.mark.parametrize("target", ["/private", "/public"])
@pytest.mark.parametrize("shown", [bearer(TOKEN), basic(TOKEN)])
def test_the_app_gets_all_but_the_token(target: str, shown: tuple[str, str]) -> None:
    others = (("x-one", "1"), ("x-authorization", "2"), ("cookie", "a=b"))
    got = asked(target, others[0], shown, *others[1:])
    assert isinstance(got, Admission)
    assert got.fields == tuple((name.encode(), value.encode()) for name, value in others)


@pytest.mark.parametrize(
    "shown", [bearer("eyJh.e30.x"), basic("pass word", "carol"), ("authorization", "Digest a=b")]
)
@pytest.mark.parametrize("context", [DEVICES, OFF], ids=["on", "off"])
@pytest.mark.parametrize("token", [False, True])
def test_an_apps_own_credentials_pass_as_they_are(
    shown: tuple[str, str], context: AccessContext, *, token: bool
) -> None:
    fields = (shown, cookie()) if token else (shown,)
    public = asked("/public", *fields, context=context)
    assert isinstance(public, Admission)
    assert public.fields == ((b"authorization", shown[1].encode()),)
    assert public.caller == (_IS_PHONE if token else ANONYMOUS)
    assert caller(asked("/private", *fields, context=context)) == (
        _IS_PHONE if token else Code.PROOF_REQUIRED
    )


BAD = {
    "removed": bearer(LOST),
    "another app's": bearer(POSTCARDS),
    "cut off": basic(TOKEN[:-7]),
    "mistyped": bearer(TOKEN[:-1] + ("a" if TOKEN[-1] != "a" else "b")),
    "as the user": basic("", TOKEN),
    "in capitals": bearer(TOKEN.upper()),
    "a comma": ("authorization", f"Bearer {TOKEN}, Basic YTpi"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("target", ["/private", "/public", "/peer"])
@pytest.mark.parametrize("context", [DEVICES, OFF], ids=["on", "off"])
@pytest.mark.parametrize("more", [(), (cookie(),)], ids=["alone", "with a cookie"])
def test_a_token_that_isnt_good_here_reaches_no_app(
    name: str, target: str, context: AccessContext, more: Pairs
) -> None:
    """Whatever the path asks for: the app could use it where it is good."""
    rates = Counted()
    refusal = asked(target, BAD[name], *more, context=context, rates=rates)
    assert caller(refusal) is Code.DEVICE_TOKEN_REFUSED
    assert (rates.strangers, rates.at_apps) == (1, [])
    assert isinstance(refusal, UnknownToken) is (name == "removed")
    for token in (TOKEN, LOST, POSTCARDS):
        assert token[14:] not in str(refusal)


def test_where_the_setting_is_off_a_token_is_refused_and_nothing_is_asked_for() -> None:
    for target in ("/private", "/public"):
        refusal = asked(target, bearer(TOKEN), context=OFF)
        assert isinstance(refusal, Refusal)
        assert refusal.code is Code.DEVICE_TOKEN_REFUSED
        assert "device_tokens isn't true in guestbook's proxy.yaml" in refusal.detail
        assert refusal.challenge == b"Portal"


def test_a_token_is_good_at_its_own_app_alone() -> None:
    other = HOST.replace("guestbook", "postcards")
    assert isinstance(asked("/private", bearer(POSTCARDS), host=other), Admission)
    for host in (other, PORTAL, f"guestbook.{PORTAL}".replace("guestbook", "postcards")):
        refusal = asked("/private", bearer(TOKEN), host=host)
        assert caller(refusal) is Code.DEVICE_TOKEN_REFUSED
        assert "is for guestbook alone" in str(refusal)


def test_a_browsers_token_is_no_device_token_nor_the_other_way_round() -> None:
    assert caller(asked("/private", bearer(COOKIE))) is Code.PROOF_REQUIRED
    assert caller(asked("/private", cookie(TOKEN))) is Code.PROOF_REQUIRED
    forged = replace(DEVICES, terminals=TerminalList((replace(PHONE, app="guestbook"),)))
    assert caller(asked("/private", cookie(), context=forged)) is Code.PROOF_REQUIRED


def test_of_an_app_that_isnt_there_or_cant_be_read_the_device_hears_that() -> None:
    """A 401 would make some programs forget the password."""
    gone = HOST.replace("guestbook", "gone")
    assert caller(asked("/", bearer(TOKEN), host=gone)) is Code.NO_SUCH_APP
    unread = replace(DEVICES, apps={}, unavailable=frozenset({"guestbook"}))
    assert caller(asked("/", bearer(TOKEN), context=unread)) is Code.APP_UNAVAILABLE


def test_a_device_that_was_removed_or_wasnt_used_for_long_is_refused() -> None:
    removed = asked("/private", bearer(TOKEN), context=replace(DEVICES, terminals=TerminalList()))
    assert isinstance(removed, UnknownToken)  # perhaps it was made a moment ago
    last = DAV.seen + LIFETIME
    assert caller(asked("/private", bearer(TOKEN), now=last - 1)) == _IS_DAV
    expired = asked("/private", bearer(TOKEN), now=last)
    assert caller(expired) is Code.DEVICE_TOKEN_REFUSED
    assert not isinstance(expired, UnknownToken)


@pytest.mark.parametrize("target", ["/private", "/public", "/peer"])
@pytest.mark.parametrize("shown", [bearer(TOKEN), bearer(LOST), bearer(TOKEN[:-1]), basic(TOKEN)])
@pytest.mark.parametrize("context", [DEVICES, OFF], ids=["on", "off"])
def test_a_token_that_others_can_have_read_never_counts(
    shown: tuple[str, str], target: str, context: AccessContext
) -> None:
    rates = Counted()
    got = asked(target, shown, cookie(), context=context, confidential=False, rates=rates)
    assert caller(got) is Code.DEVICE_TOKEN_EXPOSED
    assert rates.strangers == 1
    is_known = TOKEN in shown[1] or shown[1].startswith("Basic")
    assert ("terminal davdav" in str(got)) is is_known
    assert isinstance(got, ExposedToken)
    assert got.terminal_id == ("davdav" if is_known else "")


def test_where_nobody_says_how_a_request_came_it_came_in_the_clear() -> None:
    request = Request(
        b"GET",
        b"/private",
        ((b"host", HOST.encode()), (b"authorization", f"Bearer {TOKEN}".encode())),
    )
    with pytest.raises(Refusal) as caught:
        admit(request, DEVICES, NOW, Claims())
    assert caught.value.code is Code.DEVICE_TOKEN_EXPOSED


def test_what_came_in_the_clear_doesnt_matter_without_a_token() -> None:
    assert caller(asked("/private", cookie(), confidential=False)) == _IS_PHONE
    assert caller(asked("/public", basic("pass word"), confidential=False)) is ANONYMOUS


def test_of_a_token_and_a_cookie_the_token_counts() -> None:
    assert caller(asked("/private", bearer(TOKEN), cookie())) == _IS_DAV
    assert caller(asked("/private", bearer(LOST), cookie())) is Code.DEVICE_TOKEN_REFUSED


_FROM = "sec-fetch-site"
_NAVIGATES = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))
FOREIGN: list[tuple[str, Pairs]] = [
    ("POST", (("origin", "https://evil.example"),)),
    ("GET", (("origin", "null"),)),
    ("PUT", (("origin", f"https://postcards.{PORTAL}"),)),
    ("GET", ((_FROM, "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image"))),
    ("GET", ((_FROM, "same-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"))),
    ("POST", ((_FROM, "cross-site"), *_NAVIGATES)),
    ("POST", (("origin", ORIGIN), ("origin", "https://evil.example"))),
    ("GET", (("connection", "Upgrade"), ("upgrade", "websocket"), ("origin", "https://evil.example"))),
    ("DELETE", (("referer", "https://evil.example/"),)),
]  # fmt: skip
OWN: list[tuple[str, Pairs]] = [
    ("POST", (("origin", ORIGIN),)),
    ("PUT", ((_FROM, "same-origin"),)),
    ("GET", ((_FROM, "cross-site"), *_NAVIGATES)),
    ("GET", (("connection", "Upgrade"), ("upgrade", "websocket"))),
    ("GET", (("connection", "Upgrade"), ("upgrade", "websocket"), ("origin", ORIGIN))),
    ("DELETE", ()),
]


@pytest.mark.parametrize(("method", "fields"), FOREIGN)
@pytest.mark.parametrize("shown", [bearer(TOKEN), basic(TOKEN)])
def test_a_password_that_a_browser_remembered_counts_for_no_foreign_page(
    method: str, fields: Pairs, shown: tuple[str, str]
) -> None:
    refusal = asked("/private", shown, *fields, method=method)
    assert caller(refusal) is Code.PROOF_REQUIRED
    assert isinstance(refusal, Refusal)
    assert not isinstance(refusal, Unpaired)
    assert "the token of terminal davdav came from another site's page" in refusal.detail
    assert refusal.challenge == b"Portal"
    public = asked("/public", shown, *fields, method=method)
    assert isinstance(public, Admission)
    assert public.caller is ANONYMOUS
    assert b"authorization" not in dict(public.fields)


@pytest.mark.parametrize(("method", "fields"), OWN)
def test_it_counts_for_our_own_pages_and_for_programs(method: str, fields: Pairs) -> None:
    assert caller(asked("/private", basic(TOKEN), *fields, method=method)) == _IS_DAV


# Who is asked for one


def challenged(got: Admission | Refusal) -> bytes:
    assert isinstance(got, Refusal)
    assert got.code.status == 401
    return got.challenge


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PROPFIND", "PUT", "POST"])
def test_a_program_at_a_private_path_is_asked_for_a_token(method: str) -> None:
    unknown = asked("/private", method=method)
    assert isinstance(unknown, Unpaired)
    assert challenged(unknown) == _CHALLENGE
    assert challenged(asked("/private", basic("wrong"), method=method)) == _CHALLENGE
    assert challenged(asked("/public", bearer(LOST), method=method)) == _CHALLENGE


def test_nobody_else_is() -> None:
    assert challenged(asked("/private", context=OFF)) == b"Portal"
    assert challenged(asked("/private", confidential=False)) == b"Portal"
    assert challenged(asked("/peer")) == b"Portal"
    assert challenged(asked("/private", ("accept", "text/html"))) == b"Portal"
    assert challenged(asked("/private", (_FROM, "same-origin"))) == b"Portal"
    assert challenged(asked("/", bearer(TOKEN), host=PORTAL)) == b"Portal"
    assert challenged(asked("/private", bearer(LOST), ("accept", "text/html"))) == b"Portal"


def test_a_preflight_has_no_credentials_and_gets_none_asked_for() -> None:
    preflight = (("origin", ORIGIN), ("access-control-request-method", "PUT"))
    assert challenged(asked("/private", *preflight, method="OPTIONS")) == b"Portal"
    assert caller(asked("/public", *preflight, method="OPTIONS")) is ANONYMOUS


# Peers


_MODES = replace(DEVICES, modes=frozenset({"sealed", "signed"}))


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("value", ["Bearer x", basic("pass word")[1], "Portal_Device x"])
def test_what_a_peer_sends_to_the_app_is_the_apps(value: str, *, sealed: bool) -> None:
    draft = Draft(fields=(("authorization", value),), sealed=sealed)
    got = ask(draft.sign(), _MODES)
    assert isinstance(got, Admission)
    assert got.caller.type == "peer"
    assert got.fields == ((b"authorization", value.encode()),)
    assert ask(replace(draft, target="/private").sign(), _MODES) is Code.NOT_ALLOWED


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("name", ["good", *BAD])
@pytest.mark.parametrize("context", [_MODES, replace(_MODES, device_tokens=frozenset())])
def test_a_token_that_a_peer_has_reaches_no_app_and_opens_nothing(
    name: str, context: AccessContext, *, sealed: bool
) -> None:
    """The peer is proven, and stays the peer; but the app could come in by what it is told."""
    shown = BAD.get(name, basic(TOKEN))
    draft = Draft(fields=(shown, ("x-app", "one")), sealed=sealed)
    assert ask(draft.sign(), context) is Code.DEVICE_TOKEN_REFUSED
    assert ask(replace(draft, target="/private").sign(), context) is Code.NOT_ALLOWED


def test_the_owner_reads_whose_token_a_peer_has() -> None:
    for shown, expected in ((bearer(TOKEN), "terminal davdav"), (bearer(LOST), "a device token")):
        request, claims = Draft(fields=(shown,)).sign(), Claims()
        with pytest.raises(RefusedPeer, match=expected) as refused:
            admit(request, DEVICES, NOW, claims)
        assert TOKEN[14:] not in str(refused.value)
        assert not claims.made


def test_what_the_peer_didnt_sign_is_nobodys_token() -> None:
    """Whoever is on the way could add one, and have each call refused."""
    request = Draft().sign()
    added = (b"authorization", bearer(TOKEN)[1].encode())
    got = ask(replace(request, fields=(*request.fields, added)), DEVICES)
    assert isinstance(got, Admission)
    assert b"authorization" not in dict(got.fields)


def test_a_token_in_an_envelope_means_nothing() -> None:
    fields = ((b"host", HOST.encode()), (b"authorization", bearer(TOKEN)[1].encode()))
    sealed = Request(b"GET", b"/private", fields, seal=bytes(32))
    assert ask(sealed, DEVICES) is Code.PROOF_REQUIRED


# What it counts for


def test_a_device_is_counted_as_devices_are() -> None:
    rates = Counted()
    asked("/private", basic(TOKEN), rates=rates)
    assert (rates.strangers, rates.at_apps) == (0, [_IS_DAV])
