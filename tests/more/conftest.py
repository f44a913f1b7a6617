"""What these tests share: a demo that keeps running, and a browser."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.more.browser import IS_HERE, Browser, eventually, run_driver

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
    """Return the addresses that the demo prints once its conversation is over: pages, and links."""
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ctrl-C"):
            _, _, pages = "".join(said).partition("The pages, for a browser")
            return re.findall(r"http://\S+\.portal\.localhost:\S+", pages)
    pytest.fail("".join(said))


@pytest.fixture
def running() -> Iterator["subprocess.Popen[str]"]:
    """Give a demo whose conversation is over, to end it."""
    with _run_demo() as process:
        _wait_for_its_pages(process)
        yield process


@pytest.fixture(scope="module")
def printed() -> Iterator[list[str]]:
    """Give the addresses that a running demo prints."""
    with _run_demo() as process:
        yield _wait_for_its_pages(process)


@pytest.fixture(scope="module")
def pages(printed: list[str]) -> list[str]:
    """Give the addresses of its pages."""
    return [address for address in printed if "#code=" not in address]


@pytest.fixture(scope="module")
def at_home(driver: str, printed: list[str]) -> Iterator[Browser]:
    """Give a browser that is paired with each of its Portals, by the addresses for that."""
    browser = Browser(driver)
    for address in (address for address in printed if "#code=" in address):
        browser.open(address)
        browser.run("document.forms[0].requestSubmit()")
        is_there = "return location.pathname === '/' && document.title.includes('postcards')"
        assert eventually(partial(browser.run, is_there)), browser.run("return document.title")
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def driver() -> Iterator[str]:
    """Give the address of a chromedriver."""
    with run_driver() as address:
        yield address


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Give a browser of the test's own; skips where there is none."""
    if not IS_HERE:
        pytest.skip("no chromium and chromedriver here")
    browser = Browser(request.getfixturevalue("driver"))
    yield browser
    browser.close()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Give what prints a line for whoever watches, though the test passes."""

    def aloud(line: str) -> None:
        with capsys.disabled():
            print(f"    {line}")

    return aloud
