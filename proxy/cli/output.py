"""What the commands print: plain lines, JSON, and reasons on stderr.

One rule holds everywhere: nothing that came from outside (a name, an argument, a file) is printed
with characters that a terminal acts on. Python's ``str.isprintable`` is the measure: it is false
for control, bidirectional, zero-width and surrogate characters.
"""

import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from proxy.core.errors import Problem
from proxy.state.system_errors import naming

PROGRAM = "portal-proxy"
DEFAULT_FOLDER = Path("config")
SYSTEM_FOLDER = Path("/etc/portal-proxy")
"""The config folder of a Portal that is a service of this machine."""
PORTAL_YAML = "portal.yaml"

FAILED = 1
"""Exit status of a refusal."""
USAGE = 2
"""Exit status of a command line that can't be meant."""


class Stop(Exception):
    """Ends a command: ``reason`` is one line for stderr that says what to do next."""

    def __init__(self, reason: str, *, status: int = FAILED) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@contextmanager
def refused_edits_stop() -> Iterator[None]:
    """Let an edit that a list refuses (``ValueError``) end the command, with its reason."""
    try:
        yield
    except ValueError as error:
        raise Stop(str(error)) from None


def printable(text: str) -> str:
    """Return one line of ``text`` with every character that a terminal could act on escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def say(line: str = "") -> None:
    """Print one line on stdout: what the command was asked for."""
    _print(line, sys.stdout)


def say_painted(parts: Iterable[tuple[str, str]]) -> None:
    """Print one line on stdout, in pieces; each has its style, as in ``ESC [ 1 m``, or "".

    The styles are ours alone: what is in the pieces is made printable all the same.
    """
    pieces = (
        f"\x1b[{style}m{printable(text)}\x1b[0m" if style else printable(text)
        for text, style in parts
    )
    _write("".join(pieces), sys.stdout)


def remark(line: str) -> None:
    """Print one line on stderr: for the person, never for the script that reads stdout."""
    _print(line, sys.stderr)


def complain(reason: str) -> None:
    """Print why the command fails, on stderr."""
    remark(f"{PROGRAM}: {reason}")


def complain_of(problems: Iterable[Problem]) -> None:
    """Print every problem on a line of its own, on stderr."""
    for problem in problems:
        complain(str(problem))


def say_json(value: object) -> None:
    """Print ``value`` as JSON on stdout; all ASCII, so that it is the same in every locale."""
    say_lines(json.dumps(value, indent=2))


def say_lines(text: str) -> None:
    """Print text of several lines on stdout, each made printable."""
    for line in text.splitlines():
        say(line)


def say_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print an indented block of names and values under a heading."""
    for name, value in fields:
        say(f"  {name:<9}{value}")


def default_folder() -> Path:
    """Return the config folder that is meant where none is named: here, else the machine's."""
    if (DEFAULT_FOLDER / PORTAL_YAML).exists():
        return DEFAULT_FOLDER
    with suppress(OSError):
        if (SYSTEM_FOLDER / PORTAL_YAML).exists():
            return SYSTEM_FOLDER
        if os.geteuid() == 0 and SYSTEM_FOLDER.is_dir():
            return SYSTEM_FOLDER  # as the service was installed, and init comes next
    return DEFAULT_FOLDER


def command_line(folder: Path, *words: str) -> str:
    """Return a command that the owner can paste, for the Portal whose config folder this is."""
    parts = [PROGRAM, *words]
    if folder not in {DEFAULT_FOLDER, default_folder()}:
        parts += ["--config", str(folder)]
    return shlex.join(parts)


def counted(number: int, noun: str) -> str:
    """Return ``"1 problem"``, ``"2 problems"``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def milliseconds(seconds: float) -> str:
    """Return a short time as a person reads it."""
    return f"{seconds * 1000:.0f} ms"


def utc(moment: float) -> str:
    """Return a time in Unix seconds as a person reads it."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
    except (OverflowError, OSError, ValueError):
        return f"{moment:.0f} (Unix seconds)"


def why_unreachable(error: OSError) -> str:
    """Return in words why a connection couldn't be made."""
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError)):
        return "nothing listens there"
    if isinstance(error, socket.gaierror):
        return "its host name isn't known"
    # Without a number it stands for several: one for each address that the host name has.
    return os.strerror(error.errno) if error.errno else "none of its addresses answers"


def _print(line: str, stream: TextIO) -> None:
    _write(printable(line), stream)


def _write(line: str, stream: TextIO) -> None:
    with naming(Path("stdout" if stream is sys.stdout else "stderr")):
        print(line, file=stream, flush=True)
