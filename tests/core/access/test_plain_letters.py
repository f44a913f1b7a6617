"""What characters outside ASCII stand for, to readers who don't take them as they are."""

import sys
import unicodedata

import pytest

from proxy.core.access.plain_letters import in_plain_letters


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("/\uff50\uff52ivate\uff0f\uff0e\uff0e", "/private/.."),
        ("/\U0001d429\u24e5\u2090\u217f", "/pvam"),
        ("/pri\u200bv\u00adate\ufe0f", "/private"),
        ("/e\u0301\u00e9\u0130", "/eeI"),
        ("/\ufb01\u2026\u2025", "/fi....."),
        ("/\u00a0\u3000", "/  "),
        ("/\U000e0070x\U000e01ef", "/x"),
        ("/\u017f\u212a", "/sK"),
    ],
)
def test_they_stand_for_these(text: str, plain: str) -> None:
    assert in_plain_letters(text.encode()) == plain.encode()


@pytest.mark.parametrize(
    "text", ["/", "/private", "/あ", "/日本語", "/\u041f\u0440\u0438", "/😀", "/ß", "/한글"]
)
def test_others_stand_for_themselves(text: str) -> None:
    assert in_plain_letters(text.encode()) == text.encode()


def test_what_isnt_utf8_stays() -> None:
    assert in_plain_letters(b"/\x80\xef\xbc\x8e\xff") == b"/\x80.\xff"


def test_no_character_is_forgotten() -> None:
    """Whatever this Python knows that normalises to ASCII, or isn't seen, is known here."""
    for code in range(0x80, sys.maxunicode + 1):
        character = chr(code)
        normal = unicodedata.normalize("NFKC", character)
        is_unseen = unicodedata.category(character) == "Cf"
        is_odd = any(map(str.isascii, normal)) and len(normal) < 8
        if is_unseen or is_odd:
            raw = character.encode("utf-8", "surrogateescape")
            assert in_plain_letters(raw) != raw, hex(code)


@pytest.mark.parametrize(
    ("later", "plain"),
    [
        ("\ua7f1", "S"),
        ("\U0001ccd6", "A"),
        ("\U0001ccef", "Z"),
        ("\U0001ccf0", "0"),
        ("\U0001ccf9", "9"),
    ],
)
def test_what_only_a_later_unicode_has_is_known_to_every_python(later: str, plain: str) -> None:
    """An app behind may know it: one in another language, or with a newer Python."""
    assert in_plain_letters(f"/{later}dmin".encode()) == f"/{plain}dmin".encode()
