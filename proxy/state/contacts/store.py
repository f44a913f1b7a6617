"""contacts.yaml on disk, shared by commands and running proxies: no change is lost, none is half.

A change holds the lock while it reads, edits and replaces the file. A broken file is never
overwritten, so that nothing an owner wrote by hand is lost, and a symbolic link isn't followed:
replacing it would leave its target behind as a list that looks alive and isn't.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from proxy.core.access.policy import ContactList
from proxy.core.errors import Invalid, LaterVersion, Problem
from proxy.state.checksum import is_intact, with_checksum, without_checksum
from proxy.state.contacts.format import MAX_BYTES, parse_contacts, serialise_contacts
from proxy.state.file_watch import FileWatch, Versions
from proxy.state.files import (
    create_atomically,
    file_version,
    locked,
    read_file,
    write_atomically,
)
from proxy.state.schema import check_version

_WRITABLE_BY_OTHERS = 0o022
"""The list holds no secret; whoever can write it decides who our peers are."""
_log = logging.getLogger("proxy.contacts")


class ContactStore:
    """The contact list at ``path``; ``domain`` is ours, for addresses that are left out."""

    def __init__(self, path: Path, domain: str) -> None:
        self.path = path
        self._domain = domain
        self._before = path.with_name(path.name + ".before")
        self._rejected = path.with_name(path.name + ".rejected")

    def create(self) -> bool:
        """Make an empty list; returns ``False`` where anything is there, which stays as it is."""
        with locked(self.path):
            check_version(self.path.parent)
            try:
                create_atomically(self.path, serialise_contacts(ContactList()))
            except FileExistsError:
                return False
        return True

    def load(self) -> ContactList:
        """Read the list; raises ``Invalid``, for a missing or unreadable file too."""
        return self._parse(self._read())

    def change(self, edit: Callable[[ContactList], ContactList]) -> ContactList:
        """Replace the list by what ``edit`` makes of it, and return that.

        What ``edit`` raises passes through, and then nothing is changed. Raises ``Invalid`` where
        the file is broken or the new list couldn't be read back, ``Busy``, and OSError.
        """
        with locked(self.path):
            check_version(self.path.parent)
            old = self._read()
            contacts = self._parse(old)
            edited = edit(contacts)
            if edited != contacts:
                new = serialise_contacts(edited)
                self._parse(new)
                self._replace(old, new)
            return edited

    def change_text(
        self,
        editor: Callable[[str], str],
        again: Callable[[tuple[Problem, ...]], bool] = lambda _problems: False,
    ) -> ContactList:
        """Let the owner edit the file's text, and return the list; a broken file can be mended so.

        The lock is held until the owner is done: other changes wait or are told. Text with
        problems goes to ``again``, and back to the editor where that returns ``True``; otherwise it
        is kept in ``contacts.yaml.rejected``, the list stays, and ``Invalid`` is raised.
        """
        with locked(self.path):
            check_version(self.path.parent)
            old = self._read()
            self._refuse_later(old)
            shown = without_checksum(old)
            text = editor(shown.decode("utf-8", "replace"))
            while True:
                typed = without_checksum(text.encode("utf-8", "surrogateescape"))
                new = with_checksum(typed)
                try:
                    contacts = self._parse(typed)  # lines are counted as they were typed
                    self._parse(new)
                except Invalid as invalid:
                    write_atomically(self._rejected, typed)
                    if not again(tuple(invalid.problems)):
                        kept = Problem(str(self._rejected), "", "what you wrote is kept here")
                        raise Invalid([*invalid.problems, kept]) from None
                    text = editor(text)
                else:
                    break
            # A damaged list that the owner looked at, and left as it was, is the owner's own.
            if typed != shown or not is_intact(old):
                self._replace(old, new)
            self._rejected.unlink(missing_ok=True)
            return contacts

    def _read(self) -> bytes:
        data = read_file(self.path, forbidden=_WRITABLE_BY_OTHERS, limit=MAX_BYTES)
        if data is None:
            what = (
                f"is missing: put {self._before.name} or a backup in its place, or have an empty "
                "one made with `portal-proxy init`"
            )
            raise Invalid([Problem(str(self.path), "", what)])
        return data

    def _parse(self, data: bytes) -> ContactList:
        return parse_contacts(str(self.path), data, self._domain)

    def _refuse_later(self, data: bytes) -> None:
        """Let nobody mend what is no mistake."""
        try:
            self._parse(data)
        except LaterVersion:
            raise
        except Invalid:
            pass

    def _replace(self, old: bytes, new: bytes) -> None:
        write_atomically(self._before, old)
        write_atomically(self.path, new)


class ContactWatch(FileWatch[ContactList]):
    """A running proxy's view of ``store``. A list that was never good is empty."""

    def __init__(self, store: ContactStore) -> None:
        super().__init__(ContactList())
        self._store = store
        self.refresh()

    @property
    def available(self) -> ContactList | None:
        """The list that holds now; None where that isn't known: nobody is let in by an old one."""
        return None if self.is_stale else self.current

    @property
    def _name(self) -> str:
        return str(self._store.path)

    _while_stale = "no peer is let in, and no app can call one, until it can be read"

    def _look(self) -> Versions:
        return {self._store.path: file_version(self._store.path)}

    def _read(self) -> ContactList:
        return self._store.load()

    def _log_change(self) -> None:
        _log.info("the contact list changed: %d peers", len(self.current.peers))

    def _log_problems(self, invalid: Invalid) -> None:
        _log.error("the contact list is broken, the last good one stays in use: %s", invalid)
