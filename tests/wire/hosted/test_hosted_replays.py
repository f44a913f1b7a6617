"""What is sent again under other servers; the store itself knows nothing of servers."""

from tests.wire.test_replays import (
    test_a_refused_call_claims_nothing,
    test_a_replay_elsewhere_is_refused,
    test_a_replay_through_an_alias_is_a_replay,
    test_an_envelope_that_was_overheard_is_refused_when_it_is_sent_again,
    test_the_response_to_a_replay_is_no_response_to_the_call,
    test_the_same_bytes_pass_once,
    test_time_is_judged_a_minute_each_way,
    test_what_was_overheard_is_refused_when_it_is_sent_again,
)

__all__ = [
    "test_a_refused_call_claims_nothing",
    "test_a_replay_elsewhere_is_refused",
    "test_a_replay_through_an_alias_is_a_replay",
    "test_an_envelope_that_was_overheard_is_refused_when_it_is_sent_again",
    "test_the_response_to_a_replay_is_no_response_to_the_call",
    "test_the_same_bytes_pass_once",
    "test_time_is_judged_a_minute_each_way",
    "test_what_was_overheard_is_refused_when_it_is_sent_again",
]
