"""The schema version of the state folder, and of each file in it: a later one is left alone.

``schema.json`` has the folder's: which files there are, and the form of those that can't tell one,
such as a token. A folder without it is of version 1. Where a file has room it tells its own as
well, for files get copied one by one. Whoever writes any file in a later form raises the folder's
version first, and by at least one: so an earlier program refuses all of it, before it has read or
written anything (docs/decisions/0036-schema-versions.md).

What is looked for here is the beginning of a file, in a form that stays: ``v`` is the first key of
YAML, behind comments, and of JSON; a key's file says it in its first line. What says nothing that
can be read is told of by those who read the rest.
"""

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from proxy.core.errors import Invalid, LaterVersion, Problem
from proxy.core.text_files.strict_json import parse_json
from proxy.core.text_files.text import later_than
from proxy.state.files import (
    Unreadable,
    create_atomically,
    locked,
    read_file,
    write_atomically,
)
from proxy.state.layout import State

VERSION = 3
"""The folder's: 1 is that of all programs that wrote no ``schema.json``."""

_FIRST = 1
_LARGEST = 999_999_999
_WRITABLE_BY_OTHERS = 0o022
_BEGINNING = 16_384
"""Bytes in which a file says its version: an owner's comments may stand before it."""
_NOT_OURS = (
    "isn't what the proxy writes, or is damaged. If no later program than this one ever ran here, "
    "delete it; otherwise run that one"
)
_NUMBER = rb"([1-9][0-9]{0,8})"
_DATABASE = b"SQLite format 3\0"
_APPLICATION_ID = 0x50724C79
_LAST_OF_DATABASE = 255

_Look = Callable[[bytes], int | None]
"""Returns the version that a file's beginning tells; None where it tells none."""


def _by(pattern: bytes) -> _Look:
    return partial(_found, re.compile(pattern, re.MULTILINE))


def _found(pattern: re.Pattern[bytes], beginning: bytes) -> int | None:
    match = pattern.search(beginning)
    return int(match[1]) if match is not None else None


def _in_database(beginning: bytes) -> int | None:
    """Return SQLite's ``user_version``, which its file format has at a fixed place."""
    head = beginning[:100]
    if not head.startswith(_DATABASE) or int.from_bytes(head[68:72]) != _APPLICATION_ID:
        return None
    stated = int.from_bytes(head[60:64])
    return stated if stated <= _LAST_OF_DATABASE else None


_YAML = _by(
    rb"\A(?:\xef\xbb\xbf)?(?:[ \t]*(?:#[^\n]*)?\n)*+v:[ \t]*['\"]?" + _NUMBER + rb"['\"]?\s*$"
)
_JSON = _by(rb"\A\s*\{\s*\"v\"\s*:\s*\"?" + _NUMBER + rb"\"?\s*[,}]")
_KEY = _by(rb"\APortal key version: " + _NUMBER + rb"\r?$")
_SEALING_KEY = _by(rb"\Aportal-sealing-key-" + _NUMBER + rb" ")


@dataclass(frozen=True)
class Schema:
    """Files of one kind, and the newest version of them that this program knows."""

    names: str
    """A pattern of their paths in the state folder."""
    version: int | None = None
    """None where the folder's version counts, for they have no room for one."""
    look: _Look | None = None
    """Finds a file's own version."""


SCHEMAS = (
    Schema("schema.json", VERSION),
    Schema("identity.key", 1, _KEY),
    Schema("contacts.yaml", 1, _YAML),
    Schema("contacts.yaml.before", 1, _YAML),
    Schema("terminals.yaml", 2, _YAML),
    Schema("terminals.yaml.before", 2, _YAML),
    Schema("pairing.yaml", 2, _YAML),
    Schema("sealing/*.key", 2, _SEALING_KEY),
    Schema("replay.sqlite3", 3, _in_database),
    Schema("backup.json", 1, _JSON),
    Schema("running.json", 1, _JSON),
    Schema("surplus-responses.json", 1, _JSON),
    Schema("acme/account.json", 1, _JSON),
    Schema("acme/failure.json", 1, _JSON),
    Schema("acme/certificate.pem"),
    Schema("tokens/*"),
    Schema("owner.token"),
    # Copies that nobody reads: a key that was given up, a list that its owner couldn't finish.
    Schema("identity.key.*"),
    Schema("contacts.yaml.rejected"),
    # What is no file of ours alone, and what is empty.
    Schema("sealing/CACHEDIR.TAG"),
    Schema("replay.sqlite3-*"),
    Schema("*.lock"),
)
"""Every file that the proxy and its commands leave in the state folder."""


def schema_of(name: str) -> Schema | None:
    """Return what kind of file this is, by its path in the state folder; None: not one of ours."""
    depth = name.count("/")  # a star would stand for a slash, too
    alike = (each for each in SCHEMAS if each.names.count("/") == depth)
    return next((each for each in alike if fnmatchcase(name, each.names)), None)


def check_version(folder: Path) -> int:
    """Return the version of the state folder; raises ``LaterVersion``.

    And ``Invalid`` for a file that isn't ours or can't be read: who writes must know.
    """
    path = State(folder).schema
    data = read_file(path, forbidden=_WRITABLE_BY_OTHERS)
    if data is None:
        return _FIRST
    try:
        tree = parse_json(str(path), data)
    except Invalid:
        tree = None
    stated = tree.get("v") if isinstance(tree, dict) else None
    if type(stated) is not int or not _FIRST <= stated <= _LARGEST:
        raise LaterVersion([Problem(str(path), "", _NOT_OURS)])
    if stated > VERSION:
        raise LaterVersion([Problem(str(path), "", later_than(stated, VERSION))])
    return stated


def mark_version(folder: Path) -> None:
    """Have the folder say that it is of this version; raises as ``check_version``, and OSError.

    One that a later program has marked meanwhile stays as it is.
    """
    if check_version(folder) == VERSION:
        return
    path = State(folder).schema
    data = json.dumps({"v": VERSION}).encode("ascii")
    with suppress(FileExistsError):
        create_atomically(path, data)
        return
    with locked(path):
        if check_version(folder) < VERSION:
            write_atomically(path, data)


def refuse_later(state: State, *, replays: bool = True) -> None:
    """Raise ``LaterVersion`` where the folder or a file in it is of a later version.

    Reads alone, and little. One problem is told: what to do is the same for each. A folder or file
    that can't be read says nothing here. Without ``replays`` its database isn't opened: to close
    any descriptor of it ends this process's locks on it (POSIX), so not where it may be in use.
    """
    with suppress(Unreadable):
        check_version(state.folder)
    for schema in SCHEMAS:
        if schema.look is None or (schema.look is _in_database and not replays):
            continue
        for path in sorted(state.folder.glob(schema.names)):
            refuse_later_file(str(path), schema, _beginning(path))


def refuse_later_file(file: str, schema: Schema, data: bytes) -> None:
    """Raise ``LaterVersion`` for the file of this kind that holds ``data``, or begins with it."""
    stated = schema.look(data[:_BEGINNING]) if schema.look is not None else None
    if stated is not None and schema.version is not None and stated > schema.version:
        raise LaterVersion([Problem(file, "", later_than(stated, schema.version))])


def version_problems(folder: Path) -> Iterator[Problem]:
    """Tell why a running proxy must write nothing more into the folder; raises nothing."""
    try:
        check_version(folder)
    except Unreadable:
        return  # of a folder or a disk that can't be used others tell
    except Invalid as invalid:
        yield from invalid.problems


def _beginning(path: Path) -> bytes:
    """Return how a file begins; nothing where it is none, or can't be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, _BEGINNING) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(fd)
