"""The gate for the owner's devices: whose cookie counts, where, and what is left of it."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from proxy.core.access.policy import ANONYMOUS, Caller
from proxy.core.errors import Code
from proxy.core.gate import AccessContext, Admission, Request, Unpaired, admit
from proxy.core.terminals.cookie import COOKIE_PLAIN, COOKIE_SECURE
from proxy.core.terminals.terminals import LIFETIME, Terminal, TerminalList, token_digest
from tests.core.peering import CONTEXT, HOST, NOW, Claims, Draft, ask, unsigned

TOKEN = "T" * 43
OTHERS = "O" * 43
PHONE = Terminal("abc234", "Phone", token_digest(TOKEN.encode()), NOW - 1000, NOW - 1000)
AT_BOBS = replace(CONTEXT, terminals=TerminalList((PHONE,)))
ORIGIN = f"https://{HOST}"
PORTAL = str(CONTEXT.hosts.origin)
SIBLING = "https://8271dd.p.example:8443"
OTHER_APP = f"https://postcards.{CONTEXT.hosts.origin.authority}"
COOKIE = ("cookie", f"{COOKIE_SECURE.decode()}={TOKEN}")
_IS_PHONE = Caller("terminal", "abc234", "Phone")


def _asked(
    target: str,
    *fields: tuple[str, str],
    method: str = "GET",
    host: str = HOST,
    context: AccessContext = AT_BOBS,
    now: float = NOW,
) -> Admission | Code:
    return ask(unsigned(target, *fields, method=method, host=host), context, now=now)


def _caller(response: Admission | Code) -> Caller | Code:
    return response.caller if isinstance(response, Admission) else response


@pytest.mark.parametrize(
    ("target", "terminal", "anonymous"),
    [
        ("/public", _IS_PHONE, ANONYMOUS),
        ("/private", _IS_PHONE, Code.PROOF_REQUIRED),
        ("/public/secret", _IS_PHONE, Code.PROOF_REQUIRED),
        ("/peer", Code.NOT_ALLOWED, Code.PROOF_REQUIRED),
        ("/public/%2e%2e/private", Code.BAD_TARGET, Code.BAD_TARGET),
    ],
)
def test_a_terminal_comes_to_what_is_public_or_private(
    target: str, terminal: Caller | Code, anonymous: Caller | Code
) -> None:
    assert _caller(_asked(target, COOKIE)) == terminal
    assert _caller(_asked(target)) == anonymous


@pytest.mark.parametrize(
    ("target", "destination", "twin"),
    [
        ("/Peer/x", "", "/private/x"),
        ("//peer/x", "", "//private/x"),
        ("/peer%2fx", "", "/private%2fx"),
        ("/peer/x", "/private/y", "/public/x"),
        ("/private/x", "/peer/y", "/private/x"),
    ],
)
def test_a_terminal_doesnt_enter_a_peer_path_in_disguise(
    target: str, destination: str, twin: str
) -> None:
    more = (("destination", destination),) if destination else ()
    assert _asked(target, COOKIE, *more) is Code.NOT_ALLOWED
    assert _asked(target, *more) is Code.PROOF_REQUIRED
    harmless = (("destination", "/private/y"),) if destination else ()
    assert _caller(_asked(twin, COOKIE, *harmless)) == _IS_PHONE


def test_a_terminal_is_known_at_the_portal_itself() -> None:
    host = CONTEXT.hosts.origin.authority
    assert _caller(_asked("/core/public/pair", COOKIE, host=host)) == _IS_PHONE
    assert _caller(_asked("/core/public/pair", host=host)) == ANONYMOUS


@pytest.mark.parametrize(
    "value",
    [
        f"{COOKIE_SECURE.decode()}={OTHERS}",
        f"{COOKIE_SECURE.decode()}=",
        f"{COOKIE_SECURE.decode()}={TOKEN}x",
        f"{COOKIE_SECURE.decode()}={token_digest(TOKEN.encode()).hex()}",
        f"{COOKIE_SECURE.decode()}=abc234",
        f"{COOKIE_PLAIN.decode()}={TOKEN}",
        f"{COOKIE_SECURE.decode().lower()}={TOKEN}",
        f"x={COOKIE_SECURE.decode()}={TOKEN}",
        TOKEN,
    ],
)
def test_what_is_no_token_of_a_terminal_is_a_strangers(value: str) -> None:
    assert _asked("/private", ("cookie", value)) is Code.PROOF_REQUIRED
    assert _caller(_asked("/public", ("cookie", value))) is ANONYMOUS


def test_a_terminal_that_was_removed_or_wasnt_used_for_long_is_a_stranger() -> None:
    assert _asked("/private", COOKIE, context=CONTEXT) is Code.PROOF_REQUIRED
    last = PHONE.seen + LIFETIME
    assert _caller(_asked("/private", COOKIE, now=last - 1)) == _IS_PHONE
    assert _asked("/private", COOKIE, now=last) is Code.PROOF_REQUIRED


def test_a_cookie_that_a_sibling_portal_tossed_takes_nothing_away() -> None:
    tossed = ("cookie", f"{COOKIE_SECURE.decode()}={OTHERS}")
    both = ("cookie", f"{tossed[1]}; {COOKIE[1]}")
    for fields in ([tossed, COOKIE], [COOKIE, tossed], [both]):
        assert _caller(_asked("/private", *fields)) == _IS_PHONE
    assert _asked("/private", tossed) is Code.PROOF_REQUIRED


def test_no_cookie_of_ours_reaches_an_app_and_others_do_as_they_were() -> None:
    for caller in (COOKIE, ("cookie", f"{COOKIE_SECURE.decode()}={OTHERS}")):
        value = f'a="1; 2" ;  {caller[1]}; b=%3D=;c'
        response = _asked("/public", ("cookie", value), ("cookie", caller[1]), ("cookie", "last=1"))
        assert isinstance(response, Admission)
        names = [name for name, _ in response.fields]
        sent = b" ".join(value for _, value in response.fields)
        assert b"portal-terminal" not in sent
        assert names == [b"cookie", b"cookie"]
        assert b'a="1; 2"' in sent
        assert b"b=%3D=;c" in sent
        assert response.fields[-1] == (b"cookie", b"last=1")


def test_a_peer_gets_nothing_by_a_cookie_and_passes_none_on() -> None:
    draft = Draft(fields=(("cookie", f"a=1; {COOKIE[1]}; b=2"), ("cookie", COOKIE[1])))
    response = ask(draft.sign(), AT_BOBS)
    assert isinstance(response, Admission)
    assert response.caller.type == "peer"
    assert b"portal-terminal" not in b" ".join(value for _, value in response.fields)
    assert ask(replace(draft, target="/private").sign(), AT_BOBS) is Code.NOT_ALLOWED
    twin = ask(Draft(fields=(("cookie", "a=1; b=2"),)).sign(), AT_BOBS)
    assert isinstance(twin, Admission)
    assert twin.fields == ((b"cookie", b"a=1; b=2"),)


@pytest.mark.parametrize("target", ["/private", "/public"])
def test_a_cookie_in_an_envelope_means_nothing(target: str) -> None:
    fields = ((b"host", HOST.encode()), (b"cookie", COOKIE[1].encode()))
    sealed = Request(b"GET", target.encode(), fields, seal=bytes(32))
    assert ask(sealed, AT_BOBS) is Code.PROOF_REQUIRED
    assert _caller(ask(replace(sealed, seal=None), AT_BOBS)) == _IS_PHONE


def test_a_sealed_call_with_a_cookie_is_its_senders() -> None:
    draft = Draft(sealed=True, fields=(("cookie", COOKIE[1]),), target="/private")
    context = replace(AT_BOBS, modes=frozenset({"sealed"}))
    assert ask(draft.sign(), context) is Code.NOT_ALLOWED
    peers = ask(replace(draft, target="/peer").sign(), context)
    assert isinstance(peers, Admission)
    assert (peers.caller.type, peers.fields) == ("peer", ())


_NAVIGATES = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))
_FROM = "sec-fetch-site"


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GET", ()),
        ("GET", ((_FROM, "cross-site"), *_NAVIGATES)),
        ("GET", ((_FROM, "same-site"), *_NAVIGATES)),
        ("GET", ((_FROM, "same-origin"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"))),
        ("POST", (("origin", ORIGIN),)),
        ("POST", (("origin", PORTAL),)),
        ("POST", (("origin", ORIGIN), (_FROM, "same-origin"))),
        ("DELETE", ((_FROM, "same-origin"),)),
        ("POST", (("referer", f"{ORIGIN}/x"),)),
        ("POST", ()),
    ],
)
def test_the_cookie_counts_for_requests_of_our_own_pages(
    method: str, fields: tuple[tuple[str, str], ...]
) -> None:
    assert _caller(_asked("/private", COOKIE, *fields, method=method)) == _IS_PHONE


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GET", ((_FROM, "same-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image"))),
        (
            "GET",
            ((_FROM, "same-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")),
        ),
        ("GET", (("origin", SIBLING), (_FROM, "same-site"), ("sec-fetch-mode", "cors"))),
        ("GET", (("origin", "null"),)),
        ("POST", (("origin", SIBLING),)),
        ("POST", (("origin", OTHER_APP),)),
        ("POST", (("origin", "null"),)),
        ("POST", (("origin", f"{ORIGIN}.evil.example"),)),
        ("POST", (("origin", ORIGIN.replace("https", "http")),)),
        ("POST", (("origin", SIBLING), *_NAVIGATES)),
        ("POST", (("origin", ORIGIN), ("origin", SIBLING))),
        ("POST", ((_FROM, "same-site"), *_NAVIGATES)),
        ("POST", (("referer", f"{SIBLING}/"),)),
        ("POST", (("referer", f"{SIBLING}/{ORIGIN}/"),)),
    ],
)
def test_the_cookie_counts_for_nobody_elses_page(
    method: str, fields: tuple[tuple[str, str], ...]
) -> None:
    assert _asked("/private", COOKIE, *fields, method=method) is Code.PROOF_REQUIRED
    assert _caller(_asked("/public", COOKIE, *fields, method=method)) is ANONYMOUS


_UPGRADES = (("connection", "Upgrade"), ("upgrade", "websocket"))


@pytest.mark.parametrize("origin", [ORIGIN, PORTAL])
def test_a_websocket_of_our_own_page_is_the_terminals(origin: str) -> None:
    asked = _asked("/private", COOKIE, *_UPGRADES, ("origin", origin))
    assert _caller(asked) == _IS_PHONE
    assert _caller(_asked("/private", COOKIE, *_UPGRADES)) == _IS_PHONE


@pytest.mark.parametrize("origin", [SIBLING, OTHER_APP, "null", "https://evil.example"])
@pytest.mark.parametrize("fields", [(), _NAVIGATES, ((_FROM, "same-origin"),)])
def test_a_websocket_of_a_foreign_origin_gets_none_of_the_cookies_power(
    origin: str, fields: tuple[tuple[str, str], ...]
) -> None:
    asked = (COOKIE, *_UPGRADES, ("origin", origin), *fields)
    assert _asked("/private", *asked) is Code.PROOF_REQUIRED
    assert _caller(_asked("/public", *asked)) is ANONYMOUS


def _refusal(target: str, *fields: tuple[bytes, bytes]) -> Exception:
    request = Request(b"GET", target.encode(), ((b"host", HOST.encode()), *fields))
    with pytest.raises(Exception, match="proof_required") as caught:
        admit(request, AT_BOBS, NOW, Claims())
    return caught.value


def test_who_is_unknown_at_a_private_page_is_told_where_browsers_pair() -> None:
    refusal = _refusal("/private/x?a=b&c=%26d")
    assert isinstance(refusal, Unpaired)
    address = urlsplit(refusal.pairing_address)
    assert f"{address.scheme}://{address.netloc}{address.path}" == f"{PORTAL}/core/public/pair"
    assert parse_qs(address.query) == {"to": [f"{ORIGIN}/private/x?a=b&c=%26d"]}
    assert not address.fragment


def test_nobody_is_told_to_pair_where_that_would_not_help() -> None:
    assert not isinstance(_refusal("/peer"), Unpaired)
    foreign = ((b"cookie", COOKIE[1].encode()), (b"origin", SIBLING.encode()))
    assert not isinstance(_refusal("/private", *foreign), Unpaired)
