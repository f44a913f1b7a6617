"""Portals whose disk is slow, and that note who waits for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Self

import pytest

from tests.patience import PATIENCE
from tests.wire.harness.portals import Portal, environment
from tests.wire.harness.raw import RawConnection, request

_HERE = Path(__file__).parent


@cache
def library() -> Path:
    """Compile what slows syncs down; skip where that can't be had."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler")
    made = Path(mkdtemp()) / "slow_disk.so"
    source = _HERE / "slow_disk.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, source], check=True)
    return made


class SlowPortal(Portal):
    """A Portal whose syncs take long from ``slow_down`` on; everything before is as ever."""

    def slow_down(self, milliseconds: int) -> None:
        """Let each sync of the running proxy take so long."""
        beside = self.folder / "slow.new"
        beside.write_text(str(milliseconds))
        beside.replace(self._slow)

    def hurry(self) -> None:
        """Let them take no time any more."""
        self._slow.unlink()

    def waits(self, *, main: bool) -> list[dict[str, Any]]:
        """Return what was waited for, by the thread that runs the event loop or by others."""
        lines = self._report.read_text("utf-8").splitlines()
        return [wait for wait in map(json.loads, lines) if wait["main"] is main]

    @property
    def _slow(self) -> Path:
        return self.folder / "slow"

    @property
    def _report(self) -> Path:
        return self.folder / "waits"

    def launch(self, config: Path | None = None) -> subprocess.Popen[bytes]:
        own = {"SLOW_DISK": str(self._slow), "SLOW_REPORT": str(self._report)}
        words = ["--config", str(config or self.config), "serve"]
        with self.log_file.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(_HERE / "watched.py"), *words],
                env={**environment(), **own, "LD_PRELOAD": str(library())},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip


class Probe:
    """Asks all the time on one connection, and notes how long it had to wait at most."""

    def __init__(self, portal: Portal) -> None:
        self.longest = 0.0
        self._portal = portal
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(PATIENCE)

    def _ask(self) -> None:
        raw = request("GET", "/none", ("Host", self._portal.host))
        with RawConnection(self._portal.public) as wire:
            while not self._over.wait(0.005):
                began = time.monotonic()
                wire.send(raw)
                assert wire.read().status == 404
                self.longest = max(self.longest, time.monotonic() - began)
