"""References in a peer's response: the app's own can be followed, everything else is as it came."""

import re
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urljoin, urlsplit
from urllib.request import Request

import pytest
from httpx import URL, InvalidURL
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http.call_references import MOST_LINKS, PathForm, ProxyForm, followable
from proxy.core.http.listener_reference import CallersListener
from proxy.core.http.origin import Origin

_APP = Origin("https", "notes.bob.example", 8443)
_LISTENER = CallersListener(
    {"portal_core", "portal-core"}, {"localhost", "127.0.0.1"}, "8271ddabcd"
)
_BY_PROXY = ProxyForm(b"Notes.Bob.Example", _APP, _LISTENER)
_BY_PATH = PathForm(b"/internal/call_peer/8271dd", b"/peer/x?y=/z/", _APP, _LISTENER)
_BARE = PathForm(b"/internal/call_peer/8271dd", b"/", _APP, _LISTENER, is_bare=True)

_OWN = [
    # A whole URI of the app's, and what stands behind its host.
    (b"https://notes.bob.example:8443/peer/x/", b"/peer/x/"),
    (b"https://notes.bob.example:8443", b""),
    (b"https://notes.bob.example:8443?q=https://notes.bob.example/", b"?q=https://notes.bob.example/"),
    (b"https://notes.bob.example:8443/#a", b"/#a"),
    (b"HTTPS://NOTES.bob.EXAMPLE:8443/A%2fb\\c", b"/A%2fb\\c"),
    (b"https://notes.bob.example/x", b"/x"),
    (b"https://notes.bob.example:443/x", b"/x"),
    (b"https://notes.bob.example:/x", b"/x"),
    (b"http://notes.bob.example:8443/x", b"/x"),
    (b"http://notes.bob.example:80/x", b"/x"),
    (b"http://notes.bob.example:/x", b"/x"),
    (b'https://notes.bob.example/a b\xc3\xa9,"<>', b'/a b\xc3\xa9,"<>'),
]  # fmt: skip
_OTHERS = [
    # Of somebody else's, or of nobody's.
    b"https://notes.bob.example.evil.example/x", b"https://xnotes.bob.example/x",
    b"https://bob.example:8443/x", b"https://x.notes.bob.example:8443/x",
    b"https://notes.bob.example@evil.example/x", b"https://notes.bob.example:8443@evil.example/x",
    b"https://user@notes.bob.example:8443/x", b"https://user:pw@notes.bob.example/x",
    b"https://notes.bob.example:9000/x", b"http://notes.bob.example:443/x",
    b"https://notes.bob.example:80/x", b"https://notes.bob.example:84430/x",
    b"https://notes.bob.example:8443x/", b"https://notes.bob.example:+8443/",
    b"https://notes.bob.example./x", b"https://notes%2ebob.example/x", b"https://[::1]:8443/x",
    b"https://n\xc3\xb6tes.bob.example/x", b"https://notes.bob.example;/x",
    b"https://notes.bob.example,evil.example/x", b"https:/notes.bob.example/x",
    b"https:notes.bob.example/x", b"https:///notes.bob.example/x", b"ftp://notes.bob.example/x",
    b"wss://notes.bob.example:8443/x", b"mailto:a@notes.bob.example", b"data:,x",
    b"https://notes.bob.example\\@evil.example/x", b"https://evil.example\\@notes.bob.example/x",
    b"https:\\\\notes.bob.example\\x", b"https://notes.bob.example\t/x",
    b"http:// notes.bob.example/x",
    b"javascript:location='https://notes.bob.example/'",
]  # fmt: skip
_READ_IN_TWO_WAYS = [
    (b"/\\evil.example/../internal/call_peer/other1/x",
     b"//evil.example/../internal/call_peer/other1/x"),
    (b"/\t/evil.example/../protected/peers", b"//evil.example/../protected/peers"),
    (b"\\\\evil.example\\x?a\\b\tc", b"//evil.example/x?a\\b\tc"),
    (b"http:\\\\evil.example/x", b"http://evil.example/x"),
    (b"ht\ttp://evil.example/", b"http://evil.example/"),
]  # fmt: skip


@pytest.mark.parametrize(("whole", "rest"), _OWN)
def test_a_whole_uri_of_the_app_keeps_the_way_of_the_call(whole: bytes, rest: bytes) -> None:
    assert _BY_PROXY.reference(whole) == b"http://Notes.Bob.Example" + rest
    path = rest if rest.startswith(b"/") else b"/" + rest
    below = path.partition(b"#")[0].partition(b"?")[0].replace(b"\\", b"/")
    assert _BY_PATH.reference(whole) == _BY_PATH.prefix + below + path[len(below) :]


@pytest.mark.parametrize("whole", _OTHERS)
def test_any_other_stays_as_it_is(whole: bytes) -> None:
    assert _BY_PROXY.reference(whole) == whole
    assert _BY_PATH.reference(whole) == whole
    assert _BARE.reference(whole) == whole


@pytest.mark.parametrize(("whole", "unambiguous"), _READ_IN_TWO_WAYS)
def test_by_path_one_with_two_readings_keeps_that_of_browsers(
    whole: bytes, unambiguous: bytes
) -> None:
    assert _BY_PROXY.reference(whole) == whole
    assert _BY_PATH.reference(whole) == unambiguous


@pytest.mark.parametrize(
    "usable",
    [b"http://notes.bob.example/x", b"HTTP://NOTES.bob.example", b"http://notes.bob.example?x"],
)
def test_by_proxy_what_can_be_followed_stays_as_it_is(usable: bytes) -> None:
    assert _BY_PROXY.reference(usable) == usable
    assert _BY_PATH.reference(usable).startswith(_BY_PATH.prefix + b"/")


@pytest.mark.parametrize("host", [b"Notes.Bob.Example:9001", b"[fd00::1]:9001"])
def test_at_a_port_of_our_own_every_uri_of_the_app_leads_back_to_that_port(host: bytes) -> None:
    app = Origin("https", host.rpartition(b":")[0].lower().decode(), 8443)
    form, own = ProxyForm(host, app, _LISTENER), app.host.encode()
    for whole, rest in (
        (b"http://%b/x", b"/x"), (b"//%b/x", b"/x"), (b"https://%b:8443", b""),
        (b"http://%b?x", b"?x"), (b"//%b:8443/x", b"/x"), (b"https://%b/x", b"/x"),
    ):  # fmt: skip
        assert form.reference(whole % own) == b"http://%b%b" % (host, rest)
    for other in (
        b"/x",
        b"x",
        b"http://%b:9001/x" % own,
        b"http://evil.example/x",
        b"//x%b/" % own,
    ):
        assert form.reference(other) == other


_RELATIVE = [
    (b"/peer/x/", b"/peer/x/"), (b"/", b"/"), (b"/x//y?z#f", b"/x//y?z#f"),
    (b"//notes.bob.example/x", b"/x"), (b"//NOTES.bob.example:8443?x", b"/?x"),
    (b"//notes.bob.example", b"/"),
    (b"../x", b"/x"), (b"../../../protected/peers", b"/protected/peers"), (b"..", b"/"),
    (b"../../other1/x", b"/other1/x"), (b"./x", b"/peer/x"), (b".", b"/peer/"),
    (b"a/../../../../x", b"/x"), (b"a//../../../../x?../../y", b"/x?../../y"),
    (b"%2e%2E/%2e/.%2e/x", b"/x"), (b"/%2e%2e/protected/peers", b"/protected/peers"),
    (b"/../../protected/peers", b"/protected/peers"), (b"/a/..", b"/"), (b"/a/.", b"/a/"),
    (b"..\\..\\protected\\peers", b"/protected/peers"), (b"x\\y", b"/peer/x/y"),
    (b"\\protected\\peers", b"/protected/peers"), (b".\t./.\t./x", b"/x"),
    (b"/internal/call_peer/other1/x", b"/internal/call_peer/other1/x"),
    # Without a host, or with a scheme alone, clients differ on what it is relative to.
    (b"///protected/peers", b"/protected/peers"), (b"////x", b"//x"), (b"//", b"/"),
    (b"http:/protected/peers", b"/protected/peers"), (b"http:x", b"/peer/x"),
    (b"HTTP:../../x", b"/x"), (b"http:///protected/peers", b"/protected/peers"),
    (b"http:\\protected", b"/protected"), (b"/\\/protected/peers", b"/protected/peers"),
    (b"https://notes.bob.example/../../protected/peers", b"/protected/peers"),
    (b"http:", b"/"), (b"http:?x", b"/?x"),
    (b" /x ", b"/x"), (b"1http:/../../x", b"/x"),
    # An empty scheme is none to httpx, and so is a host that isn't there, whatever stands beside.
    (b":/other1/x", b"/other1/x"), (b"::/x", b"/x"), (b":http:../x", b"/x"), (b":///x", b"/x"),
    (b"//@/other1/x", b"/other1/x"), (b"//a@:80/x", b"/x"), (b"HTTP://:/x", b"/x"),
    (b"\\\\:\\x", b"/x"), (b"//a@b@/x", b"/x"), (b"/\t/\t@/x", b"/x"),
    # Parameters are none of the path's to urljoin.
    (b"..;", b"/"), (b"../..;x", b"/"), (b"/..;/other1", b"/other1"), (b"%2e%2e;a=b?x", b"/?x"),
    # Programs that read bytes as Latin-1 may take these for blanks.
    (b"\xa0/other1/x", b"/other1/x"), (b"\x85 ../../x", b"/x"), (b"..\xa0", b"/"),
    (b"/x/\xc3\xa0", b"/x/\xc3\xa0"),
]  # fmt: skip


@pytest.mark.parametrize(("relative", "at_app"), _RELATIVE)
def test_by_path_a_reference_stays_below_the_peer(relative: bytes, at_app: bytes) -> None:
    assert _BY_PATH.reference(relative) == _BY_PATH.prefix + at_app


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b"?x",
        b"#x",
        b"?../../x",
        b"x",
        b"x/y/?..",
        b"x..",
        b"...",
        b"%2e%2e%2e",
        b"a//b",
        b"a:b",
        b"a%2f..%2fb",
        b"a;..",
        b"..a;b",
        b"caf\xc3\xa0",
        b"?a\\b\tc",
    ],
)
def test_what_stays_there_by_itself_isnt_touched(left: bytes) -> None:
    assert _BY_PATH.reference(left) == left
    assert _BY_PROXY.reference(left) == left


@pytest.mark.parametrize(
    ("at_listener", "at_app"),
    [
        (
            b"http://portal_core/internal/call_peer/other1/x?y#z",
            b"/internal/call_peer/other1/x?y#z",
        ),
        (b"//portal-core/protected/peers", b"/protected/peers"),
        (b"http://portal_core", b"/"),
        (b"http://127.0.0.1:8081/internal/call_peer/other1", b"/internal/call_peer/other1"),
    ],
)
def test_what_names_the_listener_is_taken_for_a_path_of_the_peers(
    at_listener: bytes, at_app: bytes
) -> None:
    assert _BY_PROXY.reference(at_listener) == b"http://Notes.Bob.Example" + at_app
    for form in (_BY_PATH, _BARE):
        assert form.reference(at_listener) == form.prefix + at_app
    link = followable(((b"link", b"<%b>; rel=next" % at_listener),), _BY_PATH)
    assert link == ((b"link", b"<%b>; rel=next" % (_BY_PATH.prefix + at_app)),)


def test_by_proxy_what_has_no_scheme_loses_its_port_alone() -> None:
    assert _BY_PROXY.reference(b"//notes.bob.example:8443/x") == b"//Notes.Bob.Example/x"
    for other in (b"//notes.bob.example:9000/x", b"//notes.bob.example/x", b"//x.example:8443/x"):
        assert _BY_PROXY.reference(other) == other


@pytest.mark.parametrize("relative", [b"/x/", b"../x", b"//host/../x", b"http:/x", b"\\x", b"a\tb"])
def test_by_proxy_the_peer_has_a_host_of_its_own(relative: bytes) -> None:
    assert _BY_PROXY.reference(relative) == relative


def test_where_nothing_stands_behind_the_id_all_is_relative_to_it() -> None:
    assert _BARE.reference(b"x") == b"/internal/call_peer/8271dd/x"
    assert _BARE.reference(b"?x") == b"?x"
    assert _BARE.reference(b"../other1/x") == b"/internal/call_peer/8271dd/other1/x"


@given(
    st.lists(
        st.sampled_from(
            [
                "..",
                ".",
                "/",
                "\\",
                "%2e",
                "//",
                "\t",
                "x",
                ":",
                "http:",
                "?",
                "#",
                "peer",
                "@",
                ";",
                "//portal_core",
                "/internal/call_peer/",
                "8271dd",
                "other1",
            ]
        ),
        max_size=12,
    ).map("".join),
    st.sampled_from([_BY_PATH, _BARE]),
)
def test_no_client_leaves_the_form_for_another_path_of_the_host(
    reference: str, form: PathForm
) -> None:
    base = "http://portal_core" + form.prefix.decode() + ("" if form is _BARE else "/peer/x")
    given_to_client = form.reference(reference.encode()).decode()
    for reads in (urljoin, _as_browser, _as_httpx):
        url = urlsplit(reads(base, given_to_client))
        if url.scheme == "http" and url.hostname == "portal_core":
            path = urljoin("http://h", url.path).removeprefix("http://h")
            assert re.match(r"/internal/call_peer/8271dd(/|\Z)", path), given_to_client
            assert not re.search(r"/\.\.(/|\Z)", path)


def _as_browser(base: str, reference: str) -> str:
    """Join as the WHATWG's standard has it, as far as backslashes, tabs and escaped dots go."""
    path, mark, behind = re.fullmatch(r"([^?#]*)([?#]?)(.*)", reference.replace("\t", "")).groups()  # type: ignore[union-attr]
    path = re.sub(r"%2e", ".", path.replace("\\", "/"), flags=re.IGNORECASE)
    path = re.sub(r"\A(https?:)?///+", r"\1//", path)
    return urljoin(base, path + mark + behind)


def _as_httpx(base: str, reference: str) -> str:
    try:
        return str(URL(base).join(reference))
    except InvalidURL:
        return ""


_LINKS = [
    (b'<https://notes.bob.example/a>; rel="next"', b'<http://Notes.Bob.Example/a>; rel="next"'),
    (
        b'<https://notes.bob.example:8443/a,b;c>;rel=x , <https://evil.example/>, <//x>;a="\\"<",',
        b'<http://Notes.Bob.Example/a,b;c>;rel=x , <https://evil.example/>, <//x>;a="\\"<",',
    ),
    (b"<https://notes.bob.example>,</x>", b"<http://Notes.Bob.Example>,</x>"),
    (b'</x>; title="<https://notes.bob.example/>, <https://notes.bob.example/>"', None),
    (b'</x>; anchor="https://notes.bob.example/"', None),
    (
        b'</x>; title="\xc3\xa9", <https://notes.bob.example/>',
        b'</x>; title="\xc3\xa9", <http://Notes.Bob.Example/>',
    ),
    (b'</x>; title="open, <https://notes.bob.example/>', None),
    (b"</x>; title=<https://notes.bob.example/>", None),
    (b"https://notes.bob.example/", None),
    (b"<https://notes.bob.example/", None),
    (b"", None),
    (b"</x> <https://notes.bob.example/>", None),
    (b",, ,", None),
    (b"<https://evil.example/<https://notes.bob.example/>>", None),
]


@pytest.mark.parametrize(("line", "changed"), _LINKS)
def test_each_reference_of_a_link_and_nothing_else(line: bytes, changed: bytes | None) -> None:
    fields = ((b"link", line), (b"x", line), (b"link", line))
    expected = line if changed is None else changed
    assert followable(fields, _BY_PROXY) == ((b"link", expected), (b"x", line), (b"link", expected))


def test_only_fields_with_references_are_read() -> None:
    whole = b"https://notes.bob.example/x"
    names = (b"location", b"content-location", b"link", b"set-cookie", b"refresh", b"x-location")
    fields = tuple((name, whole) for name in names)
    changed = b"http://Notes.Bob.Example/x"
    told = followable(fields, _BY_PROXY)
    assert [value for _, value in told] == [changed, changed, whole, whole, whole, whole]
    assert [name for name, _ in told] == list(names)
    untouched = ((b"content-type", b"text/plain"),)
    assert followable(untouched, _BY_PATH) is untouched


_COOKIES = [
    (b"a=b; Path=/peer", b"a=b; Path={}/peer"),
    (b"a=b; Path=/", b"a=b; Path={}/"),
    (b"a=b;PATH = /x; Secure", b"a=b;PATH = {}/x; Secure"),
    (b"a=b;\tpath=\t/x", b"a=b;\tpath=\t{}/x"),
    (b'a=b; Path="/x"', b'a=b; Path="{}/x"'),
    (b"a=b; Path=/x; Path=/y", b"a=b; Path={}/x; Path={}/y"),
    (b'a="b; Path=/x"', b'a="b; Path={}/x"'),
    (b"a=b;\xa0Path\xa0=\xa0/x", b"a=b;\xa0Path\xa0=\xa0{}/x"),
    (b"a=b; Path=/../../protected", b"a=b; Path={}/../../protected"),
    (b"a=b", None),
    (b"a=b; Path=", None),
    (b"a=b; Path", None),
    (b"a=b; Path=x", None),
    (b"a=Path=/x", None),
    (b"path=/x", None),
    (b"a=b; XPath=/x", None),
    (b"a=b; Comment=path=/x", None),
    (b"a=b; Max-Age=1; HttpOnly", None),
    (b"", None),
]


_BESIDE = [
    *((cookie, below) for cookie, below in _COOKIES[:4] if below),
    # Of several some go by the first, others by the last.
    (b"a=b; Path=/x; Path=/y", b"a=b; Path={}/x; Path={}/y"),
    (b"a=b; Path=", b"a=b; Path={};; Path={}"),
    (b"a=b; Path=x", b"a=b; Path={};x; Path={}"),
    (b"a=b; Path=/x; Path=y", b"a=b; Path={}/x; Path={};y; Path={}"),
    # What is a path to some alone.
    (b'a=b; Path="/x"', b'a=b; Path="{}/x"; Path={}'),
    (b"a=b;\xa0Path\xa0=\xa0/x", b"a=b;\xa0Path\xa0=\xa0{}/x; Path={}"),
    *((cookie, cookie + b"; Path={}") for cookie in (b"", b"a=b", b"a=b; Path", b"path=/x")),
]


@pytest.mark.parametrize(("cookie", "below"), _COOKIES)
def test_by_path_a_cookie_is_for_its_peer_alone(cookie: bytes, below: bytes | None) -> None:
    expected = cookie if below is None else below.replace(b"{}", _BY_PATH.prefix)
    assert _BY_PATH.cookie(cookie) == expected
    assert _BY_PROXY.cookie(cookie) == cookie


@pytest.mark.parametrize(("cookie", "beside"), _BESIDE)
def test_where_nothing_stands_behind_the_id_it_is_for_its_peer_as_well(
    cookie: bytes, beside: bytes
) -> None:
    assert _BARE.cookie(cookie) == beside.replace(b"{}", _BARE.prefix)


@given(
    st.lists(
        st.sampled_from(
            ["a", "=", "b", ";", " ", "\t", "\xa0", "\x85", ";Path=", "path", "/", "/x", '"', ","]
        ),
        max_size=9,
    ).map("".join),
)
def test_neither_browsers_nor_jars_give_a_cookie_to_what_stands_beside(behind: str) -> None:
    told = _BARE.cookie(b"n=v" + behind.encode("latin-1")).decode("latin-1")
    for path in (_browsers_path(told), *_jars_paths(told)):
        assert re.match(r"/internal/call_peer/8271dd(/|\Z)|[^/]", path), told


def _browsers_path(cookie: str) -> str:
    """Return the path of a cookie as browsers read it (RFC 6265bis, section 5.6)."""
    path = beside = "/internal/call_peer"
    for attribute in cookie.split(";")[1:]:
        name, _, value = (part.strip(" \t") for part in attribute.partition("="))
        if name.lower() == "path":
            path = value if value.startswith("/") else beside
    return path


def _jars_paths(cookie: str) -> list[str]:
    jar, message = CookieJar(), HTTPMessage()
    message["Set-Cookie"] = cookie
    request = Request("http://portal.test/internal/call_peer/8271dd")
    jar.extract_cookies(cast(Any, SimpleNamespace(info=lambda: message)), request)
    return [each.path for each in jar]


@pytest.mark.parametrize("form", [_BY_PATH, _BY_PROXY])
def test_a_cookie_for_more_than_the_peers_app_reaches_nobody(form: PathForm | ProxyForm) -> None:
    """With the domain of several Portals it would come to the app of a third one."""
    for domain in (b"bob.example", b".example", b"carol.example", b"portal_core", b"127.0.0.1"):
        fields = ((b"set-cookie", b"a=b; Domain=" + domain), (b"set-cookie", b"c=d"))
        assert followable(fields, form) == ((b"set-cookie", b"c=d"),)
    for domain in (b"notes.bob.example", b".Notes.Bob.Example", b"", b"x.notes.bob.example"):
        its = ((b"set-cookie", b"a=b; Domain=" + domain),)
        assert followable(its, form) == its


def test_long_cookies_and_links_cost_no_more_than_their_length() -> None:
    for value in (b"a=b;" + b" " * 60_000 + b"path=/x", b"a=b" + b";path" * 12_000 + b" " * 6_000):
        assert _BY_PATH.cookie(value)[:4] == b"a=b;"
    assert followable(((b"link", b'<a>;x="' + b"\\" * 60_000),), _BY_PATH)
    for value in (b'<a>;"' * 12_000, b"<" * 60_000, b"<a>," * 15_000):
        assert followable(((b"link", value), (b"x", b"")), _BY_PATH) == ((b"x", b""),)


@pytest.mark.parametrize("form", [_BY_PATH, _BY_PROXY])
def test_more_links_than_anybody_has_are_left_out(form: PathForm | ProxyForm) -> None:
    half, other = b"<https://notes.bob.example/>," * (MOST_LINKS // 2), (b"content-type", b"a/b")
    told = followable(((b"link", half), other, (b"link", half)), form)
    changed = b"<" + form.reference(b"https://notes.bob.example/") + b">,"
    assert [value.count(changed) for _, value in told] == [MOST_LINKS // 2, 0, MOST_LINKS // 2]
    assert followable((*told, (b"link", b"<x>")), form) == (other,)


def test_a_cookie_jar_gives_it_to_no_other_peer() -> None:
    jar = CookieJar()
    request = Request("http://portal.test/internal/call_peer/8271dd")
    for number, cookie in enumerate(
        [b"=b", b"=b; Path=/", b"=b;\xa0Path=/internal/call_peer/other1"]
    ):
        message = HTTPMessage()
        message["Set-Cookie"] = _BARE.cookie(b"c%d" % number + cookie).decode("latin-1")
        jar.extract_cookies(cast(Any, SimpleNamespace(info=lambda told=message: told)), request)
    assert len(jar) == 3
    sent = {}
    for peer in ("8271dd", "other1", "8271ddx"):
        request = Request(f"http://portal.test/internal/call_peer/{peer}/x")
        jar.add_cookie_header(request)
        sent[peer] = request.get_header("Cookie", "")
    assert sent == {"8271dd": "c1=b; c0=b", "other1": "", "8271ddx": ""}
