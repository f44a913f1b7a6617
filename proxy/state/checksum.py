"""The checksum that a text file of ours begins with, in a comment: a damaged file is no other list.

A flipped bit in a contact's ID, or a part of the file for the whole, can be a list all the same,
and one that nobody wrote. So what the program writes says so in its first line, with SHA-256 of
the rest. Whoever changes the file by hand deletes that line: it is the owner's own then, and is
read as it stands. With the line a change by hand and damage look alike, and both are refused.
"""

import hashlib
import re

from proxy.core.errors import Invalid, Problem

_BEGINNING = b"# Written by portal-proxy. To change the file by hand, delete this line; checksum: "
_LIKE_OURS = re.compile(rb"# Written by portal-proxy|#[^\n]*hand, delete this line")
"""A damaged one is no comment of the owner's."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def with_checksum(rest: bytes) -> bytes:
    """Return ``rest``, text in which ``#`` begins a comment, behind its checksum."""
    return _line(rest) + rest


def without_checksum(data: bytes) -> bytes:
    """Return what stands behind the checksum, right or wrong; all of ``data`` where it has none."""
    _, rest = _split(data)
    return rest


def is_intact(data: bytes) -> bool:
    """Tell whether ``data`` is as it was written; what has no checksum, nobody can tell of."""
    line, rest = _split(data)
    return not line or line == _line(rest)


def check_intact(file: str, data: bytes, otherwise: str) -> None:
    """Raise ``Invalid`` for a file that isn't as it was written.

    ``otherwise`` says what to do where it was damaged.
    """
    if not is_intact(data):
        what = (
            "was changed by hand, or is damaged: its checksum is another one's. If it was you, "
            f"delete its first line; otherwise {otherwise}"
        )
        raise Invalid([Problem(file, "line 1", what)])


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Return the line with the checksum, b"" where there is none, and the rest."""
    text = data.removeprefix(_BYTE_ORDER_MARK)  # an editor's doing
    if _LIKE_OURS.match(text) is None:
        return b"", data
    line, newline, rest = text.partition(b"\n")
    return line + newline, rest


def _line(rest: bytes) -> bytes:
    return b"%s%s\n" % (_BEGINNING, hashlib.sha256(rest).hexdigest().encode("ascii"))
