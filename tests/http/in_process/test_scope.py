"""What an app is told: the fields are the whole truth, the target stays as it came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

from proxy.core.http.origin import Origin
from proxy.http.in_process.scope import http_scope, server_scope, websocket_scope
from proxy.http.scope import TARGET
from proxy.http.upstream import Destination, UpstreamRequest
from tests.http.in_process.messages import HOST, ask

if TYPE_CHECKING:
    from proxy.core.http.headers import Field

FORWARDED = (b"x-forwarded-for", b"192.0.2.7, 198.51.100.1")


@pytest.fixture
def under_a_server() -> Iterator[None]:
    """A server whose scope says more than an app may believe."""
    told: dict[str, Any] = {
        "client": ("198.51.100.9", 4711),
        "headers": [(b"x-forwarded-for", b"evil")],
        "http_version": "2",
        "path": "/evil",
        "root_path": "/evil",
        "scheme": "https",
        "server": ("127.0.0.1", 8000),
        "state": {"pool": "the app's", TARGET: b"/evil"},
        "extensions": {"http.response.push": {}},
    }
    token = server_scope.set(told)
    yield
    server_scope.reset(token)


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/", "/", b"/", b""),
        (b"/a%2Fb?c=%20d", "/a/b", b"/a%2Fb", b"c=%20d"),
        (b"/?", "/", b"/", b""),
        (b"/a?b?c", "/a", b"/a", b"b?c"),
        (b"/%C3%A9", "/é", b"/%C3%A9", b""),
        (b"/%ff", "/\ufffd", b"/%ff", b""),
        (b"/%zz%2", "/%zz%2", b"/%zz%2", b""),
        (b"//a/../b;c", "//a/../b;c", b"//a/../b;c", b""),
        (b"*", "*", b"*", b""),
    ],
)
def test_a_target_is_told_as_it_came(
    target: bytes, path: str, raw_path: bytes, query: bytes
) -> None:
    scope = http_scope(ask(target=target))
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


@pytest.mark.usefixtures("under_a_server")
@pytest.mark.parametrize(
    ("fields", "client"),
    [
        ([], None),
        ([(b"x-forwarded-for", b"unknown")], None),
        ([(b"x-forwarded-for", b"unknown, 192.0.2.1")], None),
        ([FORWARDED], ("192.0.2.7", 0)),
        ([(b"x-forwarded-for", b"2001:db8::1")], ("2001:db8::1", 0)),
    ],
)
def test_the_client_is_who_the_fields_tell(
    fields: list[Field], client: tuple[str, int] | None
) -> None:
    assert http_scope(ask(*fields))["client"] == client


@pytest.mark.parametrize(
    ("origin", "told", "scheme"),
    [
        ("http", [], "http"),
        ("https", [], "https"),
        ("http", [b"https"], "https"),
        ("https", [b"http"], "http"),
        ("http", [b"ftp"], "http"),
        ("http", [b"https", b"https"], "http"),
        ("http", [b"https, http"], "http"),
    ],
)
def test_the_scheme_is_what_one_field_tells(
    origin: Literal["http", "https"], told: list[bytes], scheme: str
) -> None:
    fields = (HOST, *((b"x-forwarded-proto", value) for value in told))
    to = Destination(Origin(origin, "app.example", 80))
    request = UpstreamRequest(to, b"GET", b"/", fields)
    assert http_scope(request)["scheme"] == scheme
    assert websocket_scope(request)["scheme"] == {"http": "ws", "https": "wss"}[scheme]


@pytest.mark.usefixtures("under_a_server")
def test_of_the_server_s_scope_only_what_no_client_has_a_say_in_is_left() -> None:
    request = ask((b"accept", b"*/*"), method=b"pATCH", target=b"/x")
    scope = http_scope(request)
    assert scope["headers"] == [HOST, (b"accept", b"*/*")]
    assert scope["server"] == ("127.0.0.1", 8000)
    assert scope["state"] == {"pool": "the app's"}
    assert (scope["type"], scope["method"], scope["http_version"]) == ("http", "pATCH", "1.1")
    assert (scope["path"], scope["root_path"], scope["extensions"]) == ("/x", "", {})


def test_what_an_app_changes_in_its_scope_is_its_own() -> None:
    request = ask()
    http_scope(request)["headers"].clear()
    http_scope(request)["state"]["mine"] = 1
    assert http_scope(request)["headers"] == [HOST]
    assert http_scope(request)["state"] == {}


@pytest.mark.parametrize(
    ("lines", "offered"),
    [
        ([], []),
        ([b"chat"], ["chat"]),
        ([b"chat, v2.chat", b"other"], ["chat", "v2.chat", "other"]),
        ([b" ,chat,, "], ["chat"]),
    ],
)
def test_a_websocket_s_subprotocols_are_a_list_over_all_lines(
    lines: list[bytes], offered: list[str]
) -> None:
    scope = websocket_scope(ask(*((b"sec-websocket-protocol", line) for line in lines)))
    assert scope["subprotocols"] == offered
    assert scope["type"] == "websocket"
    assert "websocket.http.response" in scope["extensions"]
    assert "method" not in scope
