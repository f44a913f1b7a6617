"""What the tests with other people's apps share."""

from collections.abc import Iterator

import pytest

from tests.more.apps.stage import ENVIRONMENT, Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Give a stage for one app; skips where other people's apps aren't installed."""
    if not (ENVIRONMENT / "installed").exists():
        pytest.skip("no .venv-apps here")
    with Stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage
