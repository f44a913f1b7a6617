"""Text files that people and strangers write: limits, decoding, and how a place in one is shown.

Rules kept here for JSON and YAML alike: a bound (1 MiB), UTF-8, nested at most 32 deep. What is
quoted from a file in a message is printable and short: a key in a stranger's app.json must not
reach the owner's terminal as an escape code.
"""

import re

from proxy.core.errors import Invalid, LaterVersion, Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
"""Objects and lists within each other; the deepest file that the proxy reads has 5."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_QUOTE = 60
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


def decode_text(file: str, data: bytes, limit: int = MAX_BYTES) -> str:
    """Return ``data`` as text, without a byte order mark; raises ``Invalid``."""
    if len(data) > limit:
        raise Invalid([Problem(file, "", f"larger than {limit} bytes, which is the most")])
    try:
        return data.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Invalid([Problem(file, f"line {line}", "not UTF-8")]) from None


def step(place: str, key: str | int) -> str:
    """Return the place one step further in: ``paths`` → ``paths./peer``, ``list`` → ``list[0]``."""
    if isinstance(key, int):
        return f"{place}[{key}]"
    plain = 0 < len(key) <= _LONGEST_QUOTE and key.isprintable()
    name = key if plain else shown(key)
    return f"{place}.{name}" if place else name


def refuse_later_version(file: str, stated: object, newest: int) -> None:
    """Raise ``LaterVersion`` for a file whose form (``v``) is one of a later version."""
    if isinstance(stated, str) and _VERSION.fullmatch(stated) and int(stated) > newest:
        raise LaterVersion([Problem(file, "", later_than(int(stated), newest))])


def later_than(stated: int, newest: int) -> str:
    """Return what is told of a file of a later version than the ``newest`` one that is known."""
    return (
        f"is of version {stated}, and this program knows {newest} at most: run the later program "
        "that wrote it; or move the state folder away and restore the backup of before"
    )


def shown(text: str) -> str:
    """Return ``text`` in quotes for a message: printable, and cut where it is long."""
    cut = text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "..."
    return repr(cut)


def listed(words: list[str], last: str = "or") -> str:
    """Return ``a, b or c``."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
