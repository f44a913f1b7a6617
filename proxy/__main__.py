"""``portal-proxy``, and ``python -m proxy``, which is the same."""

import os
import sys
from collections.abc import Iterable

_WITH_VALUE = "--config"
_STDERR = 2


def main() -> None:
    """Run the command; ``serve`` is ready for signals before anything large is imported."""
    _fill_standard_descriptors()
    command = _command(sys.argv[1:])
    if command == "serve":
        from proxy.server import signals  # noqa: PLC0415 - ``health`` needs none of it

        signals.begin()
    elif command == "health":
        from proxy.server.quick_health import quick_health  # noqa: PLC0415 - and others not this

        status = quick_health(sys.argv[1:], os.environ)
        if status is not None:
            sys.exit(status)
    from proxy.cli.root import main as run  # noqa: PLC0415 - the large part

    run(command)


def _fill_standard_descriptors() -> None:
    """Open what was closed of stdin, stdout and stderr to nowhere.

    Else a socket or a file gets the number, and with it what some library writes to stderr.
    """
    number = os.open(os.devnull, os.O_RDWR)
    while number <= _STDERR:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)


def _command(words: Iterable[str]) -> str:
    """Return which command it is: all but ``serve`` keep what signals do by default."""
    rest = iter(words)
    for word in rest:
        if word == _WITH_VALUE:
            next(rest, "")
        elif not word.startswith(f"{_WITH_VALUE}="):
            return "" if word.startswith("-") else word  # another option is about the whole program
    return ""


if __name__ == "__main__":
    main()
