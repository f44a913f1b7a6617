"""``test_replays`` under other servers."""

from tests.wire.test_replays import *  # noqa: F403 - the same tests
