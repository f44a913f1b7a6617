"""The opening handshake: what is one, what is refused, and which 101 answers it."""

from __future__ import annotations

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.http.headers import Field
from proxy.core.websocket.handshake import (
    Agreement,
    NotAgreed,
    accept_for,
    asks_for_websocket,
    fields_for_app,
    fields_for_client,
    read_handshake,
    read_response,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The example of RFC 6455, section 1.3."""

ASKED: list[Field] = [
    (b"host", b"app.example"),
    (b"upgrade", b"websocket"),
    (b"connection", b"keep-alive, Upgrade"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-version", b"13"),
]
PROTOCOLS = (b"sec-websocket-protocol", b"chat, v2.chat")
DEFLATE = (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits")


def _changed(fields: list[Field], name: bytes, *values: bytes) -> list[Field]:
    """Return ``fields`` with the lines of ``name`` replaced."""
    rest = [pair for pair in fields if pair[0] != name]
    return [*rest, *((name, value) for value in values)]


def test_the_rfc_s_own_key_gets_its_accept() -> None:
    assert accept_for(KEY) == ACCEPT
    assert read_handshake(b"GET", ASKED).accept == ACCEPT


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (b"upgrade", [b"h2c"]),
        (b"upgrade", [b"websocket/13"]),
        (b"upgrade", [b"web socket"]),
        (b"upgrade", []),
        (b"upgrade", [b""]),
        (b"connection", [b"keep-alive"]),
        (b"connection", []),
        (b"connection", [b"upgrades"]),
    ],
)
def test_what_asks_for_something_else_is_an_ordinary_request(
    name: bytes, values: list[bytes]
) -> None:
    assert not asks_for_websocket(1, _changed(ASKED, name, *values))


def test_nobody_upgrades_in_http_1_0() -> None:
    assert asks_for_websocket(1, ASKED)
    assert not asks_for_websocket(0, ASKED)


REFUSED = {
    "two_protocols_in_upgrade": (b"upgrade", [b"websocket, h2c"]),
    "h2c_first": (b"upgrade", [b"h2c, websocket"]),
    "two_upgrades": (b"upgrade", [b"websocket", b"websocket"]),
    "another_line": (b"upgrade", [b"websocket", b"h2c"]),
    "no_key": (b"sec-websocket-key", []),
    "two_keys": (b"sec-websocket-key", [KEY, KEY]),
    "an_empty_key": (b"sec-websocket-key", [b""]),
    "15_bytes": (b"sec-websocket-key", [b"AAAAAAAAAAAAAAAAAAAA"]),
    "17_bytes": (b"sec-websocket-key", [b"AAAAAAAAAAAAAAAAAAAAAAA="]),
    "no_padding": (b"sec-websocket-key", [KEY[:-2]]),
    "url_safe": (b"sec-websocket-key", [b"-" + KEY[1:]]),
    "a_key_and_more": (b"sec-websocket-key", [KEY + b", " + KEY]),
    "a_body": (b"content-length", [b"5"]),
    "a_body_in_chunks": (b"transfer-encoding", [b"chunked"]),
    "a_protocol_twice": (b"sec-websocket-protocol", [b"chat, chat"]),
    "a_protocol_on_two_lines": (b"sec-websocket-protocol", [b"chat", b"chat"]),
    "a_protocol_that_is_no_token": (b"sec-websocket-protocol", [b"a b"]),
    "an_extension_that_is_no_token": (b"sec-websocket-extensions", [b"a b"]),
    "a_parameter_that_is_none": (b"sec-websocket-extensions", [b"permessage-deflate; =1"]),
    "a_comma_in_quotes": (b"sec-websocket-extensions", [b'permessage-deflate; a="b,c"']),
}
FINE = {
    "upper_case": (b"upgrade", [b"WebSocket"]),
    "an_empty_element": (b"upgrade", [b"websocket,"]),
    "connection_in_two_lines": (b"connection", [b"keep-alive", b"UPGRADE"]),
    "a_length_of_nothing": (b"content-length", [b"0"]),
    "protocols_on_two_lines": (b"sec-websocket-protocol", [b"chat", b"v2.chat"]),
    "many_protocols": (b"sec-websocket-protocol", [b",".join(b"p%d" % n for n in range(256))]),
    "an_empty_list": (b"sec-websocket-extensions", [b""]),
    "two_offers": (b"sec-websocket-extensions", [b"permessage-deflate; a=1, permessage-deflate"]),
    "a_quoted_value": (b"sec-websocket-extensions", [b'permessage-deflate ;\ta="10"']),
}


@pytest.mark.parametrize("name", [b"sec-websocket-protocol", b"sec-websocket-extensions"])
@pytest.mark.parametrize("values", [[b"," * 256], [b",".join(b"p%d" % n for n in range(257))]])
def test_a_list_that_takes_long_to_read_is_refused_unread(name: bytes, values: list[bytes]) -> None:
    with pytest.raises(Refusal) as refused:
        read_handshake(b"GET", _changed(ASKED, name, *values))
    assert refused.value.code is Code.BAD_HANDSHAKE


def test_a_list_of_protocols_to_switch_to_that_takes_long_to_read_asks_for_none() -> None:
    assert asks_for_websocket(1, _changed(ASKED, b"upgrade", b"," * 255 + b"websocket"))
    assert not asks_for_websocket(1, _changed(ASKED, b"upgrade", b"," * 256 + b"websocket"))


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_nearly_a_handshake_is_refused(row: str) -> None:
    name, values = REFUSED[row]
    fields = _changed(ASKED, name, *values)
    assert asks_for_websocket(1, fields)
    with pytest.raises(Refusal) as refused:
        read_handshake(b"GET", fields)
    assert refused.value.code is Code.BAD_HANDSHAKE


@pytest.mark.parametrize("row", FINE)
def test_its_harmless_twin_is_read(row: str) -> None:
    name, values = FINE[row]
    fields = _changed(ASKED, name, *values)
    assert asks_for_websocket(1, fields)
    assert read_handshake(b"GET", fields).accept == ACCEPT


@pytest.mark.parametrize("method", [b"POST", b"CONNECT", b"HEAD", b"get"])
def test_only_get_opens_a_websocket(method: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read_handshake(method, ASKED)
    assert refused.value.code is Code.BAD_HANDSHAKE


@pytest.mark.parametrize(
    "versions", [(b"1337",), (b"8",), (b"13, 8",), (b"013",), (), (b"13",) * 2]
)
def test_another_version_is_told_from_a_handshake_that_is_wrong(versions: list[bytes]) -> None:
    with pytest.raises(Refusal) as refused:
        read_handshake(b"GET", _changed(ASKED, b"sec-websocket-version", *versions))
    assert refused.value.code is Code.WEBSOCKET_VERSION


# What goes on to the app, and back.


def test_the_app_is_asked_as_we_were() -> None:
    passing = (*ASKED[3:], PROTOCOLS, DEFLATE)
    assert fields_for_app(passing) == (
        *passing,
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
    )


@pytest.mark.parametrize(
    ("offers", "left"),
    [
        (b"permessage-deflate;a=1 ,permessage-deflate",) * 2,
        (b"x-webkit-deflate-frame, permessage-deflate;a", b"permessage-deflate;a"),
        (b"permessage-deflate, mux, Permessage-Deflate", b"permessage-deflate, Permessage-Deflate"),
        (b"bbf-usp-protocol", None),
        (b"permessage-deflate-frame", None),
    ],
)  # fmt: skip
def test_offers_whose_frames_couldn_t_be_judged_don_t_reach_the_app(
    offers: bytes, left: bytes | None
) -> None:
    got = [value for name, value in fields_for_app([(b"sec-websocket-extensions", offers)])
           if name == b"sec-websocket-extensions"]  # fmt: skip
    assert got == ([] if left is None else [left])
    asked = read_handshake(b"GET", [*ASKED, (b"sec-websocket-extensions", offers)])
    assert asked.offers_deflate is (left is not None)


RESPONSE: list[Field] = [
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-accept", ACCEPT),
]
_PROTOCOL, _EXTENSIONS = b"sec-websocket-protocol", b"sec-websocket-extensions"
FALSE = {
    "no_connection": (b"connection", []),
    "connection_without_upgrade": (b"connection", [b"keep-alive"]),
    "no_upgrade": (b"upgrade", []),
    "another_protocol": (b"upgrade", [b"h2c"]),
    "two_protocols": (b"upgrade", [b"websocket, h2c"]),
    "two_upgrades": (b"upgrade", [b"websocket", b"websocket"]),
    "no_accept": (b"sec-websocket-accept", []),
    "two_accepts": (b"sec-websocket-accept", [ACCEPT, ACCEPT]),
    "the_key_itself": (b"sec-websocket-accept", [KEY]),
    "another_key_s_accept": (b"sec-websocket-accept", [accept_for(b"A" * 22 + b"==")]),
    "in_another_case": (b"sec-websocket-accept", [ACCEPT.lower()]),
    "a_subprotocol_not_offered": (_PROTOCOL, [b"other"]),
    "a_subprotocol_in_another_case": (_PROTOCOL, [b"Chat"]),
    "two_subprotocols": (_PROTOCOL, [b"chat, v2.chat"]),
    "two_subprotocols_on_two_lines": (_PROTOCOL, [b"chat", b"v2.chat"]),
    "an_extension_not_offered": (_EXTENSIONS, [b"mux"]),
    "more_extensions_than_offered": (_EXTENSIONS, [b"permessage-deflate, mux"]),
    "compression_twice": (_EXTENSIONS, [b"permessage-deflate", b"permessage-deflate"]),
    "no_extension_at_all": (_EXTENSIONS, [b"; a"]),
}
TRUE = {
    "nothing_chosen": (b"server", [b"x"]),
    "in_upper_case": (b"upgrade", [b"WEBSOCKET"]),
    "with_more_options": (b"connection", [b"keep-alive, upgrade"]),
    "the_first_subprotocol": (_PROTOCOL, [b"chat"]),
    "the_second_subprotocol": (_PROTOCOL, [b"v2.chat"]),
    "compression": (_EXTENSIONS, [b"permessage-deflate; server_no_context_takeover"]),
    "no_extension": (_EXTENSIONS, [b""]),
}


@pytest.mark.parametrize("row", FALSE)
def test_a_false_101_is_not_believed(row: str) -> None:
    asked = read_handshake(b"GET", [*ASKED, PROTOCOLS, DEFLATE])
    name, values = FALSE[row]
    with pytest.raises(NotAgreed):
        read_response(asked, _changed(RESPONSE, name, *values))


@pytest.mark.parametrize("row", TRUE)
def test_its_honest_twin_is(row: str) -> None:
    asked = read_handshake(b"GET", [*ASKED, PROTOCOLS, DEFLATE])
    name, values = TRUE[row]
    agreed = read_response(asked, _changed(RESPONSE, name, *values))
    assert agreed == Agreement(deflate=row == "compression")


@pytest.mark.parametrize("extra", [(_PROTOCOL, b"chat"), (_EXTENSIONS, b"permessage-deflate")])
def test_what_nobody_offered_can_t_be_chosen(extra: Field) -> None:
    with pytest.raises(NotAgreed):
        read_response(read_handshake(b"GET", ASKED), [*RESPONSE, extra])


def test_our_101_has_the_fields_of_its_own_hop() -> None:
    accept = (b"sec-websocket-accept", ACCEPT)
    assert fields_for_client([accept]) == (
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        accept,
    )
