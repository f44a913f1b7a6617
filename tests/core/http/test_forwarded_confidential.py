"""Whether others can have read a request on its way: what tokens are taken by."""

from __future__ import annotations

import pytest

from proxy.core.http.forwarded import (
    NOBODY,
    RemotePeer,
    Scheme,
    Trusted,
    is_confidential,
    read_network,
)

_CLIENT = "X-Forwarded-For: 203.0.113.7"
_HTTPS, _HTTP = "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"
_SERVERS = Trusted((read_network("10.0.0.0/8"), read_network("127.0.0.1")), unix=True)
_FAR, _HERE = RemotePeer("203.0.113.7"), RemotePeer("127.0.0.1")
_UNIX = RemotePeer("", is_unix=True)
_PROXY = RemotePeer("10.0.0.1")


def confidential(remote: RemotePeer, trusted: Trusted, public: Scheme, *lines: str) -> bool:
    pairs = (line.encode().partition(b": ") for line in lines)
    fields = [(name.lower(), value) for name, _, value in pairs]
    return is_confidential(remote, fields, trusted, public=public)


def tls(remote: RemotePeer) -> RemotePeer:
    return RemotePeer(remote.address, remote.is_unix, is_tls=True)


@pytest.mark.parametrize("public", ["http", "https"])
@pytest.mark.parametrize(
    ("remote", "lines"),
    [
        (tls(_FAR), ()),
        (tls(_FAR), (_HTTP, _CLIENT)),
        (_HERE, ()),
        (RemotePeer("127.9.9.9"), ()),
        (RemotePeer("::1"), ()),
        (RemotePeer("::ffff:127.0.0.1"), ()),
        (_UNIX, ()),
        (tls(_HERE), ()),
    ],
)
def test_tls_and_this_machine_are(
    remote: RemotePeer, lines: tuple[str, ...], public: Scheme
) -> None:
    assert confidential(remote, NOBODY, public, *lines)


@pytest.mark.parametrize("public", ["http", "https"])
@pytest.mark.parametrize(
    ("remote", "lines"),
    [
        (_FAR, ()),
        (_FAR, (_HTTPS,)),
        (_FAR, (_HTTPS, "X-Forwarded-For: 127.0.0.1")),
        (_FAR, ("Forwarded: for=127.0.0.1;proto=https",)),
        (_PROXY, (_HTTPS, _CLIENT)),
        (RemotePeer(""), ()),
        (RemotePeer("unknown"), (_HTTPS,)),
        (RemotePeer("2001:db8::1"), ()),
        (RemotePeer("::ffff:203.0.113.7"), ()),
        (_HERE, (_HTTP, _CLIENT)),
        (_UNIX, (_HTTP, _CLIENT)),
        (_HERE, ("Forwarded: for=203.0.113.7;proto=http",)),
        (_HERE, (_CLIENT, "X-Forwarded-Scheme: HTTP")),
        (_UNIX, ("X-Forwarded-Scheme: https, http",)),
        (_HERE, (_CLIENT, "X-Forwarded-Ssl: off")),
    ],
)
def test_plain_http_from_elsewhere_isnt_whatever_it_says(
    remote: RemotePeer, lines: tuple[str, ...], public: Scheme
) -> None:
    assert not confidential(remote, NOBODY, public, *lines)


@pytest.mark.parametrize("line", [_CLIENT, _HTTPS, "Via: 1.1 nginx", "X-Real-IP: 203.0.113.7"])
def test_a_web_server_on_this_machine_that_nobody_named_is_as_the_portal_is_reached(
    line: str,
) -> None:
    assert confidential(_HERE, NOBODY, "https", line)
    assert not confidential(_HERE, NOBODY, "http", line)


@pytest.mark.parametrize("remote", [_PROXY, _HERE, _UNIX, tls(_PROXY)])
def test_a_trusted_web_server_says_what_its_client_spoke(remote: RemotePeer) -> None:
    for public in ("http", "https"):
        assert confidential(remote, _SERVERS, public, _HTTPS, _CLIENT)
        assert confidential(remote, _SERVERS, public, _HTTPS)
        assert confidential(remote, _SERVERS, public, _HTTPS, "X-Forwarded-Scheme: http")
        assert not confidential(remote, _SERVERS, public, "X-Forwarded-Ssl: off")
        assert not confidential(remote, _SERVERS, public, _HTTP, _CLIENT)
        assert not confidential(remote, _SERVERS, public, _HTTP)
        assert not confidential(remote, _SERVERS, public, f"{_HTTPS}, http", _CLIENT)
        assert confidential(remote, _SERVERS, public, "Forwarded: for=1.2.3.4;proto=https")
        assert not confidential(remote, _SERVERS, public, "Forwarded: for=1.2.3.4;proto=http")


@pytest.mark.parametrize("remote", [_PROXY, _HERE, _UNIX])
def test_where_it_doesnt_say_it_is_as_the_portal_is_reached(remote: RemotePeer) -> None:
    assert confidential(remote, _SERVERS, "https", _CLIENT)
    assert not confidential(remote, _SERVERS, "http", _CLIENT)


def test_what_nobody_carried_is_as_its_connection() -> None:
    """A program of this machine needs no web server, and no web server carries all silently."""
    for remote in (_HERE, _UNIX, tls(_PROXY)):
        assert confidential(remote, _SERVERS, "http")
    assert not confidential(_PROXY, _SERVERS, "http")


def test_to_a_web_server_nobody_is_on_this_machine() -> None:
    """Whoever says so may stand behind another one."""
    for told in ("127.0.0.1", "::1", "203.0.113.7, 127.0.0.1"):
        assert not confidential(_HERE, _SERVERS, "http", _HTTP, f"X-Forwarded-For: {told}")
