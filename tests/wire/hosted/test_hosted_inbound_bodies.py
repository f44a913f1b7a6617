"""``test_inbound_bodies`` under other servers."""

from tests.wire.test_inbound_bodies import *  # noqa: F403 - the same tests
