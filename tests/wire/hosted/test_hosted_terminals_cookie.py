"""``test_terminals_cookie`` under other servers."""

from tests.wire.test_terminals_cookie import *  # noqa: F403 - the same tests
