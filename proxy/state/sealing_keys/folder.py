"""What is in the folder of the sealing keys, as it was last looked at."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from proxy.core.errors import Problem
from proxy.core.sealing_rotation import Age
from proxy.state.files import (
    FileVersion,
    Unsafe,
    is_leftover,
    read_private,
    sync_folder,
    version_of,
)
from proxy.state.sealing_keys.format import CACHE_TAG, StoredKey, file_name, key_id_of, parse
from proxy.state.system_errors import explained

_KEY_FILE_LIMIT = 1024


@dataclass(frozen=True)
class KeyFile:
    """A file that is named like a key's; without ``stored`` there is a ``fault``."""

    version: FileVersion | None
    """None where it must be read again."""
    made: int
    """When the key was made, Unix seconds; of what can't be read, when that was written at last."""
    born: float
    """The same moment by the steady clock, counted back when the file was first read."""
    stored: StoredKey | None = None
    fault: str = ""

    def age(self, steady: float) -> Age:
        """Return how old the key is, the steady clock being at ``steady``."""
        return Age(self.made, steady - self.born)


class KeyFolder:
    """The folder at ``path``. ``steady`` is a clock that nobody can set.

    Threads may look while others read: ``files`` is replaced whole, by one at a time.
    """

    def __init__(self, path: Path, steady: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.steady = steady
        self.files: Mapping[int, KeyFile] = {}
        self._looking = Lock()
        self._others: list[str] = []

    def look(self, now: float) -> None:
        """Take over what is on disk; files that didn't change aren't read again.

        Raises OSError where the folder can't be listed; a missing one is an empty one.
        """
        with self._looking:  # of two looks the later one must have the last word
            self._take_over(now)

    def forget(self, key_id: int) -> None:
        """Take out the file of a key that was deleted; a look may have missed it by now."""
        with self._looking:
            self.files = {other: kept for other, kept in self.files.items() if other != key_id}

    def _take_over(self, now: float) -> None:
        files: dict[int, KeyFile] = {}
        others: list[str] = []
        with suppress(FileNotFoundError), os.scandir(self.path) as entries:
            for entry in entries:
                key_id = key_id_of(entry.name)
                if key_id is None:
                    others.append(entry.name)
                    continue
                with suppress(FileNotFoundError):  # another process deleted it just now
                    files[key_id] = self._read(key_id, entry, now)
        if files.keys() - self.files.keys():
            sync_folder(self.path)  # whoever made it perhaps died, or waits, before this
        self.files, self._others = files, sorted(others)

    def path_of(self, key_id: int) -> Path:
        """Return the path of a key's file."""
        return self.path / file_name(key_id)

    @property
    def is_tagged(self) -> bool:
        """Whether backup programs are told to leave the folder out."""
        return CACHE_TAG in self._others

    def leftovers(self) -> list[Path]:
        """Return what is being written just now, or was when there was a crash."""
        return [self.path / name for name in self._others if is_leftover(name)]

    def ages(self, *, readable: bool = False) -> dict[int, Age]:
        """Return the age of each file's key by its ID, or only of those that can be read."""
        steady = self.steady()
        return {
            key_id: file.age(steady)
            for key_id, file in self.files.items()
            if file.stored is not None or not readable
        }

    def faults(self) -> Iterator[Problem]:
        """Tell what is wrong with single files."""
        for key_id, file in sorted(self.files.items()):
            if file.fault:
                yield Problem(str(self.path_of(key_id)), "", file.fault)
        for name in self._others:
            if name != CACHE_TAG and not is_leftover(name):
                what = "isn't the proxy's and is never deleted by it: is it a copy of a key?"
                yield Problem(str(self.path / name), "", what)

    def _read(self, key_id: int, entry: os.DirEntry[str], now: float) -> KeyFile:
        """Return the file, read anew if it changed; raises FileNotFoundError."""
        before = self.files.get(key_id)
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError as error:  # nobody can tell whether it is as before: it opens nothing
            made = before.made if before is not None else int(now)
            born = before.born if before is not None else self.steady()
            return KeyFile(None, made, born, fault=_cannot_be_read(error))
        version: FileVersion | None = version_of(status)
        if before is not None and before.version == version:
            return before
        # What can't be read is as old as the file, and not from the future: nobody can tell that.
        made, stored, fault = min(int(status.st_mtime), int(now)), None, ""
        if before is not None and before.stored is None:
            made = before.made
        try:
            stored = parse(key_id, read_private(self.path_of(key_id), limit=_KEY_FILE_LIMIT))
            made = stored.made
        except FileNotFoundError:
            raise
        except OSError as error:
            version, fault = None, _cannot_be_read(error)  # perhaps at the next look
        except (Unsafe, ValueError) as error:
            fault = str(error)
        if before is not None and before.made == made:
            born = before.born
        else:
            born = self.steady() - max(0.0, now - made)
        return KeyFile(version, made, born, stored, fault)


def _cannot_be_read(error: OSError) -> str:
    return f"can't be read: {explained(error)}"
