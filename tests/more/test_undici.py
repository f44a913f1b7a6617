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


class _OverTls(Recorder):
    """A recorder that speaks TLS, with a certificate that nobody need believe."""

    def __init__(self, folder: Path) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(*write_pair(folder, authority().issue("api.example")))
        super().__init__()

    def handle(self, accepted: socket.socket) -> None:
        with self._tls.wrap_socket(accepted, server_side=True) as encrypted:
            super().handle(encrypted)


def test_its_own_https_goes_past_the_proxy_and_calls_go_to_it(tmp_path: Path) -> None:
    with Recorder() as proxy, Recorder() as database, _OverTls(tmp_path) as outside:
        proxy.script(response(403, body=b"asked"))
        database.script(response(200, body=b"rows"))
        outside.script(response(200, body=b"from outside"))
        variables = environment_of("chat", "T" * 43, f"{LOOPBACK}:{proxy.port}")
        own = f"http://{LOOPBACK}:{database.port}/"
        calls = ["http://portal_core/protected/peers", "http://chat.8271dd.p.getportal.org/peer/"]
        https = "https://api.example/"
        done = subprocess.run(
            ["node", _FOLDER / "env.mjs", str(outside.port), https, own, *calls],
            env={**environment(), **variables}, capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found[https] == "200 from outside"
        assert found[own] == "200 rows"
        # By CONNECT or in the absolute form, as this version does it.
        assert b"portal_core" in proxy.received, found
        assert b"chat.8271dd.p.getportal.org" in proxy.received, found
        assert b"example" not in proxy.received
