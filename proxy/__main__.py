"""``portal-proxy``, and ``python -m proxy``, which is the same."""

import os
import sys
from collections.abc import Iterable

from proxy.server import signals

_WITH_VALUE = "--config"
_STDERR = 2


def main() -> None:
    """Run the command; ``serve`` is ready for signals before anything large is imported."""
    _fill_standard_descriptors()
    if _is_serve(sys.argv[1:]):
        signals.begin()
    from proxy.cli import main as run  # noqa: PLC0415 - the large part

    run()


def _fill_standard_descriptors() -> None:
    """Open what was closed of stdin, stdout and stderr to nowhere.

    Else a socket or a file gets the number, and with it what some library writes to stderr.
    """
    number = os.open(os.devnull, os.O_RDWR)
    while number <= _STDERR:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)


def _is_serve(words: Iterable[str]) -> bool:
    """Tell whether the command is ``serve``: others keep what signals do by default."""
    rest = iter(words)
    for word in rest:
        if word == _WITH_VALUE:
            next(rest, "")
        elif not word.startswith("-"):
            return word == "serve"
    return False


if __name__ == "__main__":
    main()
