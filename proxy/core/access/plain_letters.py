"""What is left of a path for readers to whom characters outside ASCII stand for plain ones.

Whoever normalises to NFKC or NFKD reads a letter, a dot or a slash in its full-width form. File
systems that don't tell case skip characters that aren't seen (ext4, HFS+); tables of databases
don't tell marks above letters either (MySQL's collations). All of these at once are one reading: a
prefix is of ASCII alone, so whatever becomes a prefix of it for one of them does so here.
Source: Unicode Standard Annex 15; Unicode's Default_Ignorable_Code_Point.
"""

import re
import unicodedata
from string import ascii_uppercase, digits

_UNSEEN = (
    *(range(0x300, 0x370), range(0x1AB0, 0x1B00), range(0x1DC0, 0x1E00), range(0x20D0, 0x2100)),
    *(range(0xFE00, 0xFE10), range(0xFE20, 0xFE30), range(0xFFF0, 0xFFFC), range(0x600, 0x606)),
    *(range(0x115F, 0x1161), range(0x17B4, 0x17B6), range(0x180B, 0x1810), range(0x200B, 0x2010)),
    *(range(0x202A, 0x202F), range(0x2060, 0x2070), range(0x1BCA0, 0x1BCA4), range(0x890, 0x892)),
    *(range(0x13430, 0x13440), range(0x1D173, 0x1D17B), range(0x110BD, 0x110BE)),
    *(range(0x110CD, 0x110CE), range(0xE0000, 0xE1000)),
    (0xAD, 0x61C, 0x6DD, 0x70F, 0x8E2, 0x3164, 0xFEFF, 0xFFA0),
)
"""Marks on other characters, and what shows nothing."""
_ODD = (
    *(range(0xA0, 0x250), range(0x2B0, 0x300), range(0x37A, 0x388), range(0x1D2C, 0x1DC0)),
    *(range(0x1E00, 0x1F00), range(0x1FBD, 0x200B), range(0x2010, 0x202A), range(0x202F, 0x2060)),
    *(range(0x2070, 0x20D0), range(0x2100, 0x2270), range(0x2460, 0x24EB), range(0x2A74, 0x2A77)),
    *(range(0x2C7C, 0x2C7E), range(0x3000, 0x3001), range(0x309B, 0x309D), range(0x3200, 0x3400)),
    *(range(0xA7F2, 0xA7F5), range(0xFB00, 0xFB2A), range(0xFC5E, 0xFC64)),
    *(range(0xFE10, 0xFE20), range(0xFE30, 0xFE80), range(0xFF01, 0xFF60), range(0xFFE0, 0xFFE7)),
    *(range(0x107A5, 0x107A6), range(0x1D400, 0x1D800), range(0x1F100, 0x1F200)),
    range(0x1FBF0, 0x1FBFA),
)
"""Where those are of which something in ASCII is left. Of two words in Arabic those are blanks;
such a word is long, and costs more than it hides."""
_OUTLINED = range(0x1CCD6, 0x1CCFA)
_LATER = {0xA7F1: "S", **dict(zip(_OUTLINED, ascii_uppercase + digits, strict=True))}
"""Those of Unicode 16 and 17. An app may know them, whatever this Python knows."""


def _plain(code: int) -> str | None:
    """Return what the character with this number stands for; None where that isn't in ASCII."""
    decomposed = unicodedata.normalize("NFKD", chr(code))
    text = "".join(each for each in decomposed if not unicodedata.combining(each))
    return text if any(map(str.isascii, text)) else None


_STANDS_FOR = {
    **{code: text for codes in _ODD for code in codes if (text := _plain(code)) is not None},
    **{code: "" for codes in _UNSEEN for code in codes},
    **_LATER,
}
_BEYOND = 0x10000
_LOW = re.compile("[" + "".join(chr(code) for code in _STANDS_FOR if code < _BEYOND) + "]")
_HIGH = re.compile(
    "["
    + "".join(
        f"{chr(codes[0])}-{chr(codes[-1])}"
        for codes in (*_ODD, _OUTLINED, *_UNSEEN[:-1])
        if codes[0] >= _BEYOND
    )
    + "]"
)
"""The characters in question; the high ones by their ranges, each of which takes time."""
_ANY_HIGH = re.compile(f"[{chr(_BEYOND)}-\U0010ffff]")


def in_plain_letters(path: bytes) -> bytes:
    """Return ``path`` with what its characters outside ASCII stand for, itself where they don't."""
    if path.isascii():
        return path
    text = path.decode("utf-8", "surrogateescape")
    has_some = _LOW.search(text) or (_ANY_HIGH.search(text) and _HIGH.search(text))
    if not has_some:
        return path
    return text.translate(_STANDS_FOR).encode("utf-8", "surrogateescape")
