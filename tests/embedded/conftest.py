"""A Portal on disk, with one app: what another server's process would open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Home

if TYPE_CHECKING:
    from pathlib import Path

GUESTBOOK = """{"v": "3.2", "port": 8000, "paths": {
    "": {"access": "private"}, "/public/": {"access": "public", "headers": {"X-Own": "yes"}}
}}"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Ada's Portal, with the app ``guestbook``."""
    made = Home(tmp_path)
    assert made.call("init", "--name", "Ada", "--domain", "p.example").status == 0
    made.add_app("guestbook", GUESTBOOK)
    return made


@pytest.fixture
def host(home: Home) -> str:
    """The Portal's own host; the app's is below it."""
    return f"{home.own_id()[:6]}.p.example"
