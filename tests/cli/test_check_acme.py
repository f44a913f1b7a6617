"""What ``check`` says of a certificate that the proxy gets for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.state.acme_files import Failure, write_failure
from tests.cli.test_init_acme import put
from tests.one_name import HOST, ONE_NAME

if TYPE_CHECKING:
    from tests.cli.conftest import Home


@pytest.fixture
def certified(home: Home) -> Home:
    home.config.mkdir()
    (home.config / "portal.yaml").write_text(f"{ONE_NAME}acme: {{agree: true}}\n")
    put(home, HOST)
    assert home.call("init").status == 0
    return home


def test_nothing_is_wrong_with_one_that_is_good(certified: Home) -> None:
    checked = certified.call("check")
    assert checked.status == 0, checked.stdout
    assert "acme" not in checked.stdout


def test_a_failed_renewal_is_a_warning_with_its_reason(certified: Home) -> None:
    failure = Failure("port 80 is closed", 1_800_000_000, 2, 1_800_000_900)
    write_failure(certified.state / "acme" / "failure.json", failure)
    checked = certified.call("check")
    assert checked.status == 0
    assert "warning: " in checked.stdout
    told = "no new certificate on 2027-01-15 08:00:00 UTC: port 80 is closed; it is tried again"
    assert told in checked.stdout


def test_a_missing_library_is_a_warning(certified: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    checked = certified.call("check")
    assert "pip install 'portal-proxy[acme]'" in checked.stdout
