"""``test_own_cookies_and_caches`` under other servers."""

from tests.wire.test_own_cookies_and_caches import *  # noqa: F403 - the same tests
