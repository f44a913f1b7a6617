"""The fixtures ``portals`` and ``fake_portal_core``; pytest finds them by itself.

What they need is imported when a test asks for one: the plugin is loaded in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from portal_peers.fake import FakePortal
    from portal_peers.testing import Portals

_SCOPES = ("function", "class", "module", "package", "session")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting that says how long Portals live."""
    parser.addini(
        "portals_scope",
        "How long the Portals of the fixture 'portals' live: "
        "function (the default), class, module, package or session.",
        default="function",
    )


def _scope(
    fixture_name: str,  # noqa: ARG001 - pytest names both
    config: pytest.Config,
) -> Literal["function", "class", "module", "package", "session"]:
    scope = str(config.getini("portals_scope"))
    if scope not in _SCOPES:
        raise pytest.UsageError(f"portals_scope is one of {', '.join(_SCOPES)}, not {scope!r}")
    return cast('Literal["function", "class", "module", "package", "session"]', scope)


@pytest.fixture(scope=_scope)
def portals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portals]:
    """Make real Portals around an app, and end them.

    As in ``ada, bob = portals(app)``; see ``Portals``.
    """
    try:
        from portal_peers.testing import Portals  # noqa: PLC0415
    except ImportError as error:
        pytest.fail(f"The fixture needs portal-peers[pytest]: {error}", pytrace=False)
    with Portals(tmp_path_factory.mktemp("portals")) as made:
        yield made


@pytest.fixture
def fake_portal_core() -> Iterator[FakePortal]:
    """Be the Portal of the whole process: every ``Portal()`` and ``peers()`` finds this one."""
    from portal_peers.fake import FakePortal  # noqa: PLC0415

    fake = FakePortal()
    with fake.everywhere():
        yield fake
