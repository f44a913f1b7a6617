"""Node's undici in the environment of an app: https goes past the proxy, calls go to it.

The proxy here is one that notes what it is asked for and refuses it, so that what is seen is
undici's own decision.
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.cli.app_environment import environment_of
from tests.certificates import authority, write_pair
from tests.patience import PATIENCE
from tests.wire.harness.portals import environment
from tests.wire.harness.raw import LOOPBACK, response
from tests.wire.harness.recorder import Recorder

if TYPE_CHECKING:
    import socket

_FOLDER = Path(__file__).with_name("undici")


def _what_is_missing() -> str | None:
    if shutil.which("node") is None:
        return "no Node.js here"
    if not (_FOLDER / "node_modules" / "installed").exists():
        return "undici isn't here: tests/more/set-up gets it from npm"
    return None


_MISSING = _what_is_missing()
pytestmark = [pytest.mark.more, pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING))]


class OverTls(Recorder):
    """A recorder that speaks TLS, with a certificate that nobody need believe."""

    def __init__(self, folder: Path) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(*write_pair(folder, authority().issue("api.example")))
        super().__init__()

    def handle(self, accepted: socket.socket) -> None:
        with self._tls.wrap_socket(accepted, server_side=True) as encrypted:
            super().handle(encrypted)


READS_STAR = ("undici-6", "undici-7.16", "undici-7.21", "undici-8.11", "undici-8")
KNOWS_NO_STAR = ("undici-7.22", "undici-7.30", "undici-8.10")
_OWN = "https://api.example/"
_CALLS = ("http://portal_core/protected/peers", "http://chat.8271dd.p.getportal.org/peer/")


def _asked(tmp_path: Path, package: str, **environment_more: list[str]) -> tuple[str, str, bytes]:
    """Return what https outside and a database answered, and what the proxy was asked."""
    with Recorder() as proxy, Recorder() as database, OverTls(tmp_path) as outside:
        proxy.script(response(403, body=b"asked"))
        database.script(response(200, body=b"rows"))
        outside.script(response(200, body=b"from outside"))
        listener = f"{LOOPBACK}:{proxy.port}"
        variables = environment_of("chat", "T" * 43, listener, **environment_more)
        rows = f"http://{LOOPBACK}:{database.port}/"
        done = subprocess.run(
            ["node", _FOLDER / "env.mjs", package, str(outside.port), _OWN, rows, *_CALLS],
            env={**environment(), **variables}, capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        return found[_OWN], found[rows], proxy.received


def _assert_calls_went_to_it(asked: bytes) -> None:
    # By CONNECT or in the absolute form, as the version does it.
    assert b"portal_core" in asked
    assert b"chat.8271dd.p.getportal.org" in asked


@pytest.mark.parametrize("package", READS_STAR)
def test_its_own_https_goes_past_the_proxy_and_calls_go_to_it(tmp_path: Path, package: str) -> None:
    own, rows, asked = _asked(tmp_path, package)
    assert (own, rows) == ("200 from outside", "200 rows")
    assert b"example" not in asked
    _assert_calls_went_to_it(asked)


@pytest.mark.parametrize("package", KNOWS_NO_STAR)
def test_versions_between_know_no_star_and_are_refused(tmp_path: Path, package: str) -> None:
    """If this fails, the guides may promise more than they do."""
    own, rows, asked = _asked(tmp_path, package)
    assert "403" in own
    assert rows == "200 rows"
    assert b"CONNECT api.example:443 " in asked


@pytest.mark.parametrize("package", [*READS_STAR, *KNOWS_NO_STAR])
@pytest.mark.parametrize("named", ["api.example", ".example", ".example:443"])
def test_what_the_owner_names_goes_past_it_in_every_version(
    tmp_path: Path, package: str, named: str
) -> None:
    own, _, asked = _asked(tmp_path, package, direct=[named])
    assert own == "200 from outside"
    assert b"api.example" not in asked
    _assert_calls_went_to_it(asked)


@pytest.mark.parametrize("package", [*READS_STAR, *KNOWS_NO_STAR])
def test_composed_as_the_guide_shows_it_https_goes_past_it(tmp_path: Path, package: str) -> None:
    own, _, asked = _asked(tmp_path, f"composed:{package}")
    assert own == "200 from outside"
    _assert_calls_went_to_it(asked)
