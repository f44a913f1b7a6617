"""Names of people: what a stranger may call itself, what an owner may type, and how it travels.

A name is at most 64 characters. None of them may be invisible or change how the others are
shown: with such characters one contact can be made to look like another, and a control character
can end a header field or a line of a log.
"""

import unicodedata

MAX_NAME_LENGTH = 64
_MOST_READ = 1024
"""Characters of a stranger's text that are looked at: 10 MB of them must cost nothing."""

_UNFIT_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control, format (bidi, zero-width, tags), surrogate, private, unassigned, line separators."""

_BLANK = frozenset(
    map(
        chr,
        [
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),  # joiner, fillers
            *range(0x180B, 0x1810),  # Mongolian variation selectors
            *range(0xFE00, 0xFE10),  # variation selectors
            *range(0xE0100, 0xE01F0),
        ],
    )
)
"""Letters and marks by category that nobody can see (Unicode's Default_Ignorable_Code_Point)."""

NAME_SHAPE = {
    "type": ["string", "number", "boolean"],
    "minLength": 1,
    "maxLength": MAX_NAME_LENGTH,
    "pattern": (
        r"^(?![\s\u1680\u3000])"
        r"[^\u0000-\u001f\u007f-\u009f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160"
        r"\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164"
        r"\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]*"
        r"[^\s\u0000-\u001f\u007f-\u009f\u1680\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3000]$"
    ),
    "patternErrorMessage": (
        "expected a name of visible characters, without a space at its beginning or end"
    ),
}
"""For JSON Schemas, as far as a pattern can tell what is visible."""

PRINTABLE = frozenset(range(0x20, 0x7F))
"""The bytes of printable ASCII."""
_PLAIN = PRINTABLE - {ord("%")}


def _is_unfit(char: str) -> bool:
    return unicodedata.category(char) in _UNFIT_CATEGORIES or char in _BLANK


def clean_name(text: str) -> str:
    """Return a stranger's text as a name: unfit characters removed, stripped, cut; may be ""."""
    visible = "".join(char for char in text[:_MOST_READ] if not _is_unfit(char))
    return visible.strip()[:MAX_NAME_LENGTH].strip()


def name_problem(text: str) -> str | None:
    """Say what is wrong with a name that an owner typed; None where nothing is."""
    if not text.strip():
        return "a name has at least one character that can be seen"
    if len(text) > MAX_NAME_LENGTH:
        return f"a name has at most {MAX_NAME_LENGTH} characters, not {len(text)}"
    unfit = next(filter(_is_unfit, text), None)
    if unfit is not None:
        return f"a name has no invisible or control characters, such as U+{ord(unfit):04X}"
    if text != text.strip():
        return "a name has no space at its beginning or end"
    return None


def encode_name(name: str) -> bytes:
    """Return ``name`` as a field value: printable ASCII but "%" as it is, the rest as %XX of UTF-8.

    Takes any text, so that nothing a name holds can end the field. Undone by percent-decoding.
    """
    return percent_encoded(name, _PLAIN)


def percent_encoded(text: str, plain: frozenset[int]) -> bytes:
    """Return the UTF-8 of ``text`` with every byte but the ``plain`` ones as %XX; never raises."""
    data = text.encode("utf-8", "replace")
    return b"".join(b"%c" % byte if byte in plain else b"%%%02X" % byte for byte in data)
