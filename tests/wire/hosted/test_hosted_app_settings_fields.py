"""``test_app_settings_fields`` under other servers."""

from tests.wire.test_app_settings_fields import *  # noqa: F403 - the same tests
