"""``test_proofs`` under other servers."""

from tests.wire.test_proofs import *  # noqa: F403 - the same tests
