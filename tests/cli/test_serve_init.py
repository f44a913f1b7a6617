"""``serve --init``, as a container runs it: the first start, later ones, a state that got lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.patience import PATIENCE

if TYPE_CHECKING:
    from tests.cli.conftest import Home

ROOT = Path(__file__).parents[2]
SERVE = [sys.executable, "-m", "proxy", "serve", "--init"]
SETTINGS = {
    "PORTAL_NAME": "Ada",
    "PORTAL_DOMAIN": "a.example",
    "PORTAL_LISTEN_PUBLIC": "unix:public.sock",
    "PORTAL_LISTEN_APPS": "unix:apps.sock",
    "PORTAL_LISTEN_OWNER": "unix:owner.sock",
}


@pytest.fixture
def box(home: Home) -> Home:
    """A container's settings, all by its environment, and its empty volume."""
    home.config.mkdir()
    home.environment.update(SETTINGS, PORTAL_STATE=str(home.path / "volume"))
    home.environment["PORTAL_CONFIG"] = str(home.config)
    return home


def start(box: Home, **more: str) -> subprocess.CompletedProcess[str]:
    """Start it, and wait for its end."""
    return subprocess.run(
        SERVE, cwd=box.path, env=environment(box, more),
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip


def environment(box: Home, more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **box.environment, **more}


@contextmanager
def serving(box: Home, **more: str) -> Iterator[None]:
    with (box.path / "log").open("wb") as log:
        process = subprocess.Popen(SERVE, cwd=box.path, env=environment(box, more), stderr=log)
    deadline = time.monotonic() + PATIENCE
    try:
        while not json.loads(box.run("health", "--json", **more).stdout)["ok"]:
            assert process.poll() is None, (box.path / "log").read_text()
            assert time.monotonic() < deadline
        yield
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def id_told(box: Home) -> str:
    """Return the ID that the first start prints as a line for the environment."""
    first = start(box)
    assert first.returncode == 1
    (line,) = [line for line in first.stdout.splitlines() if line.startswith("PORTAL_ID=")]
    assert "Add this to the environment" in first.stderr
    return line.removeprefix("PORTAL_ID=")


def test_a_container_serves_once_its_environment_says_who_it_is(box: Home) -> None:
    portal_id = id_told(box)
    assert id_told(box) == portal_id, "the same at the next start"
    with serving(box, PORTAL_ID=portal_id):
        assert box.run("id", PORTAL_ID=portal_id).stdout.strip() == portal_id
    assert not (box.config / "portal.yaml").exists()


def test_a_volume_that_was_forgotten_makes_no_other_portal(box: Home) -> None:
    portal_id = id_told(box)
    shutil.rmtree(box.path / "volume")
    again = start(box, PORTAL_ID=portal_id)
    assert again.returncode == 1
    assert "is missing" in again.stderr
    assert "init --new-identity" in again.stderr
    assert not (box.path / "volume").exists()


def test_a_contact_list_that_got_lost_is_not_made_anew(box: Home) -> None:
    portal_id = id_told(box)
    (box.path / "volume" / "contacts.yaml").unlink()
    again = start(box, PORTAL_ID=portal_id)
    assert again.returncode == 1
    assert "contacts.yaml: is missing" in again.stderr


def test_a_key_that_was_put_in_place_alone_gets_the_rest(box: Home) -> None:
    portal_id = id_told(box)
    for path in (box.path / "volume").iterdir():
        if path.name != "identity.key":
            path.unlink() if path.is_file() else shutil.rmtree(path)
    with serving(box, PORTAL_ID=portal_id):
        pass


def test_an_identity_to_throw_away_is_served_at_once(box: Home) -> None:
    with serving(box, PORTAL_ID="new"):
        assert "identity is one to throw away" in (box.path / "log").read_text()
