"""How far long work is: at a terminal, on stderr, and erased when it is done. Else nothing."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from proxy.cli.output import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

BEGINS = 1.0
"""Seconds after which work counts as long: what is over before shows nothing."""


def is_shown() -> bool:
    """Tell whether somebody looks: stderr is a terminal that can move its cursor."""
    there = sys.stderr is not None and sys.stderr.isatty()
    return there and os.environ.get("TERM", "dumb") != "dumb"


class Transfer:
    """Bytes on their way, both ways; ``close`` it before anything else goes to the terminal."""

    def __init__(
        self,
        total: int | None,
        *,
        shown: bool | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``total`` is how many bytes will be sent, where that is known."""
        self._total = total
        self._is_shown = is_shown() if shown is None else shown
        self._now = now
        self._began = now()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._moved = {"sent": 0, "received": 0}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def sent(self, count: int) -> None:
        """Take note of so many bytes that were sent."""
        self._move("sent", count)

    def received(self, count: int) -> None:
        """Take note of so many bytes that were received."""
        self._move("received", count)

    def close(self) -> None:
        """Erase it; nothing is shown any more."""
        self._is_shown = False
        bars, self._bars = self._bars, None
        if bars is not None:
            bars.stop()

    def _move(self, way: str, count: int) -> None:
        if not self._is_shown:
            return
        self._moved[way] += count
        if self._bars is None:
            if self._now() - self._began < BEGINS:
                return
            self._bars = _bars()
            self._bars.start()
        if way not in self._tasks:
            total = self._total if way == "sent" else None
            self._tasks[way] = self._bars.add_task(way, total=total)
        self._bars.update(self._tasks[way], completed=self._moved[way])


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show that something goes on of which nobody knows how far it is."""
    if not is_shown():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.text import Text  # noqa: PLC0415 - likewise

    with Console(stderr=True).status(Text(printable(what))):
        yield


def _bars() -> "Progress":
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
    from rich.progress import (  # noqa: PLC0415 - likewise
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
