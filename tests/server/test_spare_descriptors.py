"""Descriptors that are kept for the follower, under the real limit of a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.patience import PATIENCE

_USE_UP = """
import os, resource
from proxy.server.spare_descriptors import COUNT, SpareDescriptors

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
spare = SpareDescriptors()
spare.take_back()

def use_up():
    taken = []
    while True:
        try:
            taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return taken

"""

_SOME_ARE_TAKEN = """
use_up()
spare.release()
more = [os.open("/dev/null", 0) for _ in range(3)]
spare.take_back()
print(spare.are_released, len(use_up()))
for each in more:
    os.close(each)
spare.take_back()
print(len(use_up()))
print(spare.release(), len(use_up()) == COUNT)
"""
_THERE_ARE_SOME_AGAIN = """
taken = use_up()
spare.release()
print(*spare.problems)
for each in taken:
    os.close(each)
spare.take_back()
print(spare.release(), spare.problems)
"""
_PROBLEM = (
    "descriptors: no more files or connections can be opened: give the proxy more of them "
    "(ulimit -n, LimitNOFILE=), or lower limits.connections"
)


def run(program: str) -> str:
    """Run a program that has no descriptor left after ``use_up``; return what it prints."""
    ended = subprocess.run(
        [sys.executable, "-c", _USE_UP + program], timeout=PATIENCE, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("print(spare.release(), spare.are_released, spare.problems)", "False False ()"),
        (
            "use_up(); print(spare.release(), spare.are_released, len(use_up()) == COUNT)",
            "True True True",
        ),
        (_SOME_ARE_TAKEN, "False 0\n0\nTrue True"),
        (_THERE_ARE_SOME_AGAIN, f"{_PROBLEM}\nFalse ()"),
        ("use_up(); spare.close(); print(len(use_up()) == COUNT)", "True"),
    ],
)
def test_they_are_there_when_no_other_one_is(program: str, printed: str) -> None:
    assert run(program) == printed + "\n"
