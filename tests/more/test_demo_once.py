"""``make demo``, as a new user runs it: real processes on this machine's loopback."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE

_ROOT = Path(__file__).resolve().parents[2]
_PORTS = [base + offset for base in (9100, 9200, 9300) for offset in (1, 2, 80, 81, 82)]

pytestmark = pytest.mark.more


def _make(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run make as from a shell of its own, not as a part of the make that runs the tests."""
    clean = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    return subprocess.run(
        ["make", *arguments],
        cwd=_ROOT,
        env=clean,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def _ports_in_use() -> list[int]:
    taken = []
    for port in _PORTS:
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            taken.append(port)
    return taken


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_the_demo_ends_by_itself_with_every_step_as_it_should_be() -> None:
    done = _make("demo", "ONCE=1")
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        "A browser is sent to the pairing page",
        "It sees Bob, and not Cleo",
        "X-Ptl-Client-Type: peer",
        "-> POST /.well-known/ohttp-gateway\n",
        "Ada's ID, Ada's key, the app, the path, the card, the app's response.",
        "404 no_such_peer",
        "All is well.",
        "refused: replayed",
        "400 sealing_key_unknown",
        "401 signature_invalid",
        "401 proof_required",
        "403 mode_not_accepted",
        "Every step was as it should be.",
    ):
        assert said in done.stdout
    assert _ports_in_use() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_demo_leaves_no_process(
    running: "subprocess.Popen[str]", number: signal.Signals
) -> None:
    assert len(_ports_in_use()) == len(_PORTS)
    running.send_signal(number)
    said, _ = running.communicate(timeout=PATIENCE)
    assert "Stopping." in said
    assert running.returncode == 0
    assert _ports_in_use() == []


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 9281)):
        done = subprocess.run(
            [sys.executable, "-m", "demo", "--once"],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 1
    assert "in use already: port 9281 (Bob's apps)" in done.stderr
    assert _ports_in_use() == []
