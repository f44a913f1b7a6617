"""The cast with Bob's Portal under another server; what is known to differ there must differ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wire.conftest import World, on_stage
from tests.wire.harness.hosted import SERVERS
from tests.wire.harness.portals import Portal
from tests.wire.hosted.known import reason_for


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave what is asked again under other servers to ``make test-more``."""
    item.add_marker(pytest.mark.more)


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    """Give the name of each server in turn."""
    return str(request.param)


@pytest.fixture(autouse=True)
def _known(request: pytest.FixtureRequest, server: str) -> None:
    reason, always = reason_for(server, request.node.name)
    if reason:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=always))


@pytest.fixture(scope="session")
def cast(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with on_stage(tmp_path_factory.mktemp(server), SERVERS[server]) as world:
        yield world


@pytest.fixture(scope="session")
def portals(server: str) -> type[Portal]:
    return SERVERS[server]


@pytest.fixture(scope="session")
def _eda(cast: World) -> Portal:
    return cast.eda.start()
