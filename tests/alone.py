"""A process without threads, for tests that fork: those that run the tests have some of their own.

Who forks beside them gets a process that may wait forever for a lock. From 3.12 on CPython warns of
it in the parent alone, when the child is there already: a test that fails then leaves it behind.
"""

import multiprocessing
from collections.abc import Callable

_SPAWN = multiprocessing.get_context("spawn")


def run_alone(work: Callable[..., None], *args: object) -> None:
    """Run ``work``, a function of a module, in a new process; whatever it raises is told there."""
    process = _SPAWN.Process(target=work, args=args)
    process.start()
    process.join()
    assert process.exitcode == 0
