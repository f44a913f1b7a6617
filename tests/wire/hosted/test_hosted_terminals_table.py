"""``test_terminals_table`` under other servers."""

from tests.wire.test_terminals_table import *  # noqa: F403 - the same tests
