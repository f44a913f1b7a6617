"""``test_round_trips`` under other servers."""

from tests.wire.test_round_trips import *  # noqa: F403 - the same tests
