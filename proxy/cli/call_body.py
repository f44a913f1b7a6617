"""What a call by hand reads and writes: ``-d`` as the body, the response to stdout or into a file.

Bytes pass as they are and in pieces, so that neither side has to end, or to fit into memory. Only a
terminal gets text, without the characters that it would act on.
"""

import asyncio
import codecs
import os
import stat
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

from proxy.cli.output import Stop, printable
from proxy.cli.progress import Transfer
from proxy.state.system_errors import naming
from proxy.transfer.body import PIECE


class TypedBody:
    """A body that stands on the command line; ``size`` is in bytes."""

    def __init__(self, data: bytes) -> None:
        self.size: int | None = len(data)
        self._data = data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data, self._data = self._data, b""
        if not data:
            raise StopAsyncIteration
        return data


class ReadBody:
    """A body from an open file, a pipe or a terminal, read as it is asked for.

    ``size`` is in bytes; None where only its end will tell.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        status = os.fstat(descriptor)
        self.size: int | None = None
        if stat.S_ISREG(status.st_mode):
            position = os.lseek(descriptor, 0, os.SEEK_CUR)
            self.size = max(status.st_size - position, 0)
            if not self.size and os.pread(descriptor, 1, position):
                self.size = None  # a file of the kernel's, as in /proc: it doesn't tell its size
        self._left = self.size

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._left == 0:
            raise StopAsyncIteration
        await self._readable()
        piece = os.read(self._descriptor, PIECE if self._left is None else min(PIECE, self._left))
        if self._left is not None:
            if not piece:
                raise Stop(f"{self._name} became {self._left} bytes shorter while it was sent")
            self._left -= len(piece)
        if not piece:
            raise StopAsyncIteration
        return piece

    async def _readable(self) -> None:
        """Wait until a read won't block; whoever waits may be cancelled, and nothing is lost."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, ready.set)
        except PermissionError:  # a file on a disk, which is always ready
            await asyncio.sleep(0)
            return
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._descriptor)


Source = TypedBody | ReadBody


class Counted:
    """A body, and how much of it has been sent."""

    def __init__(self, body: Source, shown: Transfer) -> None:
        self._body = body
        self._shown = shown

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._body)
        self._shown.sent(len(piece))
        return piece


def source_of(data: str, stack: ExitStack) -> Source:
    """Return the body that ``-d`` means; ``stack`` closes what is opened for it.

    Raises ``OSError`` for a file that can't be opened.
    """
    if data == "@-":
        return ReadBody(0, "stdin")
    if data.startswith("@"):
        return ReadBody(
            stack.enter_context(Path(data[1:]).open("rb", buffering=0)).fileno(), data[1:]
        )
    return TypedBody(os.fsencode(data))


class Sink(Protocol):
    """Where the response's body goes."""

    def write(self, piece: bytes) -> None:
        """Take a piece, all of it; raises ``OSError``."""


@dataclass(frozen=True)
class Descriptor:
    """Takes bytes as they are."""

    number: int
    path: Path = Path("stdout")

    def write(self, piece: bytes) -> None:
        view = memoryview(piece)
        with naming(self.path):
            while view:
                view = view[os.write(self.number, view) :]


class Terminal:
    """Shows text, and every character that a terminal would act on as its escape code."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, piece: bytes) -> None:
        """Show ``piece``; half a character waits for its other half."""
        text = self._decoder.decode(piece)
        lines = text.split("\n")
        sys.stdout.write("\n".join("\t".join(map(printable, s.split("\t"))) for s in lines))
        sys.stdout.flush()


class Nowhere:
    """Forgets what it takes."""

    def write(self, piece: bytes) -> None:
        pass


def stdout() -> Sink:
    """Return stdout: as a person reads it at a terminal, else as bytes; raises ``Stop``."""
    if sys.stdout is None:
        raise Stop("stdout is closed: there is nowhere to print the response")
    if sys.stdout.isatty():
        return Terminal()
    sys.stdout.flush()
    return Descriptor(sys.stdout.fileno())


def created(path: Path, stack: ExitStack) -> Sink:
    """Return the file ``path``, made or emptied; ``stack`` closes it."""
    file: BinaryIO = stack.enter_context(path.open("wb", buffering=0))
    return Descriptor(file.fileno(), path)
