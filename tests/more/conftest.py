"""What these tests share: a demo that keeps running."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def _run_demo() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", "--fresh"],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _wait_for_its_pages(process: "subprocess.Popen[str]") -> list[str]:
    """Return the addresses that the demo prints once its conversation is over."""
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ctrl-C"):
            return re.findall(r"http://\S+\.portal\.localhost:\S+", "".join(said))
    pytest.fail("".join(said))


@pytest.fixture
def running() -> Iterator["subprocess.Popen[str]"]:
    """Give a demo whose conversation is over, to end it."""
    with _run_demo() as process:
        _wait_for_its_pages(process)
        yield process


@pytest.fixture(scope="module")
def pages() -> Iterator[list[str]]:
    """Give the addresses of a running demo's pages, as it prints them."""
    with _run_demo() as process:
        yield _wait_for_its_pages(process)
