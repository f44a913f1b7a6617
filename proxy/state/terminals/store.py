"""terminals.yaml on disk, shared by commands and running proxies: no change is lost, none is half.

Where the file is missing there are no terminals: it is made with the first one, and who deletes it
removes them all. One that is broken, or not ours alone, is a problem, and never overwritten.
"""

from collections.abc import Callable
from pathlib import Path

from proxy.core.terminals.terminals import TerminalList
from proxy.state.files import LOCK_WAIT, locked, read_file, write_atomically
from proxy.state.terminals.format import parse_terminals, serialise_terminals


class TerminalStore:
    """The list of terminals at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> TerminalList:
        """Read the list; raises ``Invalid``, for an unreadable file too."""
        data = read_file(self.path)
        return TerminalList() if data is None else parse_terminals(str(self.path), data)

    def change(
        self, edit: Callable[[TerminalList], TerminalList], *, wait: float = LOCK_WAIT
    ) -> TerminalList:
        """Replace the list by what ``edit`` makes of it, and return that.

        What ``edit`` raises passes through, and then nothing is changed. Raises ``Invalid`` where
        the file is broken or the new list couldn't be read back, ``Busy`` after ``wait`` seconds,
        and OSError.
        """
        with locked(self.path, wait=wait):
            terminals = self.load()
            edited = edit(terminals)
            if edited != terminals:
                new = serialise_terminals(edited)
                parse_terminals(str(self.path), new)
                write_atomically(self.path, new)
            return edited
