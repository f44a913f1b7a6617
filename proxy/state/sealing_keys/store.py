"""The sealing keys: one file a key, in a folder that all who serve this Portal share.

What is on disk holds, and nothing else: a key is there whole and for good before a document names
it, so a crash at any moment leaves every key that anybody was told of; and one whose file is gone
opens nothing more. Changes are made under one lock. What is wrong with one file is told, and no
other key suffers; but nothing that is named like a key's file outlives a key's time.
"""

import errno
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxy.core.errors import Invalid, Problem
from proxy.core.sealing.hpke import KEY_LENGTH, Aead, SealingKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.offer import OfferedKey
from proxy.core.sealing_rotation import Plan, free_key_ids, is_over, plan, use_until
from proxy.state.files import (
    Busy,
    Unsafe,
    check_folder,
    create_atomically,
    delete,
    locked,
    make_private_folder,
)
from proxy.state.schema import check_version
from proxy.state.sealing_keys.folder import KeyFolder
from proxy.state.sealing_keys.format import CACHE_TAG, CACHE_TAG_TEXT, serialise
from proxy.state.system_errors import explained

_AEADS = (Aead.AES_128_GCM, Aead.CHACHA20_POLY1305)
_log = logging.getLogger("proxy.sealing_keys")


class SealingKeyStore:
    """The keys in ``folder``; ``rotation`` is seconds, all times are Unix seconds.

    ``accepting``: where the owner takes no sealed calls, no key is made or offered, and those that
    are left are deleted when their time is over. ``steady`` is a clock that nobody can set: it
    limits a key's life where the other one is set back.
    """

    def __init__(
        self,
        folder: Path,
        rotation: int,
        *,
        accepting: bool = True,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problems: tuple[Problem, ...] = ()
        """What is wrong with the folder just now."""
        self._folder = KeyFolder(folder, steady)
        self._rotation = rotation
        self._accepting = accepting
        self._now = 0.0

    def take_settings(self, rotation: int, *, accepting: bool, now: float) -> None:
        """Go by these from now on; raises what ``open`` does, and waits for the disk."""
        begins = accepting and not self._accepting
        self._rotation, self._accepting = rotation, accepting
        if begins:
            self.open(now)

    def open(self, now: float) -> None:
        """Delete what is over, make a key if one is needed: after this the keys can be offered.

        Raises ``Invalid`` where the folder can't be used, and ``Busy``. That no key could be made
        is one of the ``problems``.
        """
        path = self._folder.path
        try:
            if self._accepting:
                make_private_folder(path)
            elif not path.exists():
                return
            check_folder(path)
            with locked(path):
                check_version(path.parent)
                self._maintain(now)
        except (OSError, Unsafe) as error:
            raise Invalid([Problem(str(path), "", _reason(error))]) from None

    def follow(self, now: float) -> None:
        """Take over what other processes did, and do what is due; cheap where nothing is.

        For a thread: it waits for the disk, and ``find`` and ``published`` may be called meanwhile.
        Raises nothing: what goes wrong is among the ``problems``, and logged once.
        """
        path = self._folder.path
        try:
            with suppress(FileNotFoundError):
                check_folder(path)  # before anything new in it is believed
            self._look(now)
            if not self._needs_maintenance(now):
                self._tell([])
                return
            with locked(path, wait=0):
                check_version(path.parent)
                self._maintain(now)
        except Busy as busy:
            # Another process is doing just this. To wait for it would stop all calls meanwhile.
            if self._accepting and self._plan(now).offered is None:
                self._tell([Problem(str(path), "", str(busy))])
        except Invalid as invalid:  # another program keeps the folder now
            self._tell(invalid.problems)
        except (OSError, Unsafe) as error:
            self._tell([Problem(str(path), "", _reason(error))])

    def find(self, key_id: int) -> SealingKey | None:
        """Return the key, for opening what was sealed to it; None where there is none (any more).

        Of the last look: ``look_again`` finds one that another process has just made.
        """
        file = self._folder.files.get(key_id)
        if file is None or file.stored is None:
            return None
        is_dead = is_over(file.age(self._folder.steady()), self._now, self._rotation)
        return None if is_dead else file.stored.key

    def look_again(self) -> None:
        """Look for keys that another process has just made; each is offered from its first moment.

        Waits for the disk; raises nothing.
        """
        with suppress(OSError):
            self._look(self._now)

    def published(self, now: float) -> tuple[OfferedKey, ...]:
        """Return what documents name: a key's configuration, and until when it may be used."""
        offered = self._plan(now).offered if self._accepting else None
        file = self._folder.files.get(offered) if offered is not None else None
        if offered is None or file is None or file.stored is None:
            return ()  # as where another thread has taken it over between two lines
        config = KeyConfig(offered, file.stored.key.public, _AEADS)
        until = use_until(file.age(self._folder.steady()), now, self._rotation)
        return (OfferedKey(config, until),)

    def __len__(self) -> int:
        """Return how many keys there are."""
        return len(self._folder.ages(readable=True))

    def inspect(self, now: float) -> tuple[Problem, ...]:
        """Return what is wrong with the folder, and change nothing; a missing one is fine."""
        try:
            check_folder(self._folder.path)
            self._look(now)
        except FileNotFoundError:
            return ()
        except (OSError, Unsafe) as error:
            return (Problem(str(self._folder.path), "", _reason(error)),)
        return tuple(self._folder.faults())

    def _look(self, now: float) -> None:
        self._now = now
        self._folder.look(now)

    def _plan(self, now: float) -> Plan:
        return plan(self._folder.ages(readable=True), now, self._rotation)

    def _over(self, now: float) -> list[int]:
        """Return the IDs of the files whose time is over, those that can't be read included."""
        ages = sorted(self._folder.ages().items())
        return [key_id for key_id, age in ages if is_over(age, now, self._rotation)]

    def _needs_maintenance(self, now: float) -> bool:
        if self._over(now) or self._folder.leftovers():
            return True
        return self._accepting and (not self._folder.is_tagged or self._plan(now).is_due)

    def _maintain(self, now: float) -> None:
        """Put the folder in order; the lock is ours. What doesn't work keeps nothing else back."""
        found: list[Problem] = []
        path = self._folder.path
        if self._accepting:
            make_private_folder(path)
        check_folder(path)
        self._look(now)
        # Not one that is given up here either: something sealed to that key may be on its way.
        free = free_key_ids(self._folder.files)
        for leftover in self._folder.leftovers():  # half a key, or the copy of a whole one
            with _trying(leftover, "was left by a crash, and can't be deleted", found):
                delete(leftover)
        for key_id in self._over(now):
            self._end(key_id, found)
        if self._accepting and not self._folder.is_tagged:
            with _trying(path / CACHE_TAG, "can't be made", found):
                create_atomically(path / CACHE_TAG, CACHE_TAG_TEXT)
        if self._accepting and self._plan(now).is_due:
            with _trying(path, "no new sealing key can be made", found):
                self._make(free, now)
        self._look(now)
        self._tell(found)

    def _end(self, key_id: int, found: list[Problem]) -> None:
        """Delete a key whose time is over."""
        path = self._folder.path_of(key_id)
        file = self._folder.files.get(key_id)
        which = f", which {file.fault}" if file is not None and file.fault else ""
        with _trying(path, "its time is over, and it can't be deleted", found):
            with suppress(FileNotFoundError):  # its owner was faster
                delete(path)
            self._folder.forget(key_id)
            _log.info("deleted sealing key %d%s", key_id, which)

    def _make(self, free: list[int], now: float) -> None:
        if not free:
            raise FileExistsError(errno.EEXIST, "a file stands in the place of every key ID")
        key_id = secrets.choice(free)
        data = serialise(key_id, int(now), secrets.token_bytes(KEY_LENGTH))
        create_atomically(self._folder.path_of(key_id), data)
        _log.info("made sealing key %d", key_id)

    def _tell(self, found: list[Problem]) -> None:
        """Keep all problems for who asks, and log those that are new."""
        problems = (*self._folder.faults(), *found)
        for problem in problems:
            if problem not in self.problems:
                _log.error("%s", problem)
        if self.problems and not problems:
            _log.warning("the sealing keys are in order again")
        self.problems = problems


@contextmanager
def _trying(path: Path, otherwise: str, found: list[Problem]) -> Iterator[None]:
    """Do what must not keep the rest from being done; what goes wrong is added to ``found``."""
    try:
        yield
    except OSError as error:
        found.append(Problem(str(path), "", f"{otherwise}: {_reason(error)}"))


def _reason(error: Exception) -> str:
    return explained(error) if isinstance(error, OSError) else str(error)
