"""Limits on rates under other servers: each of their workers counts for itself."""

from pathlib import Path

from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal
from tests.wire.harness.recorder import Recorder
from tests.wire.harness.sockets import handshake
from tests.wire.test_limits_rates import Stage, is_let_in, send


def test_a_network_that_is_too_fast_is_refused(
    tmp_path: Path, portals: type[Portal], app: Recorder
) -> None:
    settings = "accept: [sealed, signed]\nlimits: {rate_per_client: 1/m burst 3}\n"
    portal = portals(tmp_path / "hugo", "Hugo", settings=settings)
    portal.add_app("site", SITE, app.port)
    try:
        stage = Stage(portal.start(), app)
        assert stage.passing(stage.ask) == 3
        assert not is_let_in(send(portal, handshake(portal.app_host("site"), "/")))
    finally:
        portal.release()
    assert portal.MISTAKE not in portal.log, portal.log
