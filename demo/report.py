"""How the demo tells what happens, stops where it isn't as it must be, and waits for it."""

import time
from collections.abc import Callable

from demo.stage import DemoError, Response

_FOLLOWS = 10.0
"""Seconds within which a running proxy must have followed a changed contact list; it takes one."""


def tell(line: str = "") -> None:
    """Print a line at once."""
    print(line, flush=True)


def check(response: Response, status: int, code: str = "") -> None:
    """Tell a response, and stop where it isn't the expected one."""
    expected = f"{status} {code}".strip()
    if response.status != status or (code and response.code != code):
        raise DemoError(f"expected {expected}, got {response}: {response.text[:300]}")
    tell(f"   {response}, as it should be")


def wait_until(what: str, holds: Callable[[], bool], patience: float = _FOLLOWS) -> None:
    """Ask again and again until ``holds``; stops with ``what`` after ``patience`` seconds."""
    end = time.monotonic() + patience
    while not holds():
        if time.monotonic() > end:
            raise DemoError(f"{what} didn't happen within {patience:g} seconds")
        time.sleep(0.1)
