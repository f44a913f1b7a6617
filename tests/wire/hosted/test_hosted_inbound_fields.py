"""``test_inbound_fields`` under other servers."""

from tests.wire.test_inbound_fields import *  # noqa: F403 - the same tests
