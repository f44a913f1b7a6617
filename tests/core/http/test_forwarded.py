"""What an app is told of the way by which a request came, and whose word that is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.hosts import Hosts
from proxy.core.app_fields import DEFAULT_POLICY, fields_for_app, fields_of_stranger
from proxy.core.http.forwarded import (
    MOST_HOPS,
    NOBODY,
    ForwardedChain,
    RemotePeer,
    Scheme,
    Trusted,
    fields_of_forwarded_chain,
    read_forwarded_chain,
    read_network,
)
from proxy.core.http.headers import Field, spelling
from proxy.core.http.origin import Origin
from tests.core.http.forwarded_rows import ALIAS, FORGED, TRUSTED, Case, cases

_PORTAL = Origin("http", "8271dd.p.example", 8080)
_HOSTS = Hosts(_PORTAL, (ALIAS,))
_HOST = _PORTAL.of_app("site").authority
_MADE = "0" * 32
_BELIEVED = Trusted(tuple(map(read_network, TRUSTED)))
_PROXY = RemotePeer("10.0.0.1")
ATTACKS, TWINS = cases(portal=_PORTAL.authority, host=_HOST)


def chain_of(
    *lines: bytes, remote: RemotePeer = _PROXY, trusted: Trusted = _BELIEVED
) -> ForwardedChain:
    return read_forwarded_chain(remote, fields_of(lines), trusted, public="http", made_id=_MADE)


def fields_of(lines: tuple[bytes, ...]) -> list[Field]:
    pairs = (line.partition(b":") for line in lines)
    return [(name.lower(), value.strip()) for name, _, value in pairs]


def arrived(case: Case) -> tuple[list[Field], dict[bytes, bytes]]:
    """Return what reaches the app of what was sent, and what it is told."""
    chain = chain_of(*case.lines, remote=RemotePeer(case.came_from))
    host = chain.host if _HOSTS.leads_to(chain.host, "site") else _HOST.encode()
    passing, _ = fields_for_app(
        fields_of_stranger(fields_of(case.lines), frozenset()), DEFAULT_POLICY
    )
    return list(passing), dict(fields_of_forwarded_chain(chain, host))


@pytest.mark.parametrize("case", ATTACKS, ids=lambda case: case.name)
def test_nothing_forged_reaches_the_app(case: Case) -> None:
    passing, told = arrived(case)
    assert passing == []
    assert told == {b"x-request-id": _MADE.encode()} | {
        name.encode(): value for name, value in case.told(_HOST).items()
    }
    assert not [value for value in told.values() if any(forged in value for forged in FORGED)]


@pytest.mark.parametrize("case", TWINS, ids=lambda case: case.name)
def test_the_same_without_the_forgery_does(case: Case) -> None:
    passing, told = arrived(case)
    assert passing == fields_of(case.kept)
    assert told == {b"x-request-id": _MADE.encode()} | {
        name.encode(): value for name, value in case.told(_HOST).items()
    }


@pytest.mark.parametrize(
    ("nodes", "told", "forwarded"),
    [
        (("unknown",), None, b'host="a";proto=http'),
        (("_hidden",), None, b'for=_hidden;host="a";proto=http'),
        (("unknown", "10.0.0.1"), None, b'for=unknown;host="a";proto=http, for=10.0.0.1'),
        (("_hidden", "10.0.0.1"), None, b'for=_hidden;host="a";proto=http, for=10.0.0.1'),
        (("9.9.9.9", "10.0.0.1"), b"9.9.9.9, 10.0.0.1", None),
        (("2001:db8::1",), b"2001:db8::1", b'for="[2001:db8::1]";host="a";proto=http'),
    ],
)
def test_an_app_is_told_addresses_or_nothing(
    nodes: tuple[str, ...], told: bytes | None, forwarded: bytes | None
) -> None:
    """Home Assistant and others answer 400 to what is no address.

    Without its place, the web server behind an unknown client would be taken for the client.
    """
    fields = dict(fields_of_forwarded_chain(ForwardedChain(nodes, "http", _MADE), b"a"))
    assert fields.get(b"x-forwarded-for") == told
    if forwarded is not None:
        assert fields[b"forwarded"] == forwarded


# Who is believed.


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "::ffff:10.0.0.1", ""])
def test_nobody_is_believed_by_default(address: str) -> None:
    chain = chain_of(b"X-Forwarded-For: 6.6.6.6", remote=RemotePeer(address), trusted=NOBODY)
    assert chain.nodes == (address.removeprefix("::ffff:") or "unknown",)
    assert not NOBODY
    assert _BELIEVED


@pytest.mark.parametrize(
    ("trusted", "address", "is_believed"),
    [
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "::ffff:10.255.0.1", True),
        ("::ffff:10.0.0.0/104", "10.255.0.1", True),
        ("::ffff:10.0.0.0/104", "::ffff:10.255.0.1", True),
        ("192.168.1.5", "192.168.1.5", True),
        ("192.168.1.5", "192.168.1.6", False),
        ("2001:db8::/32", "2001:DB8::1", True),
        ("2001:db8::/32", "2001:db9::1", False),
        ("fe80::1", "fe80::1%eth0", True),
        ("::/0", "10.0.0.1", False),
        ("0.0.0.0/0", "::1", False),
        ("0.0.0.0/0", "", False),
    ],
)
def test_a_network_is_that_of_the_address_that_is_meant(
    trusted: str, address: str, *, is_believed: bool
) -> None:
    told = Trusted((read_network(trusted),))
    chain = chain_of(b"X-Forwarded-For: 9.9.9.9", remote=RemotePeer(address), trusted=told)
    assert (chain.client == "9.9.9.9") is is_believed


def test_a_unix_socket_is_believed_where_that_is_said_and_only_there() -> None:
    over_unix = RemotePeer("", is_unix=True)
    line = b"X-Forwarded-For: 9.9.9.9"
    assert chain_of(line, remote=over_unix).nodes == ("unknown",)
    believed = Trusted(unix=True)
    assert chain_of(line, remote=over_unix, trusted=believed).nodes == ("9.9.9.9",)
    assert chain_of(remote=over_unix, trusted=believed).nodes == ("unknown",)
    # A client that is gone has no address either.
    assert chain_of(line, remote=RemotePeer(""), trusted=believed).nodes == ("unknown",)
    # Nor is it a unix socket where an address is believed.
    everybody = Trusted((read_network("0.0.0.0/0"), read_network("::/0")))
    assert chain_of(line, remote=over_unix, trusted=everybody).nodes == ("unknown",)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("localhost", "such as 10.0.0.0/8, or unix"),
        ("10.0.0.0/33", "such as"),
        ("10.0.0", "such as"),
        ("\u0661\u0660.0.0.1", "such as"),
        ("", "such as"),
    ],
)
def test_what_is_no_network_is_told(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=re.escape(what)):
        read_network(text)


# The scheme.


@pytest.mark.parametrize(
    ("line", "is_tls", "public", "scheme"),
    [
        (b"", False, "http", "http"),
        (b"", False, "https", "https"),
        (b"", True, "http", "https"),
        (b"X-Forwarded-Proto: https", False, "http", "https"),
        (b"X-Forwarded-Proto: http", False, "https", "http"),
        (b"X-Forwarded-Proto: http", True, "https", "http"),
    ],
)
def test_the_scheme_is_the_clients_as_far_as_anybody_knows(
    line: bytes, *, is_tls: bool, public: Scheme, scheme: str
) -> None:
    remote = RemotePeer("10.0.0.1", is_tls=is_tls)
    fields = fields_of((line,) if line else ())
    chain = read_forwarded_chain(remote, fields, _BELIEVED, public=public, made_id=_MADE)
    assert chain.scheme == scheme


# Limits, and what nobody thought of.


@pytest.mark.parametrize("name", [b"X-Forwarded-For: ", b"Forwarded: for="])
def test_a_chain_without_end_is_cut(name: bytes) -> None:
    separator = b", " + (b"for=" if name.startswith(b"F") else b"")
    chain = chain_of(name + separator.join([b"9.9.9.9", *[b"10.0.0.1"] * 5000]))
    assert chain.nodes[0] == "unknown"
    assert set(chain.nodes[1:]) == {"10.0.0.1"}
    assert len(chain.nodes) <= MOST_HOPS + 2


def test_ten_thousand_commas_cost_nothing() -> None:
    assert chain_of(b'Forwarded: x="' + b"," * 60_000).nodes == ("unknown", "10.0.0.1")
    assert chain_of(b"X-Forwarded-For: 9.9.9.9" + b"," * 60_000).nodes == ("unknown", "10.0.0.1")


_NODE = re.compile(r"[0-9.]{7,15}|[0-9a-f:.]{2,45}|unknown|_[0-9A-Za-z._-]{1,63}")
_ANYTHING = st.binary(max_size=80) | st.text('for=", ;\\:.1[]_', max_size=80).map(str.encode)
_NAME = st.sampled_from(
    [b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"]
)


@given(fields=st.lists(st.tuples(_NAME, _ANYTHING), max_size=4), is_believed=st.booleans())
def test_whatever_is_sent_what_is_told_is_well_formed(
    *, fields: list[Field], is_believed: bool
) -> None:
    trusted = _BELIEVED if is_believed else NOBODY
    chain = read_forwarded_chain(_PROXY, fields, trusted, public="http", made_id=_MADE)
    assert all(map(_NODE.fullmatch, chain.nodes))
    assert re.fullmatch(r"[!-~]{1,128}", chain.request_id)
    if not is_believed:
        assert chain == ForwardedChain(("10.0.0.1",), "http", _MADE)
    told = fields_of_forwarded_chain(chain, b"a.example")
    assert len({spelling(name) for name, _ in told}) == len(told) == 5 - (not _is_known(chain))
    # What we tell is read by us as what we meant.
    again = [pair for pair in told if pair[0] == b"forwarded"]
    beyond = read_forwarded_chain(_PROXY, again, _BELIEVED, public="http", made_id=_MADE)
    assert beyond.nodes[-1] == "10.0.0.1"
    assert beyond.nodes[-2] == chain.nodes[-1]


def _is_known(chain: ForwardedChain) -> bool:
    return all(node[0] not in "u_" for node in chain.nodes)


@given(sent=_ANYTHING, one_line=st.booleans())
def test_what_a_client_sends_never_hides_it_from_a_proxy_that_appends(
    *, sent: bytes, one_line: bool
) -> None:
    for name, appended in (
        (b"x-forwarded-for", b"9.9.9.9"),
        (b"forwarded", b'for=9.9.9.9;host="a.example";proto=https'),
        (b"forwarded", b'for="9.9.9.9:80"'),
    ):
        fields = [(name, sent + b", " + appended)] if one_line else [(name, sent), (name, appended)]
        chain = read_forwarded_chain(_PROXY, fields, _BELIEVED, public="http", made_id=_MADE)
        assert chain.nodes == ("9.9.9.9", "10.0.0.1")
