"""``test_device_tokens`` under other servers, but for what those say themselves of the way."""

from tests.wire.test_device_tokens import (  # noqa: F401 - the same tests
    dav,
    files,
    ivy,
    ivy_,
    test_a_device_comes_in_by_its_token_which_no_app_gets,
    test_a_token_that_was_made_a_moment_ago_is_good_and_a_removal_ends_what_runs,
    test_an_apps_own_credentials_pass_and_ours_dont,
    test_of_a_token_and_a_cookie_the_token_counts,
    test_the_page_of_another_site_gets_nothing_by_a_password_that_was_remembered,
    test_who_is_unknown_is_asked_for_a_token_and_a_browser_to_pair,
)
