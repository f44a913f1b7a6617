"""What engines are known to fail, by the name of the test and its row, and why."""

_ROWS = {
    "length_beside_chunked": "h11 takes the coding and leaves the length beside it",
    "chunked_beside_length": "h11 takes the coding and leaves the length beside it",
    "two_lengths": "h11 takes lengths that agree for one",
    "length_as_list": "h11 takes lengths that agree for one",
    "coding_in_http_1_0": "h11 reads chunks from HTTP/1.0 too",
    "chunk_size_16_digits": "h11 takes up to twenty digits",
    "extension_without_a_name": "h11 reads past whatever stands behind the size",
    "trailers_too_large": "h11 bounds trailers like a head",
    "field_folded": "h11 unfolds lines",
    "field_line_ended_by_lf": "h11 takes a bare LF for a line end",
    "fields_10000": "h11 bounds the bytes of a head, not its fields",
    "line_of_http_1_2": "h11 takes any version that looks like one",
    "line_ended_by_lf": "h11 takes a bare LF for a line end",
    "bytes_behind_the_length": "httpcore drops what is behind the end",
    "bytes_behind_the_last_chunk": "httpcore drops what is behind the end",
    "bytes_behind_nothing": "httpcore drops what is behind the end",
    "bytes_behind_a_205": "httpcore drops what is behind the end",
    "an_upgrade_refused_with_bytes_behind": "httpcore drops what is behind the end",
}

_TESTS = {
    "interim_responses_are_passed_on_but_for_100": "httpcore drops them",
    "the_response_may_begin_before_the_request_ends": "httpcore sends all of the body first",
    "the_response_may_end_without_the_request_s_body": "httpcore sends all of the body first",
    "an_upload_that_is_refused_early_gets_its_response": "asyncio drops what is unread at a reset",
    "a_connection_is_used_again_after_a_response_without_a_body": "httpcore wants it read",
    "a_connection_of_http_1_0_is_kept_where_the_server_says_so": "h11 keeps none of HTTP/1.0",
    "an_upgrade_makes_a_raw_stream": "not asked of this engine",
    "a_body_that_is_not_its_length_is_not_passed_on": "h11's own error comes through",
    "a_body_until_the_end_fails_where_tls_doesn_t_say_so": "asyncio tells of both ends alike",
    "a_tls_connection_that_ended_is_not_used": "httpcore looks at the socket, not at the stream",
}

_BEHIND_A_HEAD = (
    "a_body_for_head",
    "a_body_for_head_without_a_length",
    "a_chunk_for_head",
    "a_coding_beside_a_length_for_head",
    "a_coding_that_nobody_knows_for_head",
    "an_error_s_body_for_head",
    "a_body_with_204",
    "a_chunk_with_204",
    "a_body_with_304",
    "a_body_with_304_and_its_length",
    "a_surplus_response_behind_head",
)
_DROPPED = "a_body_behind_a_head_that_is_all_is_dropped_with_its_connection"

_SENT = "an app that was called may have done anything"
_IN_PROCESS = {
    "interim_responses_are_passed_on_but_for_100": "ASGI has none",
    "a_response_that_wasn_t_read_gives_the_connection_up": "what is there is no connection",
    "an_upgrade_makes_a_raw_stream": "ASGI has WebSockets alone",
    "what_nobody_listens_at_was_not_sent": _SENT,
    "a_server_that_doesn_t_accept_is_given_up": _SENT,
    "a_slow_handshake_is_given_up": _SENT,
    "tls_with_another_name_is_refused": _SENT,
}

KNOWN = {
    "httpx": {f"a_forged_response_fails[{row}]": why for row, why in _ROWS.items()}
    | {f"{_DROPPED}[{row}]": "httpcore keeps the connection" for row in _BEHIND_A_HEAD}
    | _TESTS,
    "in_process": _IN_PROCESS,
}

HTTPX_SPARED = {
    "nothing_is_left_of_an_exchange_that_is_cancelled[handshake]": (
        "anyio leaves the socket to the garbage collector, which the next test would be blamed for"
    ),
}
