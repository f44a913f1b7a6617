"""``make compose-demo``: the Portals in containers. Needs a Docker engine with Compose v2."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.more


def _engine_is_here() -> bool:
    if shutil.which("docker") is None:
        return False
    tries = (["docker", "compose", "version"], ["docker", "info"])
    done = (subprocess.run(line, capture_output=True, check=False) for line in tries)
    return all(tried.returncode == 0 for tried in done)


def _demo(path: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "demo", "--containers"],
        cwd=_ROOT,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )


@pytest.mark.skipif(not _engine_is_here(), reason="no Docker engine with Compose v2 here")
def test_the_conversation_in_containers_is_as_it_should_be_and_leaves_nothing() -> None:
    done = _demo(os.environ["PATH"])
    assert done.returncode == 0, done.stdout + done.stderr
    for said in (
        "A browser is sent to the pairing page",
        "It sees Bob, and not Cleo",
        "-> POST /.well-known/ohttp-gateway\n",
        "All is well.",
        "refused: replayed",
        "400 sealing_key_unknown",
        "401 signature_invalid",
        "401 proof_required",
        "403 mode_not_accepted",
        "Bob's proxy, Ada's public listener: open",
        "Bob's proxy, the entrance of Ada's postcard box: closed",
        "... by its address on that app's own network: closed",
        "Bob's proxy, Ada's apps listener: closed",
        "Ada's postcard box, its own entrance: open",
        "Ada's files, her postcards' entrance: closed",
        "... the postcard box itself: closed",
        "Bob's proxy, Ada's owner's listener: closed",
        "Every step was as it should be.",
    ):
        assert said in done.stdout
    left = [
        "docker",
        "ps",
        "--all",
        "--quiet",
        "--filter",
        "label=com.docker.compose.project=portal-demo",
    ]
    assert subprocess.check_output(left, text=True) == ""


def test_without_an_engine_the_demo_says_so(tmp_path: Path) -> None:
    done = _demo(str(tmp_path))
    assert done.returncode == 1
    assert "this needs Docker with Compose v2; there is none here" in done.stderr
