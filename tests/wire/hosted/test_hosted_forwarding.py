"""``test_forwarding`` under other servers."""

from tests.wire.test_forwarding import *  # noqa: F403 - the same tests
