"""When this identity was last backed up, as far as the state folder knows; told by ``check``."""

import json
from pathlib import Path

from proxy.core.errors import Invalid
from proxy.core.text_files.strict_json import parse_json
from proxy.state.files import read_file, write_atomically

VERSION = "1"


def note_backup(path: Path, portal_id: str, now: int) -> None:
    """Note that a backup of this identity was made, or that it came from one; raises OSError."""
    note = {"v": VERSION, "id": portal_id, "made": now}
    write_atomically(path, json.dumps(note).encode("ascii"))


def last_backup(path: Path, portal_id: str) -> int | None:
    """Return when one was made of this identity, in Unix seconds; None where nobody knows.

    A note that can't be read is none: its owner makes another backup, and a note with it.
    """
    try:
        data = read_file(path)
        note = None if data is None else parse_json(str(path), data)
    except Invalid:
        return None
    if not isinstance(note, dict) or (note.get("v"), note.get("id")) != (VERSION, portal_id):
        return None
    made = note.get("made")
    return made if type(made) is int else None
