"""``test_sealed_gateway`` under other servers."""

from tests.wire.test_sealed_gateway import *  # noqa: F403 - the same tests
