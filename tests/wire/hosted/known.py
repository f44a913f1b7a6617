"""What is known to differ under other servers, by the name of the test and its row, and why."""

_OWN_WORDS = "the server refuses in its own words, or none, what isn't HTTP to it"
_VERSION = "the server has its own response to other versions"
_NO_MARK = "ASGI can't tell /x? from /x, which a signature does"
_TRACEBACK = "the server logs a traceback where we break a response off"
_METHODS = "it takes capital letters for the method"
_UNKNOWN_METHODS = "it takes no method that it doesn't know"
_UNREAD = "it closes on a client that is still sending"
_TIMING = "it has our response sent before it looks at what came behind"

_ALL = {
    "a_body_in_bad_chunks_is_never_a_whole_one": _OWN_WORDS,
    "two_lengths_and_a_name_with_a_blank_are_refused": _OWN_WORDS,
    "a_websockets_handshake_is_told_where_it_arrives_spoiled[8-426-websocket_version]": _OWN_WORDS,
    "interim_responses_are_passed_on": "ASGI has none",
    "whoareyou_has_the_fields_of_the_ecosystem": "there is no apps listener",
    "a_round_trip_changes_no_byte[an empty query-path]": _NO_MARK,
    "a_round_trip_changes_no_byte[an empty query-proxy]": _NO_MARK,
}
_BAD_METHODS = (
    "a_round_trip_changes_no_byte[a method nobody knows-path]",
    "a_round_trip_changes_no_byte[a method nobody knows-proxy]",
    "no_other_method_is_served[post]",
    "the_portal_itself_answers_nothing_else[get-/core/public/meta/whoareyou-method_not_allowed]",
)
_LOST_CLOSE = "it tells 1005 of a client that broke off"

DIFFERS = {
    "uvicorn_h11": {
        **_ALL,
        "exactly_one_host_is_needed": _OWN_WORDS,
        "a_client_that_breaks_off_is_known_to_the_app": _LOST_CLOSE,
    },
    "uvicorn_httptools": {
        **_ALL,
        **dict.fromkeys(_BAD_METHODS, _UNKNOWN_METHODS),
        "an_absolute_target_at_another_host_is_misdirected": _OWN_WORDS,
        "bytes_behind_a_response_that_has_none_arent_passed_on[GET-304]": (
            "it wants the body whose length a 304 tells, and closes"
        ),
        "another_version_of_http_is_refused_as_such": _VERSION,
        "a_client_that_breaks_off_is_known_to_the_app": _LOST_CLOSE,
        "no_trailer_reaches_an_app[X-Other]": "it makes fields of trailers",
    },
    "hypercorn": {
        **_ALL,
        **dict.fromkeys(_BAD_METHODS, _METHODS),
        "another_version_of_http_is_refused_as_such": _VERSION,
        "exactly_one_host_is_needed": _OWN_WORDS,
        "an_anonymous_request_passes_as_it_is": "it adds Date and Server",
        "a_client_s_close_arrives": "it tells 1006 of every client that closes",
        "nothing_behind_a_refused_handshake_reaches_an_app[two upgrades]": "it speaks h2c",
    },
}
RACES = {
    "whatever_does_not_open_is_answered_alike_byte_for_byte": _TRACEBACK,
    "a_chunk_above_the_limit_is_refused_before_it_is_there": _TIMING,
    "a_head_above_the_limit_is_refused_while_it_comes": _TIMING,
    "a_signed_body_above_the_limit_is_refused": _UNREAD,
}
"""What differs or not, as the moment has it."""


def reason_for(server: str, node: str) -> tuple[str, bool]:
    """Return why the test of this name fails under ``server``, and whether it always does.

    "" is for a test that must not fail.
    """
    name, _, row = node.removeprefix("test_").partition("[")
    row = row.removesuffix("]").removeprefix(server).removeprefix("-")
    known = DIFFERS[server]
    if reason := known.get(f"{name}[{row}]") or known.get(name):
        return reason, True
    return RACES.get(name, ""), False
