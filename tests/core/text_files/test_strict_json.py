"""Strict JSON: what two readers could read in two ways is refused, all of it at once."""

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Invalid
from proxy.core.text_files.strict_json import parse_json
from proxy.core.text_files.text import MAX_BYTES, MAX_DEPTH


def _problems(data: bytes) -> list[str]:
    with pytest.raises(Invalid) as caught:
        parse_json("f", data)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (b"", ["f: line 1, column 1: not JSON: Expecting value"]),
        (b'{\n"a": }', ["f: line 2, column 6: not JSON: Expecting value"]),
        (b"{} {}", ["f: line 1, column 4: not JSON: Extra data"]),
        (b"\n\xff", ["f: line 2: not UTF-8"]),
        (b'{"a":1,"\\u0061":2}', ["f: a: stands here twice; expected once"]),
        (
            b'{"a":{"b":NaN,"b":[1,-Infinity]},"c":1e999}',
            [
                "f: a.b: 'NaN' isn't a number that fits",
                "f: a.b: stands here twice; expected once",
                "f: a.b[1]: '-Infinity' isn't a number that fits",
                "f: c: '1e999' isn't a number that fits",
            ],
        ),
        (b'["\\ud83d"]', ["f: [0]: half a surrogate pair, which is no text"]),
        (b'{"\\ud83d":1}', ["f: '\\ud83d': half a surrogate pair, which is no text"]),
        (b'{"\\u001b":NaN}', ["f: '\\x1b': 'NaN' isn't a number that fits"]),
    ],
)
def test_a_bad_file_is_told_every_place(data: bytes, problems: list[str]) -> None:
    assert _problems(data) == problems


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"[{}," * 50_000 + b"[" * 40])
def test_deep_nesting_is_refused_and_not_followed(data: bytes) -> None:
    (problem,) = _problems(data)
    assert "nested more than 32 deep" in problem or "not JSON" in problem


def test_the_allowed_depth_is_allowed_and_brackets_in_strings_do_not_count() -> None:
    assert parse_json("f", b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert _problems(b"[" * 33 + b"]" * 33) == ["f: line 1, column 33: nested more than 32 deep"]
    text = '["' + "[" * 100 + '\\"' + "[" * 100 + '"]'
    assert parse_json("f", text.encode()) == json.loads(text)


def test_a_megabyte_is_read_and_a_byte_more_is_not() -> None:
    full = b'"' + b"a" * (MAX_BYTES - 2) + b'"'
    assert parse_json("f", full) == "a" * (MAX_BYTES - 2)
    assert _problems(full + b" ") == ["f: larger than 1048576 bytes, which is the most"]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse_json("f", b"\xef\xbb\xbf{}") == {}


def test_a_string_that_never_ends_is_scanned_once() -> None:
    start = time.perf_counter()
    _problems(b'"' + b'\\"' * 500_000)
    assert time.perf_counter() - start < 30


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_VALUES)
def test_good_json_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    assert parse_json("f", json.dumps(value).encode()) == value
    assert parse_json("f", json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary() | st.text(alphabet='{}[]",:\\0123456789eE+-.NaInfity \ntrulsu').map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(Invalid):
        parse_json("f", data)
