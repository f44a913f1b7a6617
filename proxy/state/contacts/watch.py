"""A running proxy's view of the contact list: follows the file, keeps the last good list.

A list that can't be read must not become an empty one, nor an old one without a word: the
problems are kept beside it, and logged once for each change of the file.
"""

import logging

from proxy.core.access.policy import ContactList
from proxy.core.errors import Invalid, Problem
from proxy.state.contacts.store import ContactStore
from proxy.state.files import FileVersion, file_version

_log = logging.getLogger("proxy.contacts")


class ContactWatch:
    """The current list of ``store``. Reads it when made; a list that was never good is empty."""

    def __init__(self, store: ContactStore) -> None:
        self._store = store
        self._current = ContactList()
        self._problems: tuple[Problem, ...] = ()
        self._version: FileVersion = None
        self._has_read = False
        self.refresh()

    @property
    def current(self) -> ContactList:
        """The last good list."""
        return self._current

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the file as it is now; while there are any, ``current`` is older."""
        return self._problems

    def refresh(self) -> bool:
        """Read the file if it changed; tells whether ``current`` or ``problems`` did."""
        # The version is taken before the file is read: a change in between is seen the next time.
        version = file_version(self._store.path)
        if self._has_read and version == self._version:
            return False
        first, self._has_read, self._version = not self._has_read, True, version
        before = (self._current, self._problems)
        try:
            self._current, self._problems = self._store.load(), ()
        except Invalid as invalid:
            self._problems = tuple(invalid.problems)
            _log.error("the contact list is broken, the last good one stays in use: %s", invalid)
        else:
            if not first:
                _log.info("the contact list changed: %d peers", len(self._current.peers))
        return before != (self._current, self._problems)
