"""What is said of each key, as the guides' tables have it: so editors show what the guides say.

A row of such a table begins with the key, or several, in backticks; a mapping's own keys stand as
``<name>`` in them, and the items of a list as ``[]``.
"""

import html
import re
from typing import NamedTuple

_ROW = re.compile(r"^\| (?P<keys>`[^|]+`) \|(?P<cells>.+)\|$", re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
_POINTER = re.compile(r" ?\(\[[^\]]+\]\([^)]+\)\)")
"""A link in brackets of its own: it leads on in the guide alone."""
_EMPHASIS = re.compile(r"(?<![\w`*.])\*{1,2}([^*`]+)\*{1,2}(?![\w`*])")
_ANY_NAME = re.compile(r"<[^>]+>")
_NOTHING = {"", "none", "(needed)"}


class Said(NamedTuple):
    """What a guide says of a key."""

    text: str
    default: str = ""
    """What holds without the key; "" where that is nothing, or nobody says."""


def read_descriptions(page: str, heading: str) -> dict[str, Said]:
    """Return what is said of each key in the first table below a heading of a Markdown page."""
    found: dict[str, Said] = {}
    for row in _ROW.finditer(_table(page, heading)):
        *before, text = (cell.strip() for cell in row["cells"].split(" | "))
        keys = _CODE.findall(row["keys"])
        defaults = _plain(before[0]) if before else ""
        # Several keys of one row have a default each.
        each = defaults.split(", ") if len(keys) > 1 else [defaults]
        for at, key in enumerate(keys):
            default = each[at] if len(each) == len(keys) else each[0]
            words = "" if default in _NOTHING else default
            found[_ANY_NAME.sub("<>", key)] = Said(_sentence(_plain(text)), words)
    return found


def _table(page: str, heading: str) -> str:
    _, at, below = page.partition(f"\n{heading}\n")
    if not at:
        raise ValueError(f"there is no heading {heading!r}")
    section = re.split(r"^#", below, maxsplit=1, flags=re.MULTILINE)[0]
    table = re.search(r"^\|.*?(?=^[^|]|\Z)", section, re.DOTALL | re.MULTILINE)
    if table is None:
        raise ValueError(f"there is no table below {heading!r}")
    return table[0]


def _plain(text: str) -> str:
    """Return a cell without Markdown: many editors show a description as it is."""
    said = _EMPHASIS.sub(r"\1", _LINK.sub(r"\1", _POINTER.sub("", text)))
    return html.unescape(said).replace("`", "").replace("\\|", "|").strip()


def _sentence(text: str) -> str:
    said = text[:1].upper() + text[1:]
    return said if not said or said.endswith((".", "?", "!")) else f"{said}."
