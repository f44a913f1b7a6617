"""``test_refusals_of_peers`` under other servers."""

from tests.wire.test_refusals_of_peers import *  # noqa: F403 - the same tests
