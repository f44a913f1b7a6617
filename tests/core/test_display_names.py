"""Names: strangers' are cleaned, owners' are checked, and both travel as field values."""

import re
import unicodedata
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.display_names import clean_name, encode_name, name_problem


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ada", "Ada"),
        ("Zoë 山田", "Zoë 山田"),
        ("  Ada\n", "Ada"),
        ("x\r\nX-Ptl-Client-Type: terminal", "xX-Ptl-Client-Type: terminal"),
        ("A\x00d\x1b[2Ja", "Ad[2Ja"),
        ("\u202eadA\u202c\u2066\u200f", "adA"),
        ("A\u200bd\u200da\ufeff", "Ada"),
        ("A\u2028d\u2029a", "Ada"),
        ("A\ud800da", "Ada"),
        ("\u3164\u2800\ufe0f", ""),
        ("", ""),
        ("a" * 10_000, "a" * 64),
        ("\u200b" * 10_000_000 + "Ada", ""),
        ("a" * 63 + " b", "a" * 63),
    ],
)
def test_a_strangers_text_becomes_a_name(text: str, name: str) -> None:
    assert clean_name(text) == name


@pytest.mark.parametrize("name", ["Ada", "Zoë", "Bob's Portal", "山田\u3000太郎", "a" * 64, "%"])
def test_ordinary_names_are_fine(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("", "at least one character"),
        (" \u00a0", "at least one character"),
        ("a" * 65, "at most 64 characters, not 65"),
        ("A\nb", r"U\+000A"),
        ("A\x1bb", r"U\+001B"),
        ("A\u202eb", r"U\+202E"),
        ("A\u200bb", r"U\+200B"),
        ("\u3164", r"U\+3164"),
        ("A\ud800", r"U\+D800"),
        (" Ada", "no space at its beginning or end"),
    ],
)
def test_an_owner_is_told_what_is_wrong_with_a_name(name: str, what: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert re.search(what, problem)
    assert problem.isprintable()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Ada Lovelace", b"Ada Lovelace"),
        ("100% é", b"100%25 %C3%A9"),
        ("\r\n\x00\x7f", b"%0D%0A%00%7F"),
        ("\ud800", b"?"),
        ("~!@#$^&*()[]{}\"'", b"~!@#$^&*()[]{}\"'"),
    ],
)
def test_a_name_as_a_field_value(name: str, value: bytes) -> None:
    assert encode_name(name) == value


@given(st.text(alphabet=st.characters()))
def test_a_cleaned_name_is_empty_or_fine_and_stays_as_it_is(text: str) -> None:
    name = clean_name(text)
    assert not name or name_problem(name) is None
    assert clean_name(name) == name
    assert not {unicodedata.category(char) for char in name} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.text())
def test_an_encoded_name_is_printable_ascii_and_comes_back(name: str) -> None:
    value = encode_name(name)
    assert re.fullmatch(rb"[ -~]*", value)
    assert urllib.parse.unquote(value.decode("ascii")) == name
