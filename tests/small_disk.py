"""A small file system of a test's own, that can be full or read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def mount(*words: str) -> bool:
    """Run mount; tells whether that was possible."""
    return os.geteuid() == 0 and subprocess.run(["mount", *words], check=False).returncode == 0


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Give a tmpfs at ``folder``, which is made; skips where none can be mounted."""
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder)):
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:  # lazily: whoever still has a file open there must not keep it for the next tests
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
