"""``test_own_host`` under other servers."""

from tests.wire.test_own_host import *  # noqa: F403 - the same tests
