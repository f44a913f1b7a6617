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

from proxy.core.errors import Invalid, LaterVersion, Problem
from proxy.core.text_files.strict_json import parse_json
from proxy.core.text_files.text import refuse_later_version
from proxy.state.files import read_file, write_atomically
from proxy.state.schema import check_version

KEPT = 30 * 86_400
"""Seconds for which a sighting is told."""
VERSION = 1
_MOST = 1000
_APP = re.compile(r"[a-z0-9-]{1,63}")

log = logging.getLogger("proxy.apps")


class SurplusResponses:
    """The file of sightings. Of two that are written at once one may be lost; it is seen again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()

    def load(self) -> Mapping[str, int]:
        """Return when each app was seen to, in Unix seconds; raises ``Invalid``."""
        data = read_file(self._path)
        found = {} if data is None else _sightings(str(self._path), data)
        return {app: seen for app, seen in found.items() if seen > time.time() - KEPT}

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
        try:
            check_version(self._path.parent)
        except Invalid as invalid:
            log.error("that an app answered twice can't be noted: %s", invalid)  # noqa: TRY400
            return
        try:
            before = self.load()
        except LaterVersion as later:
            log.error("that an app answered twice can't be noted: %s", later)  # noqa: TRY400
            return
        except Invalid as invalid:
            log.warning("what was noted of apps that answered twice is lost: %s", invalid)
            before = {}
        seen = {**before, **dict.fromkeys(apps, int(time.time()))}
        latest = sorted(seen.items(), key=lambda each: each[1])[-_MOST:]
        data = json.dumps({"v": VERSION, "seen": dict(latest)}).encode("ascii")
        try:
            write_atomically(self._path, data)
        except OSError as error:
            log.error("that an app answered twice can't be noted: %s", error)  # noqa: TRY400


def _sightings(file: str, data: bytes) -> Mapping[str, int]:
    """Read the file's bytes; before it had a version it was the sightings alone."""
    tree = parse_json(file, data)
    if isinstance(tree, dict):
        # When an app named "v" was seen has ten digits, and no version has.
        refuse_later_version(file, str(tree.get("v")), VERSION)
        if isinstance(tree.get("seen"), dict):
            tree = tree["seen"] if tree.get("v") == VERSION else None
    if not isinstance(tree, dict) or not all(map(_is_sighting, tree.items())):
        what = "isn't what the proxy writes, or is damaged: delete it"
        raise Invalid([Problem(file, "", what)])
    return tree


def _is_sighting(item: tuple[str, object]) -> bool:
    app, seen = item
    return type(seen) is int and _APP.fullmatch(app) is not None
