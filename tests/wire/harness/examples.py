"""The examples of docs/middleware.md, each as it stands there, before a Portal of its own."""

from __future__ import annotations

import subprocess
import sys

from tests.docs.examples import PORT, commands, files
from tests.wire.harness.portals import Portal, environment, wait_for_ports


class Example(Portal):
    """A Portal that is served by the command of one of the page's files."""

    def put(self, *names: str) -> None:
        """Lay out these files of the page."""
        for name in names:
            below = self.config / "apps" if name.endswith(".json") else self.folder
            path = below / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files()[name], encoding="utf-8")

    def run(self, file: str, words: list[str] | None = None) -> subprocess.Popen[bytes]:
        """Run the command of ``file``, or ``words``, without waiting for anything."""
        given = [word.replace(PORT, str(self.public)) for word in words or commands()[file]]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *given], cwd=self.folder, env=environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self._process

    def serve(self, file: str, words: list[str] | None = None) -> Example:
        """Run it, and wait until it takes connections."""
        wait_for_ports(self.run(file, words), self.public, log=self.log_file)
        return self
