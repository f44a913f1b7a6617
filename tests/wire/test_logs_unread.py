"""A log that nobody reads, or that can't be written, holds up nothing; what is missing is told."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.log_line import LONGEST
from proxy.log_writer import LAST_WAIT, MOST_BYTES
from tests.patience import soon
from tests.wire.harness.portals import Portal, end, environment, wait_for_ports
from tests.wire.harness.raw import RawConnection, exchange, request
from tests.wire.harness.recorder import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

_AT_ONCE = 50
_PIPE = 4096
"""Bytes of the smallest pipe."""
_FAILED = r"log: can't be written \((Broken pipe|No space left on device)\): \d+ lines"
_TOLD = re.compile(r"(\d+) lines of the log were dropped since .*")


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    portal = Portal(tmp_path / "p", "Pam")
    yield portal
    portal.release()


@contextmanager
def served(portal: Portal, stderr: int, workers: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """Serve, with ``stderr``; ends it at the end, if it hasn't."""
    process = subprocess.Popen(
        portal.command_line("serve", "--workers", str(workers)), env=environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
    )  # fmt: skip
    try:
        portal.log_file.touch()
        wait_for_ports(process, portal.public, portal.apps, portal.owner, log=portal.log_file)
        yield process
    finally:
        if process.poll() is None:
            end(process, signal.SIGKILL)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe; whoever closes an end of it may."""
    ends = os.pipe()
    yield ends
    for each in ends:
        with suppress(OSError):
            os.close(each)


def ask(portal: Portal, times: int, path: str = "/") -> None:
    """Ask for what isn't there; each request must be answered."""
    raw = request("GET", path, ("Host", portal.host))
    with RawConnection(portal.public) as wire:
        for _ in range(0, times, _AT_ONCE):
            wire.send(raw * _AT_ONCE)
            for _ in range(_AT_ONCE):
                assert wire.read().status == 404


def health(portal: Portal) -> dict[str, Any]:
    found = exchange(portal.owner, request("GET", "/health", ("Host", "localhost"))).json()
    assert isinstance(found, dict)
    return found


def read_all(reader: int) -> list[dict[str, Any]]:
    """Read to the end; each line must be whole."""
    with os.fdopen(os.dup(reader), "rb") as file:
        return [json.loads(line) for line in file.read().decode("ascii").splitlines()]


def test_all_are_answered_and_the_reader_is_told_later_what_is_missing(
    portal: Portal, pipe: tuple[int, int]
) -> None:
    reader, writer = pipe
    path = "/" + "x" * LONGEST
    asked = 0
    with ExitStack() as stack:
        process = stack.enter_context(served(portal, writer))
        os.close(writer)
        while not (missing := health(portal)["log"]["dropped"]):
            assert asked < 3 * MOST_BYTES // LONGEST
            ask(portal, 1000, path)
            asked += 1000
        assert asked > 2000
        ask(portal, _AT_ONCE, path)
        asked += _AT_ONCE
        found = health(portal)
        missing = found["log"]["dropped"]
        assert found["status"] == "degraded"
        assert re.fullmatch(r"log: isn't read: \d+ lines were dropped; .*", found["problems"][0])

        lines: list[str] = []
        with os.fdopen(os.dup(reader), "r", encoding="ascii") as file:
            while not (told := _TOLD.search(lines[-1] if lines else "")):
                lines.append(file.readline())
            assert int(told[1]) == missing
            eventually(lambda: health(portal)["status"] == "ok")
            assert health(portal)["log"] == {"dropped": missing}
            process.send_signal(signal.SIGTERM)
            lines += file.readlines()
        assert process.wait() == 0
    written = [json.loads(line) for line in lines]
    assert len([line for line in written if "status" in line]) + missing == asked


def test_the_end_waits_a_second_for_who_doesnt_read_and_no_longer(
    portal: Portal, pipe: tuple[int, int]
) -> None:
    _, writer = pipe
    with served(portal, writer) as process:
        ask(portal, 500)
        began = time.monotonic()
        assert end(process) == 0
        assert time.monotonic() - began < soon(LAST_WAIT + 2)


@pytest.mark.parametrize("fault", ["a reader that has ended", "a full disk"])
def test_a_log_that_cant_be_written_stops_nothing(
    portal: Portal, pipe: tuple[int, int], fault: str
) -> None:
    reader, writer = pipe
    if fault == "a full disk":
        os.close(writer)
        writer = os.open("/dev/full", os.O_WRONLY)
    os.close(reader)
    with served(portal, writer) as process:
        os.close(writer)
        ask(portal, 200)
        eventually(lambda: health(portal)["log"]["dropped"] >= 200)
        assert re.match(_FAILED, health(portal)["problems"][0])
        assert end(process) == 0


def test_a_log_that_can_be_written_again_says_what_is_missing(
    portal: Portal, tmp_path: Path
) -> None:
    """The file can't grow, and then it can."""
    before = 1 << 20  # of which no other file of the Portal is: the limit is for all of them
    log = tmp_path / "log"
    with log.open("ab") as file, served(portal, file.fileno()) as process:
        file.truncate(before)
        portal_limit(process, before + 4000)
        ask(portal, 100)
        eventually(lambda: health(portal)["log"]["dropped"] > 0)
        assert health(portal)["problems"][0].startswith("log: can't be written (File too large)")
        portal_limit(process, None)
        eventually(lambda: _TOLD.search(log.read_text("ascii")))
        eventually(lambda: health(portal)["status"] == "ok")
        missing = health(portal)["log"]["dropped"]
        assert end(process) == 0
    text = log.read_text("ascii").replace("\0", "")
    assert sum(int(told) for told in _TOLD.findall(text)) == missing
    requests = [line for line in text.splitlines() if line.startswith("{") and '"status"' in line]
    whole = [line for line in requests if line.endswith("}")]
    # One line may have been begun: what comes behind it is on a line of its own.
    assert len(whole) + missing == 100
    assert len(requests) - len(whole) <= 1


def portal_limit(process: subprocess.Popen[bytes], limit: int | None) -> None:
    most = resource.RLIM_INFINITY
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most if limit is None else limit, most))


def test_without_any_stderr_it_serves(portal: Portal) -> None:
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *portal.command_line("serve")],
        env=environment(),
    )
    try:
        portal.log_file.touch()
        wait_for_ports(process, portal.public, portal.owner, log=portal.log_file)
        ask(portal, _AT_ONCE)
        eventually(lambda: health(portal)["log"]["dropped"] >= _AT_ONCE)
        for number in range(3):  # no socket has it, to which a library would write
            assert Path(f"/proc/{process.pid}/fd/{number}").samefile(os.devnull)
    finally:
        assert end(process) == 0


def test_lines_of_several_workers_are_whole_and_none_is_missing(
    portal: Portal, pipe: tuple[int, int]
) -> None:
    reader, writer = pipe
    with served(portal, writer, workers=2) as process:
        os.close(writer)
        for _ in range(8):
            ask(portal, _AT_ONCE)
        with ThreadPoolExecutor(1) as pool:  # who reads is there before the end, which waits for it
            reading = pool.submit(read_all, reader)
            process.send_signal(signal.SIGTERM)
            written = reading.result()
        assert process.wait() == 0
    assert len([line for line in written if "status" in line]) == 8 * _AT_ONCE
