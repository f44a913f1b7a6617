"""What the engine on httpx is known to fail, by the name of the test and its row, and why."""

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
    "a_body_for_head": "httpcore drops what is behind the end",
    "a_chunk_for_head": "httpcore drops what is behind the end",
    "a_body_with_204": "httpcore drops what is behind the end",
    "a_body_with_304": "httpcore drops what is behind the end",
    "an_upgrade_refused_with_bytes_behind": "httpcore drops what is behind the end",
}

_TESTS: dict[str, str] = {}

HTTPX_FAILS = {f"a_forged_answer_fails[{row}]": why for row, why in _ROWS.items()} | _TESTS
