"""pairing.yaml on disk: each code makes one terminal, whoever and however many processes try it.

A right code is used up, on disk, before its terminal is made: whatever breaks in between costs the
owner a new code, and never lets a second device in. A wrong one is counted before it is refused.
Whoever can't do either refuses everything (503), and so tells nothing about the code. Where a
link's code is wrong nothing is locked or written: a flood of them costs next to nothing.
"""

import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from proxy.core.display_names import clean_name
from proxy.core.errors import Code, Invalid, Problem, Refusal
from proxy.core.terminals.pairing_code import (
    CODE_BYTES,
    LINK_CODE_BYTES,
    Pairing,
    is_link_code,
    new_code,
    new_link_code,
)
from proxy.core.terminals.terminals import TOKEN_BYTES, Terminal, token_digest
from proxy.state.files import (
    Busy,
    FileVersion,
    Unsafe,
    file_version,
    locked,
    read_file,
    write_atomically,
)
from proxy.state.schema import check_version
from proxy.state.system_errors import explained
from proxy.state.terminals.format import parse_pairing, serialise_pairing
from proxy.state.terminals.store import TerminalStore

NAMELESS = "Unnamed device"
"""What a device is called whose owner typed no name, or none that can be shown."""
_NO_SUCH_CODE = "no such code is open"
_TOLD = 60.0
"""Seconds for which it is told that a try failed; nobody may try for weeks."""
_LOCK_WAIT = 2.0
"""Seconds that a try waits for another one's; each takes milliseconds."""
_log = logging.getLogger("proxy.terminals")


class NewCode(NamedTuple):
    """A code in its two forms; each makes the same one terminal."""

    typed: str
    link: str


class PairingStore:
    """The open codes and wrong tries at ``path``; what they make is added to ``terminals``.

    Times are Unix seconds. Waits for locks and disks: not to be called where that holds others up.
    """

    def __init__(
        self,
        path: Path,
        terminals: TerminalStore,
        *,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._terminals = terminals
        self._read: tuple[FileVersion | None, Pairing] | None = None
        self._unreadable: tuple[Problem, ...] = ()
        self._failed: tuple[float, Problem] | None = None
        self._steady = steady

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why nobody can be paired: the file as it is, and what kept a try from being noted."""
        if self._failed is not None and self._steady() - self._failed[0] < _TOLD:
            return (*self._unreadable, self._failed[1])
        return self._unreadable

    def follow(self) -> None:
        """Look at the file; may wait for the disk. Raises nothing: what is wrong is told."""
        before = self._unreadable
        try:
            self.load()
        except Invalid as invalid:
            self._unreadable = tuple(invalid.problems)
            if self._unreadable != before:
                _log.error("nobody can be paired: %s", invalid)
        else:
            self._unreadable = ()

    def load(self) -> Pairing:
        """Read the file if it changed; raises ``Invalid``. A missing one is an empty one."""
        # Taken before the file is read: a change in between is seen the next time.
        version, known = file_version(self.path), self._read
        if known is not None and known[0] == version:
            return known[1]
        data = read_file(self.path)
        pairing = Pairing() if data is None else parse_pairing(str(self.path), data)
        self._read = (version, pairing)
        return pairing

    def new_code(self, now: float) -> NewCode:
        """Open and return a new code; raises ``Invalid``, ``Busy`` and OSError."""
        typed = new_code(secrets.token_bytes(CODE_BYTES))
        link = new_link_code(secrets.token_bytes(LINK_CODE_BYTES))
        with locked(self.path):
            self._write(self.load().with_code(typed, now, link))
        return NewCode(typed, link)

    def redeem(self, code: str, address: str, name: str, now: float) -> tuple[Terminal, str]:
        """Make a terminal for a code that is open, and return it with its token.

        ``code``, in either form, and ``name`` are as somebody typed them or a link brought them;
        ``address`` is that somebody's. Raises
        ``Refusal``: ``TOO_MANY_ATTEMPTS``, ``PAIRING_REFUSED`` whatever is wrong with the code, and
        ``PAIRING_STORE_DOWN`` where a file can't be read or written.
        """
        try:
            self._refuse_early(self.load(), code, address, now)
            with locked(self.path, wait=_LOCK_WAIT):
                self._use_up(code, address, now)
                made = self._make_terminal(clean_name(name) or NAMELESS, now)
                self._failed = None
                return made
        except (OSError, Invalid, Unsafe, Busy) as error:
            reason = explained(error) if isinstance(error, OSError) else str(error)
            problem = Problem(str(self.path), "", f"a device couldn't be paired: {reason}")
            self._failed = self._steady(), problem
            raise Refusal(Code.PAIRING_STORE_DOWN, str(error)) from error

    def _use_up(self, code: str, address: str, now: float) -> None:
        """Return if the code was open; it isn't any more."""
        pairing = self.load()
        self._refuse_early(pairing, code, address, now)
        found = pairing.find(code, now)
        if found is None:
            self._write(pairing.with_wrong_try(address, now))
            raise Refusal(Code.PAIRING_REFUSED, _NO_SUCH_CODE)
        self._terminals.load()  # a list that takes no terminal mustn't cost the owner a code
        self._write(pairing.without_code(found))

    @staticmethod
    def _refuse_early(pairing: Pairing, code: str, address: str, now: float) -> None:
        """Refuse what others needn't wait for: a flood of typed codes, and a link that is no good.

        Only typed codes are few enough to be guessed, so they alone are counted. The owner who
        follows a link isn't kept out by those who guess.
        """
        if is_link_code(code):
            if pairing.find(code, now) is None:
                raise Refusal(Code.PAIRING_REFUSED, _NO_SUCH_CODE)
            return
        wait = pairing.wait(address, now)
        if wait:
            detail = "too many wrong codes in the last minute"
            raise Refusal(Code.TOO_MANY_ATTEMPTS, detail, retry_after=wait)

    def _make_terminal(self, name: str, now: float) -> tuple[Terminal, str]:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        digest = token_digest(token.encode("ascii"))
        terminal = self._terminals.add(name, digest, now, wait=_LOCK_WAIT)
        _log.info("paired terminal %s", terminal.id)
        return terminal, token

    def _write(self, pairing: Pairing) -> None:
        check_version(self.path.parent)
        write_atomically(self.path, serialise_pairing(pairing))
