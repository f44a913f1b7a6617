"""A sealing key's file: one line of text, under a name that says which key it is.

The name is the key's ID, so that the file system itself keeps two keys from having one. What can't
be read is described without a byte of it: it may be most of a key.
"""

import base64
import re
from dataclasses import dataclass

from proxy.core.sealing.hpke import SealingKey

CACHE_TAG = "CACHEDIR.TAG"
CACHE_TAG_TEXT = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# A Portal's sealing keys. No backup may hold them: what is deleted here must be gone.\n"
    b"# Programs that know the line above (bford.info/cachedir) leave this folder out.\n"
)

_NAME = re.compile(r"(0|[1-9][0-9]{0,2})\.key")
_LINE = re.compile(
    rb"portal-sealing-key-1 (?P<key_id>[0-9]{1,3}) (?P<made>[0-9]{1,11}) "
    rb"(?P<private>[A-Za-z0-9+/]{43}=)\n"
)
_LAST_KEY_ID = 255


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
    return b"portal-sealing-key-1 %d %d %s\n" % (key_id, made, base64.b64encode(private))


def parse(key_id: int, data: bytes) -> StoredKey:
    """Read the file that is named after ``key_id``; raises ``ValueError``."""
    match = _LINE.fullmatch(data)
    if match is None:
        raise ValueError("isn't a sealing key")
    if int(match["key_id"]) != key_id:
        raise ValueError("is the file of another sealing key under this one's name")
    private = base64.b64decode(match["private"], validate=True)
    stored = StoredKey(key_id, int(match["made"]), SealingKey(private))
    if serialise(key_id, stored.made, private) != data:
        raise ValueError("isn't a sealing key")  # leading zeros, stray bits of base64
    return stored
