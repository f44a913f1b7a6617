"""A Portal whose public listener is an ASGI app under another server, in its own process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from tests.wire.harness.portals import Portal, environment, wait_for_ports
from tests.wire.harness.raw import LOOPBACK

_APP = """\
import logging

from proxy import create_app

logging.basicConfig(level=logging.INFO)
app = create_app({config!r})
"""


class Hosted(Portal):
    """How to run the server is its subclasses' matter; there are no other listeners."""

    MISTAKE: ClassVar[str] = "a mistake of our own"
    """Others log a traceback where a response is broken off as well."""
    arguments: ClassVar[tuple[str, ...]]

    def code(self) -> str:
        """Return the module that has the app."""
        return _APP.format(config=str(self.config))

    def launch(self, config: Path | None = None) -> subprocess.Popen[bytes]:
        """Start the server without waiting for anything."""
        assert config is None
        (self.folder / "hosted.py").write_text(self.code(), encoding="utf-8")
        where = f"{LOOPBACK}:{self.public}"
        words = [word.format(where=where, port=self.public) for word in self.arguments]
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *words], cwd=self.folder, env=environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def start(self) -> Portal:
        """Start the server and wait until it takes connections."""
        self._process = self.launch()
        wait_for_ports(self._process, self.public, log=self.log_file)
        return self


class UnderH11(Hosted):
    """uvicorn with h11."""

    arguments = ("uvicorn", "hosted:app", "--port", "{port}", "--http", "h11",
                 "--no-proxy-headers", "--no-server-header", "--no-date-header",
                 "--timeout-graceful-shutdown", "3")  # fmt: skip


class UnderHttptools(Hosted):
    """uvicorn with httptools, and wsproto for WebSockets."""

    arguments = (*UnderH11.arguments[:5], "httptools", "--ws", "wsproto",
                 *UnderH11.arguments[6:])  # fmt: skip


class UnderHypercorn(Hosted):
    """Hypercorn."""

    arguments = ("hypercorn", "hosted:app", "--bind", "{where}")


SERVERS: dict[str, type[Hosted]] = {
    "uvicorn_h11": UnderH11,
    "uvicorn_httptools": UnderHttptools,
    "hypercorn": UnderHypercorn,
}
