"""What every test needs: to be where SIGINT arrives, and a machine that others use too."""

import gc
import signal
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# What a shell starts in the background is deaf to SIGINT, and so is whatever that starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test fails for being slow.
settings.register_profile("proxy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("proxy")


_HERE = Path(__file__).parent


def pytest_sessionstart(session: pytest.Session) -> None:
    """Import a share of the tests first, where several processes are about to run all of them.

    In a new checkout pytest rewrites each file's assertions, which takes longer than to collect
    the tests. So each process does that for other files, and finds the rest done.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None or session.config.args != session.config.getini("testpaths"):
        return
    own = int(worker["workerid"].removeprefix("gw"))
    files = sorted(_HERE.rglob("test_*.py"))
    for file in files[own :: worker["workercount"]]:
        # What can't be imported, or is skipped as a whole, is told of where it is collected.
        with suppress(Exception, pytest.skip.Exception):
            import_module(".".join(file.relative_to(_HERE.parent).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """Let no collection of garbage look at the thousands of tests again and again."""
    gc.collect()
    gc.freeze()
