"""Limits under other servers: all but those of connections, which are the server's own."""

from tests.wire.test_limits import (
    stage,
    stage_,
    test_a_body_without_a_length_is_refused_when_it_passes_the_limit,
    test_a_message_of_the_limit_passes_both_ways,
    test_a_place_comes_back_whatever_the_end,
    test_a_response_may_be_larger,
    test_a_signed_call_above_the_limit_is_refused_at_once_and_signed,
    test_a_signed_call_in_chunks_is_refused_when_it_passes_the_limit,
    test_a_websocket_has_a_place_to_its_end,
    test_what_is_inside_an_envelope_has_the_limit_of_any_body,
)

__all__ = [
    "stage",
    "stage_",
    "test_a_body_without_a_length_is_refused_when_it_passes_the_limit",
    "test_a_message_of_the_limit_passes_both_ways",
    "test_a_place_comes_back_whatever_the_end",
    "test_a_response_may_be_larger",
    "test_a_signed_call_above_the_limit_is_refused_at_once_and_signed",
    "test_a_signed_call_in_chunks_is_refused_when_it_passes_the_limit",
    "test_a_websocket_has_a_place_to_its_end",
    "test_what_is_inside_an_envelope_has_the_limit_of_any_body",
]
