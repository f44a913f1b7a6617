"""Where a request at the apps listener leads, in both forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.call_routes import (
    HostCall,
    PeerCall,
    Route,
    ServicePath,
    TunnelCall,
    destination_at_peer,
    is_absolute,
    path_prefix,
    route,
    route_in_tunnel,
)
from proxy.core.errors import Code, Refusal

_NAMES = frozenset({"127.0.0.1", "[::1]"})


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        (b"/protected/peers?name=x", ServicePath(b"/protected/peers?name=x")),
        (b"/", ServicePath(b"/")),
        (b"/internal/call_peer", ServicePath(b"/internal/call_peer")),
        (b"/internal/call_peerx/8271dd", ServicePath(b"/internal/call_peerx/8271dd")),
        (b"/x/internal/call_peer/8271dd", ServicePath(b"/x/internal/call_peer/8271dd")),
        (b"/internal/call_peer/8271dd", PeerCall("8271dd", b"/")),
        (b"/internal/call_peer/8271dd/", PeerCall("8271dd", b"/")),
        (b"/internal/call_peer/8271dd?x", PeerCall("8271dd", b"/?x")),
        (b"/internal/call_peer/8271dd/?", PeerCall("8271dd", b"/?")),
        (b"/internal/call_peer/8271dd/a%2Fb?b&c=%E4", PeerCall("8271dd", b"/a%2Fb?b&c=%E4")),
        (b"/internal/call_peer/8271dd//a//?/?x", PeerCall("8271dd", b"//a//?/?x")),
        (b"/internal/call_peer//x", PeerCall("", b"/x")),
        (b"/internal/call_peer/x@evil.test%23/y", PeerCall("x@evil.test%23", b"/y")),
        (b"/internal/call_peer/\xe4/y", PeerCall("\ufffd", b"/y")),
        (b"http://guestbook.8271dd.p.example/x?y", HostCall("guestbook.8271dd.p.example", b"/x?y")),
        (b"HTTP://Guestbook.8271DD.p.example", HostCall("guestbook.8271dd.p.example", b"/")),
        (b"http://a.example:8080/x", HostCall("a.example", b"/x")),
        (b"http://a.example:/x", HostCall("a.example", b"/x")),
        (b"http://a.example?x", HostCall("a.example", b"/?x")),
        (b"http://a.example//x", HostCall("a.example", b"//x")),
        (b"http://[fd00::1]/x", HostCall("[fd00::1]", b"/x")),
        (b"http://portal_core/protected/peers", ServicePath(b"/protected/peers")),
        (b"http://shard_core/internal/call_peer/8271dd/x?y", PeerCall("8271dd", b"/x?y")),
        (b"http://Shard_Core:80/public/meta/whoareyou", ServicePath(b"/public/meta/whoareyou")),
        (b"http://127.0.0.1:8081/protected/peers", ServicePath(b"/protected/peers")),
        (b"http://[::1]", ServicePath(b"/")),
    ],
)
def test_a_target_leads_where_it_says(target: bytes, leads_to: Route) -> None:
    assert route(b"GET", target, _NAMES) == leads_to
    assert is_absolute(target) == (not target.startswith(b"/"))


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"GET", b"https://guestbook.8271dd.p.example/"),
        (b"GET", b"ftp://a.example/"),
        (b"GET", b"file:///etc/passwd"),
        (b"GET", b"http://app:token@a.example/"),
        (b"GET", b"http://a.example#x"),
        (b"GET", b"http://a.example\\x/"),
        (b"GET", b"http:///x"),
        (b"GET", b"http://a b/"),
        (b"GET", b"http://a%2e.example/"),
        (b"GET", b"http://\xef\xbc\x8e/"),
        (b"GET", b"http://a.example:http/"),
        (b"OPTIONS", b"*"),
        (b"GET", b"a.example"),
        (b"GET", b""),
    ],
)
def test_anything_else_leads_nowhere(method: bytes, target: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        route(method, target, _NAMES)
    assert caught.value.code is Code.NOT_A_PEER_HOST


@given(
    portal_id=st.text("abc123", min_size=6, max_size=6),
    path=st.binary(max_size=10).filter(lambda p: b"?" not in p),
    query=st.none() | st.binary(max_size=10),
)
def test_what_stands_behind_the_id_is_the_peers_byte_for_byte(
    portal_id: str, path: bytes, query: bytes | None
) -> None:
    target = b"/" + path + (b"?" + query if query is not None else b"")
    asked = b"/internal/call_peer/" + portal_id.encode() + target
    assert route(b"PUT", asked, _NAMES) == PeerCall(portal_id, target)
    absolute = b"http://portal_core" + asked
    assert route(b"PUT", absolute, _NAMES) == PeerCall(portal_id, target)


@given(st.binary(max_size=20), st.binary(max_size=40))
def test_whatever_comes_leads_somewhere_or_is_refused(method: bytes, target: bytes) -> None:
    try:
        leads_to = route(method, target, _NAMES)
    except Refusal:
        return
    if isinstance(leads_to, TunnelCall):
        assert method == b"CONNECT"
    else:
        assert leads_to.target.startswith(b"/")


def test_how_a_call_was_written_is_known() -> None:
    by_host = route(b"GET", b"http://Guestbook.8271DD.p.example:80/x", _NAMES)
    assert isinstance(by_host, HostCall)
    assert by_host.written == b"Guestbook.8271DD.p.example"
    for target, is_bare in ((b"/8271dd", True), (b"/8271dd?x", True), (b"/8271dd/", False)):
        by_path = route(b"GET", b"/internal/call_peer" + target, _NAMES)
        assert isinstance(by_path, PeerCall)
        assert by_path.is_bare is is_bare
        assert path_prefix(by_path.id) == b"/internal/call_peer/8271dd"


_CALLED = "8271dd" + "a" * 97
_OWN = frozenset({"portal_core", "127.0.0.1", "[::1]"})


@pytest.mark.parametrize(
    ("destination", "at_peer"),
    [
        (b"/internal/call_peer/8271dd/a%2Fb?c#d", b"/a%2Fb?c#d"),
        (b"/internal/call_peer/8271dd//x", b"//x"),
        (b"/internal/call_peer/8271dd/../x", b"/../x"),
        (b"/internal/call_peer/8271dd", b"/"),
        (b"/internal/call_peer/8271dd?x", b"/?x"),
        (b"/internal/call_peer/" + _CALLED.encode() + b"/x", b"/x"),
        (b"http://portal_core/internal/call_peer/8271dd/x", b"/x"),
        (b"HTTP://PORTAL_CORE:80/internal/call_peer/8271dda/x", b"/x"),
        (b"http://127.0.0.1:8081/internal/call_peer/8271dd/x", b"/x"),
        (b"http://[::1]:8081/internal/call_peer/8271dd/x", b"/x"),
    ],
)
def test_a_destination_by_path_is_told_as_a_path(destination: bytes, at_peer: bytes) -> None:
    assert destination_at_peer(destination, _CALLED, _OWN) == at_peer


@pytest.mark.parametrize(
    "destination",
    [
        b"/x",
        b"/internal/call_peer",
        b"/x/internal/call_peer/8271dd/x",
        b"http://guestbook.8271dd.p.example/x",
        b"http://evil.example/internal/call_peer/8271dd/x",
        b"http://portal_core@evil.example/internal/call_peer/8271dd/x",
        b"http://portal_core.evil.example/internal/call_peer/8271dd/x",
        b"https://portal_core/internal/call_peer/8271dd/x",
        b"//portal_core/internal/call_peer/8271dd/x",
        b"http://portal_core/x",
        b"http://portal_core",
        b"",
        b"\xff",
    ],
)
def test_any_other_destination_is_for_the_peer_to_judge(destination: bytes) -> None:
    assert destination_at_peer(destination, _CALLED, _OWN) == destination


@pytest.mark.parametrize(
    "portal_id",
    [b"", b"..", b"8271d", b"8271de", b"8271ddx", b"8271DD", b"8271dd%2f", b"\xff", b"b" * 103],
)
def test_nothing_is_moved_to_another_peer(portal_id: bytes) -> None:
    for host in (b"", b"http://portal_core"):
        with pytest.raises(Refusal) as caught:
            destination_at_peer(host + b"/internal/call_peer/" + portal_id + b"/x", _CALLED, _OWN)
        assert caught.value.code is Code.BAD_FIELD


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        (b"guestbook.8271dd.p.example:80", "guestbook.8271dd.p.example", 80),
        (b"Guestbook.8271DD.p.example:443", "guestbook.8271dd.p.example", 443),
        (b"portal_core:80", "portal_core", 80),
        (b"[FD00::1]:65535", "[fd00::1]", 65535),
    ],
)
def test_connect_names_a_host_and_a_port(target: bytes, host: str, port: int) -> None:
    assert route(b"CONNECT", target, _NAMES) == TunnelCall(host, port)


@pytest.mark.parametrize(
    "target",
    [
        b"", b"/", b"/x", b"*", b"a.example", b"a.example:", b":80", b"a.example:080",
        b"a.example:0", b"a.example:65536", b"a.example:999999", b"a.example:-1",
        b"a.example:80/", b"a.example:80 ", b"a.example:80:80", b"fd00::1:80", b"[fd00::1]",
        b"u:p@a.example:80", b"http://a.example:80", b"a%2eexample:80", b"a.example:8\xb2",
        b"\xef\xbc\x8e:80", b"a.example\x00:80", b"a.example:80\n", b"a b:80",
    ],
)  # fmt: skip
def test_a_tunnel_that_names_none_is_refused(target: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        route(b"CONNECT", target, _NAMES)
    assert caught.value.code is Code.BAD_TUNNEL


@pytest.mark.parametrize(
    ("host", "target", "shown", "leads_to"),
    [
        ("a.example", b"/x?y", b"a.example", HostCall("a.example", b"/x?y")),
        ("a.example", b"//x", b"A.Example:80", HostCall("a.example", b"//x")),
        (
            "a.example",
            b"/protected/peers",
            b"a.example",
            HostCall("a.example", b"/protected/peers"),
        ),
        ("portal_core", b"/protected/peers", b"portal_core", ServicePath(b"/protected/peers")),
        ("shard_core", b"/internal/call_peer/8271dd/x", b"shard_core", PeerCall("8271dd", b"/x")),
    ],
)
def test_a_path_in_a_tunnel_leads_to_its_host(
    host: str, target: bytes, shown: bytes, leads_to: Route
) -> None:
    assert route_in_tunnel(host, b"GET", target, [shown]) == leads_to


@pytest.mark.parametrize(
    ("method", "target", "shown", "code"),
    [
        (b"CONNECT", b"a.example:80", [b"a.example"], Code.BAD_TARGET),
        (b"CONNECT", b"/x", [b"a.example"], Code.BAD_TARGET),
        (b"GET", b"http://a.example/x", [b"a.example"], Code.BAD_TARGET),
        (b"GET", b"http://portal_core/x", [b"a.example"], Code.BAD_TARGET),
        (b"OPTIONS", b"*", [b"a.example"], Code.BAD_TARGET),
        (b"GET", b"", [b"a.example"], Code.BAD_TARGET),
        (b"GET", b"/x", [], Code.MISDIRECTED),
        (b"GET", b"/x", [b""], Code.MISDIRECTED),
        (b"GET", b"/x", [b"b.example"], Code.MISDIRECTED),
        (b"GET", b"/x", [b"a.example", b"a.example"], Code.MISDIRECTED),
        (b"GET", b"/x", [b"a.example:"], Code.MISDIRECTED),
        (b"GET", b"/x", [b"a.example:080"], Code.MISDIRECTED),
        (b"GET", b"/x", [b"a.example:443"], Code.MISDIRECTED),
        (b"GET", b"/x", [b"a.example."], Code.MISDIRECTED),
        (b"GET", b"/x", [b"u@a.example"], Code.MISDIRECTED),
        (b"GET", b"/x", [b"a.example, b.example"], Code.MISDIRECTED),
    ],
)
def test_what_is_for_another_host_or_no_path_is_refused_in_a_tunnel(
    method: bytes, target: bytes, shown: list[bytes], code: Code
) -> None:
    with pytest.raises(Refusal) as caught:
        route_in_tunnel("a.example", method, target, shown)
    assert caught.value.code is code
    assert "a.example alone" in caught.value.hint
