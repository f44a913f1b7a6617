"""``serve``: what stops it from starting, and the other commands while it runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.patience import PATIENCE

if TYPE_CHECKING:
    from tests.cli.conftest import Home

ID_A = "8271dd" + "a" * 97
LISTEN = "listen: {public: unix:public.sock, apps: unix:apps.sock, owner: unix:owner.sock}\n"


@pytest.fixture
def quiet(ada_with_apps: Home) -> Home:
    """Ada's Portal, on sockets that collide with nobody's."""
    path = ada_with_apps.config / "portal.yaml"
    path.write_text(path.read_text().partition("listen:")[0] + LISTEN)
    return ada_with_apps


def answers(home: Home) -> bool:
    """Tell whether each listener answers, whatever the proxy says of itself."""
    told = json.loads(home.run("health", "--json").stdout)
    return all(listener["ok"] for listener in told["listeners"])


@contextmanager
def running(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """Run the proxy until the block ends."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with (home.path / "log").open("wb") as log:
        command = [sys.executable, "-m", "proxy", "serve"]
        process = subprocess.Popen(command, cwd=home.path, env=environment, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(home):
            assert process.poll() is None, (home.path / "log").read_text()
            assert time.monotonic() < deadline
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(quiet: Home, number: signal.Signals) -> None:
    with running(quiet) as process:
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE) == 0
    assert quiet.run("health").status == 1
    assert "Traceback" not in (quiet.path / "log").read_text()


def test_every_command_works_while_it_runs(quiet: Home) -> None:
    with running(quiet):
        for words in (
            ["init"], ["id"], ["check"], ["peers", "add", ID_A],
            ["peers", "rename", "8271dd", "Bob"],
            ["peers", "list"], ["apps", "allow", "guestbook", "8271dd"], ["apps", "list"],
            ["apps", "token", "guestbook", "--rotate"], ["peers", "remove", "8271dd"],
        ):  # fmt: skip
            outcome = quiet.call(*words)
            assert outcome.status == 0, (words, outcome)


def test_a_health_check_leaves_no_refusal_in_the_log(quiet: Home) -> None:
    with running(quiet):
        assert quiet.run("health").status == 0
    log = (quiet.path / "log").read_text()
    assert "whoareyou" in log
    assert "refused" not in log


def test_a_broken_app_is_reported_and_the_others_are_served(quiet: Home) -> None:
    quiet.add_app("broken", '{"v": "9"}')
    with running(quiet):
        log = (quiet.path / "log").read_text()
        outcome = quiet.run("health")
    assert "apps/broken/app.json" in log
    assert outcome.status == 1
    assert "problem: config/apps/broken/app.json: v: " in outcome.stderr


def test_a_key_and_a_list_that_are_wrong_are_both_reported_and_nothing_starts(quiet: Home) -> None:
    (quiet.state / "identity.key").chmod(0o644)
    (quiet.state / "contacts.yaml").write_text("peers: [{id: x, name: y}]\n")
    outcome = quiet.run("serve")
    assert (outcome.status, outcome.stdout) == (1, "")
    assert "identity.key" in outcome.stderr
    assert "contacts.yaml: peers[0].id" in outcome.stderr
    assert "portal-proxy check" in outcome.stderr.splitlines()[-1]
    assert not (quiet.config / "public.sock").exists()


def test_a_portal_yaml_that_is_wrong_is_reported_whole(quiet: Home) -> None:
    (quiet.config / "portal.yaml").write_text("nmae: Ada\ndomain: a..b\n")
    outcome = quiet.run("serve")
    assert outcome.status == 1
    assert "nmae" in outcome.stderr
    assert "domain" in outcome.stderr


def test_a_symbolic_link_is_no_key(quiet: Home) -> None:
    key = quiet.state / "identity.key"
    key.rename(quiet.path / "key")
    key.symlink_to(quiet.path / "key")
    outcome = quiet.run("serve")
    assert outcome.status == 1
    assert "symbolic link" in outcome.stderr


def test_a_replay_store_that_cant_be_used_is_a_reason_and_no_traceback(quiet: Home) -> None:
    (quiet.state / "replay.sqlite3").chmod(0o644)
    outcome = quiet.run("serve")
    assert outcome.status == 1
    assert "replay.sqlite3" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_an_address_that_is_not_ours_is_a_reason_and_no_traceback(quiet: Home) -> None:
    path = quiet.config / "portal.yaml"
    path.write_text(path.read_text().replace("unix:public.sock", "203.0.113.1:9"))
    outcome = quiet.run("serve")
    assert outcome.status == 1
    assert "203.0.113.1:9" in outcome.stderr
    assert "Traceback" not in outcome.stderr
