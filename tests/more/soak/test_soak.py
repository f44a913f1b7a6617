"""A short soak: what is left of each kind of load is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.more.soak.__main__ import soak
from tests.more.soak.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.more

SECONDS = 75


def test_memory_descriptors_and_tasks_come_to_rest(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        assert soak(stage, SECONDS) == []
