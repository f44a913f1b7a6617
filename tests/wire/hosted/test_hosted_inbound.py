"""``test_inbound`` under other servers."""

from tests.wire.test_inbound import *  # noqa: F403 - the same tests
