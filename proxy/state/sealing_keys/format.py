"""A sealing key's file: one line of text, under a name that says which key it is.

The name is the key's ID, so that the file system itself keeps two keys from having one. What can't
be read is described without a byte of it: it may be most of a key. The line ends with SHA-256 of
what stands before it, for a flipped bit would make another key of it, or one that lives longer.
Version 1 had none, and is read.
"""

import base64
import hashlib
import re
from dataclasses import dataclass

from proxy.core.sealing.hpke import SealingKey
from proxy.core.text_files.text import later_than

CACHE_TAG = "CACHEDIR.TAG"
CACHE_TAG_TEXT = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# A Portal's sealing keys. No backup may hold them: what is deleted here must be gone.\n"
    b"# Programs that know the line above (bford.info/cachedir) leave this folder out.\n"
)

_NAME = re.compile(r"(0|[1-9][0-9]{0,2})\.key")
_KEY = rb" (?P<key_id>[0-9]{1,3}) (?P<made>[0-9]{1,11}) (?P<private>[A-Za-z0-9+/]{43}=)"
_LINE = re.compile(rb"portal-sealing-key-2" + _KEY + rb" [0-9a-f]{64}\n")
_FIRST = re.compile(rb"portal-sealing-key-1" + _KEY + rb"\n")
_STATED = re.compile(rb"portal-sealing-key-([1-9][0-9]{0,8}) ")
_LAST_KEY_ID = 255

VERSION = 2


@dataclass(frozen=True)
class StoredKey:
    """What one file holds; ``made`` is Unix seconds."""

    key_id: int
    made: int
    key: SealingKey


def file_name(key_id: int) -> str:
    """Return the name of the key's file."""
    return f"{key_id}.key"


def key_id_of(name: str) -> int | None:
    """Return whose file this is by its name; None where it is no key's."""
    match = _NAME.fullmatch(name)
    if match is None or int(match[1]) > _LAST_KEY_ID:
        return None
    return int(match[1])


def serialise(key_id: int, made: int, private: bytes) -> bytes:
    """Return the file of a key; ``private`` is its 32 bytes (RFC 7748)."""
    line = b"portal-sealing-key-2" + _key(key_id, made, private)
    return b"%s %s\n" % (line, hashlib.sha256(line).hexdigest().encode("ascii"))


def _key(key_id: int, made: int, private: bytes) -> bytes:
    return b" %d %d %s" % (key_id, made, base64.b64encode(private))


def parse(key_id: int, data: bytes) -> StoredKey:
    """Read the file that is named after ``key_id``; raises ``ValueError``."""
    stated = _STATED.match(data)
    if stated is not None and int(stated[1]) > VERSION:
        raise ValueError(later_than(int(stated[1]), VERSION))
    is_first = data.startswith(b"portal-sealing-key-1")
    match = (_FIRST if is_first else _LINE).fullmatch(data)
    if match is None:
        raise ValueError("isn't a sealing key")
    if int(match["key_id"]) != key_id:
        raise ValueError("is the file of another sealing key under this one's name")
    private = base64.b64decode(match["private"], validate=True)
    stored = StoredKey(key_id, int(match["made"]), SealingKey(private))
    first = b"portal-sealing-key-1%s\n" % _key(key_id, stored.made, private)
    if data != (first if is_first else serialise(key_id, stored.made, private)):
        # a flipped bit, leading zeros, stray bits of base64
        raise ValueError("isn't a sealing key as it was written: delete the file")
    return stored
