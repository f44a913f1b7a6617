"""Node itself with ``NODE_USE_ENV_PROXY=1``, in the environment that ``apps env`` prints.

Its ``fetch`` and its ``http`` call peers by ``HTTP_PROXY``; its own https goes straight, but for
``fetch`` in the versions whose undici doesn't read the star.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.cli.app_environment import environment_of
from tests.more.test_undici import OverTls
from tests.patience import PATIENCE
from tests.wire.conftest import WIDE
from tests.wire.harness.portals import Portal, environment
from tests.wire.harness.raw import LOOPBACK, response
from tests.wire.harness.recorder import Recorder, eventually

_FOLDER = Path(__file__).with_name("node")
_IS_MISSING = not (_FOLDER / "node_modules" / "node-26" / "bin" / "node").exists()
_OWN = "https://api.example/"

pytestmark = [
    pytest.mark.more,
    pytest.mark.skipif(_IS_MISSING, reason="Node isn't here: tests/more/set-up gets it from npm"),
]
of_each = pytest.mark.parametrize("version", ["node-22", "node-24", "node-26"])


@dataclass(frozen=True)
class Two:
    """Ada, whose app ``wide`` calls Bob's; and what is neither's."""

    ada: Portal
    bob: Portal
    app: Recorder
    outside: Recorder
    database: Recorder

    def ask(self, version: str, *addresses: str, direct: list[str] | None = None) -> list[str]:
        """Return what each address answered to ``fetch`` and then to ``http`` or ``https``."""
        listener = f"{LOOPBACK}:{self.ada.apps}"
        token = self.ada.token("wide")
        peers = [self.bob.told_host("wide")]
        variables = environment_of("wide", token, listener, peer_hosts=peers, direct=direct or [])
        done = subprocess.run(
            [_FOLDER / "node_modules" / version / "bin" / "node", _FOLDER / "ask.cjs",
             str(self.outside.port), *addresses],
            env={**environment(), **variables, "NODE_USE_ENV_PROXY": "1", "NODE_NO_WARNINGS": "1",
                 "NODE_TLS_REJECT_UNAUTHORIZED": "0"},
            capture_output=True, text=True, check=False, timeout=PATIENCE * 2,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: list[str] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("node")
    ada, bob = Portal(folder / "ada", "Ada"), Portal(folder / "bob", "Bob")
    with ExitStack() as stack:
        app, database = (stack.enter_context(Recorder()) for _ in range(2))
        outside = stack.enter_context(OverTls(folder))
        outside.script(response(200, body=b"from outside"))
        database.script(response(200, body=b"rows"))
        for portal, other in ((ada, bob), (bob, ada)):
            stack.callback(portal.release)
            portal.add_app("wide", WIDE, app.port)
            portal.knows(other.as_contact(mode="sealed"), apps={"wide": "all"})
            portal.start()
        yield Two(ada, bob, app, outside, database)
        assert "Traceback" not in ada.log


@pytest.fixture
def two(cast: Two) -> Two:
    cast.app.clear()
    return cast


@of_each
def test_its_calls_arrive_at_the_peer_by_fetch_and_by_http(two: Two, version: str) -> None:
    host, by_path = two.bob.told_host("wide"), f"/internal/call_peer/{two.bob.id}/by/path"
    got = two.ask(
        version, f"http://{host}/a%2Fb?c=%E4", f"http://portal_core{by_path}",
        "http://portal_core/protected/peers", f"http://{LOOPBACK}:{two.database.port}/",
    )  # fmt: skip

    assert got[:4] == ["200 ok"] * 4
    assert [json.loads(each[4:])[0]["name"] for each in got[4:6]] == ["Bob", "Bob"]
    assert got[6:] == ["200 rows"] * 2  # past the proxy
    targets = [raw.target for raw in two.app.requests]
    assert targets == [b"/a%2Fb?c=%E4"] * 2 + [b"/by/path"] * 2
    assert {raw.one("x-ptl-client-id").decode() for raw in two.app.requests} == {two.ada.id}


@of_each
def test_its_own_https_goes_straight_by_https_always_and_by_fetch_where_it_reads_the_star(
    two: Two, version: str
) -> None:
    """If node-24 passes here, the guides may promise more than they do."""
    by_fetch, by_https = two.ask(version, _OWN)
    assert by_https == "200 from outside"
    if version != "node-24":
        assert by_fetch == "200 from outside"
        return
    assert "200" not in by_fetch
    eventually(lambda: "no_internet" in two.ada.log and "api.example" in two.ada.log)


@of_each
def test_what_the_owner_names_goes_straight_in_each(two: Two, version: str) -> None:
    assert two.ask(version, _OWN, direct=[".example"]) == ["200 from outside"] * 2
