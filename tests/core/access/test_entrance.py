"""Who may ask at an app's own entrance, and where a request there leads."""

import pytest

from proxy.core.access.call_routes import HostCall, PeerCall, Route, ServicePath, TunnelCall
from proxy.core.access.entrance import entrance_route, refuse_browsers
from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field, indexed

_PEER = "guestbook.8271dd.p.example"


def _fields(*fields: Field) -> list[Field]:
    return [(b"host", b"portal_core"), *fields]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"sec-fetch-mode", b"cors")],  # Node's fetch, and nothing else with it
        [(b"referer", b"http://evil.example/"), (b"cookie", b"a=b")],
        [(b"accept", b"text/html"), (b"user-agent", b"Mozilla/5.0")],
        [(b"origin-agent-cluster", b"?1"), (b"x-origin", b"http://evil.example")],
    ],
)
def test_programs_may_ask(fields: list[Field]) -> None:
    refuse_browsers(_fields(*fields))
    refuse_browsers(indexed(_fields(*fields)))


@pytest.mark.parametrize(
    "fields",
    [
        [(b"origin", b"http://evil.example")],
        [(b"origin", b"null")],
        [(b"origin", b"")],
        [(b"origin", b"http://portal_core")],
        [(b"sec-fetch-site", b"none")],
        [(b"sec-fetch-site", b"same-origin")],
        [(b"sec-fetch-dest", b"empty")],
        [(b"sec-fetch-user", b"?1")],
        [(b"sec-fetch-storage-access", b"active")],
        [(b"sec-fetch-mode", b"navigate")],
        [(b"sec-fetch-mode", b"no-cors")],
        [(b"sec-fetch-mode", b"websocket")],
        [(b"sec-fetch-mode", b"")],
        [(b"sec-fetch-mode", b"cors"), (b"sec-fetch-mode", b"navigate")],
        [(b"sec-fetch-mode", b"cors"), (b"sec-fetch-site", b"cross-site")],
        [(b"sec-fetch-mode", b"cors"), (b"sec-fetch-dest", b"empty")],
        [(b"sec-fetch-mode", b"cors"), (b"origin", b"http://evil.example")],
    ],
)
def test_browsers_may_not(fields: list[Field]) -> None:
    for each in (_fields(*fields), indexed(_fields(*fields))):
        with pytest.raises(Refusal) as refused:
            refuse_browsers(each)
        assert refused.value.code is Code.FROM_A_BROWSER


@pytest.mark.parametrize(
    ("host", "target", "leads_to"),
    [
        ("portal_core", "/protected/peers", ServicePath(b"/protected/peers")),
        ("portal-core", "/", ServicePath(b"/")),
        ("shard_core:9001", "/protected/peers?name=a", ServicePath(b"/protected/peers?name=a")),
        ("PORTAL_CORE:", "/internal/call_peer/8271dd/x?y", PeerCall("8271dd", b"/x?y")),
        (_PEER, "/x?y", HostCall(_PEER, b"/x?y")),
        (f"{_PEER.upper()}:8080", "//x", HostCall(_PEER, b"//x")),
        (_PEER, "/internal/call_peer/8271dd/x", HostCall(_PEER, b"/internal/call_peer/8271dd/x")),
        ("evil.example", "/x", HostCall("evil.example", b"/x")),  # of whom it isn't, others tell
        ("127.0.0.1", "/x", HostCall("127.0.0.1", b"/x")),
        ("[fd00::1]:9001", "/x", HostCall("[fd00::1]", b"/x")),
        ("portal_core", "http://shard_core:80/x", ServicePath(b"/x")),
        (f"{_PEER}:80", f"http://{_PEER}?y", HostCall(_PEER, b"/?y")),
    ],
)
def test_the_host_decides(host: str, target: str, leads_to: Route) -> None:
    fields = [(b"host", host.encode())]
    assert entrance_route(b"GET", target.encode(), fields) == leads_to


@pytest.mark.parametrize(
    ("host", "target", "written"),
    [
        (_PEER.upper(), "/x", _PEER.upper()),
        (f"{_PEER}:9001", "/x", f"{_PEER}:9001"),
        (f"{_PEER}:80", "/x", _PEER),
        (f"{_PEER}:", "/x", _PEER),
        ("[fd00::1]:9001", "/x", "[fd00::1]:9001"),
        ("[fd00::1]", "/x", "[fd00::1]"),
        # Who treats us as its proxy comes here by whichever port.
        (f"{_PEER}:9001", f"http://{_PEER}:9001/x", _PEER),
    ],
)
def test_who_resolved_the_host_needs_the_port_again(host: str, target: str, written: str) -> None:
    leads_to = entrance_route(b"GET", target.encode(), [(b"host", host.encode())])
    assert isinstance(leads_to, HostCall)
    assert leads_to.written == written.encode()


@pytest.mark.parametrize(
    ("method", "target", "hosts"),
    [
        (b"GET", b"/x", []),
        (b"GET", b"/x", [b""]),
        (b"GET", b"/x", [b"portal_core", b"portal_core"]),
        (b"GET", b"/x", [b"portal_core,evil.example"]),
        (b"GET", b"/x", [b"portal_core evil.example"]),
        (b"GET", b"/x", [b"evil.example@portal_core"]),
        (b"GET", b"/x", [b"portal_core/x"]),
        (b"GET", b"/x", [b"portal_core:x"]),
        (b"GET", b"/x", [b"p\xf6rtal_core"]),
        (b"GET", b"http://portal_core/x", [b"evil.example"]),
        (b"GET", b"http://portal_core/x", []),
        (b"GET", b"http://evil.example/x", [b"portal_core"]),
        (b"GET", b"https://portal_core/x", [b"portal_core"]),
        (b"GET", b"x", [b"portal_core"]),
        (b"OPTIONS", b"*", [b"portal_core"]),
    ],
)
def test_what_names_no_host_or_two_is_refused(
    method: bytes, target: bytes, hosts: list[bytes]
) -> None:
    with pytest.raises(Refusal) as refused:
        entrance_route(method, target, [(b"host", host) for host in hosts])
    assert refused.value.code is Code.NOT_A_PEER_HOST


def test_a_tunnel_is_to_what_its_target_names() -> None:
    fields = [(b"host", b"evil.example")]
    assert entrance_route(b"CONNECT", b"portal_core:80", fields) == TunnelCall("portal_core", 80)
    assert entrance_route(b"CONNECT", b"portal_core:80", []) == TunnelCall("portal_core", 80)
    with pytest.raises(Refusal) as refused:
        entrance_route(b"CONNECT", b"/x", [(b"host", b"portal_core")])
    assert refused.value.code is Code.BAD_TUNNEL
