"""When an app last answered twice on one connection: seen by a running proxy, told by ``check``.

Such a server takes a request's body for the next request, which no rule has judged.
"""

import json
import logging
import re
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from proxy.core.errors import Invalid
from proxy.state.files import Unsafe, read_file, write_atomically

KEPT = 30 * 86_400
"""Seconds for which a sighting is told."""
_MOST = 1000
_APP = re.compile(r"[a-z0-9-]{1,63}")

log = logging.getLogger("proxy.apps")


class SurplusResponses:
    """The file of sightings. Of two that are written at once one may be lost; it is seen again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()

    def load(self) -> Mapping[str, int]:
        """Return when each app was seen to, in Unix seconds; none where the file can't be read."""
        try:
            found = json.loads(read_file(self._path) or b"{}")
        except (OSError, Invalid, Unsafe, ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {
            app: seen
            for app, seen in found.items()
            if type(seen) is int and _APP.fullmatch(app) and seen > time.time() - KEPT
        }

    def note_soon(self, apps: Iterable[str]) -> None:
        """Take note in a thread, as ``note`` does; waits for nothing."""
        note = threading.Thread(target=self.note, args=(tuple(apps),), name="note", daemon=True)
        try:
            note.start()
        except RuntimeError as error:
            log.error("that an app answered twice can't be noted: %s", error)  # noqa: TRY400

    def note(self, apps: Iterable[str]) -> None:
        """Take note that these apps answered twice just now; may wait for the disk."""
        with self._writing:
            self._note(apps)

    def _note(self, apps: Iterable[str]) -> None:
        seen = {**self.load(), **dict.fromkeys(apps, int(time.time()))}
        latest = sorted(seen.items(), key=lambda each: each[1])[-_MOST:]
        try:
            write_atomically(self._path, json.dumps(dict(latest)).encode("ascii"))
        except OSError as error:
            log.error("that an app answered twice can't be noted: %s", error)  # noqa: TRY400
