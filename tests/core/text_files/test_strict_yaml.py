"""Strict YAML: lists, mappings and text; every surprise of the language is a problem."""

import contextlib
import time
from collections.abc import Callable

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.access.policy import Contact, ContactList
from proxy.core.errors import Invalid
from proxy.core.text_files.strict_yaml import parse_slowly, parse_yaml
from proxy.core.text_files.text import MAX_BYTES, MAX_DEPTH
from proxy.state.contacts import serialise_contacts


def _problems(data: bytes) -> list[str]:
    with pytest.raises(Invalid) as caught:
        parse_yaml("f", data)
    return [str(problem) for problem in caught.value.problems]


def test_every_scalar_is_the_text_that_stands_there() -> None:
    data = b"id: 123456\non: off\nn: ~\nx: 0x1F\nd: 2020-01-01\nf: .nan\ne:\nq: 'a b'\n=: <\n"
    assert parse_yaml("f", data) == {
        "id": "123456",
        "on": "off",
        "n": "~",
        "x": "0x1F",
        "d": "2020-01-01",
        "f": ".nan",
        "e": "",
        "q": "a b",
        "=": "<",
    }


def test_lists_and_mappings_in_either_style() -> None:
    data = b"a: [1, {b: c}]\nd:\n- e: f\n  g: []\n- |\n  two\n  lines\n"
    expected = {"a": ["1", {"b": "c"}], "d": [{"e": "f", "g": []}, "two\nlines\n"]}
    assert parse_yaml("f", data) == expected


@pytest.mark.parametrize("data", [b"", b"\n", b"# only a comment\n", b"---\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_empty_mapping(data: bytes) -> None:
    assert parse_yaml("f", data) == {}


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (b"a: 1\nb: 2\na: 3", ["f: line 3, column 1: 'a' stands here twice; expected once"]),
        (b"a: 1\n'a': 3", ["f: line 2, column 1: 'a' stands here twice; expected once"]),
        (
            b"a: &x [1]\nb: *x",
            [
                "f: line 1, column 4: an anchor (&); expected the value alone",
                "f: line 2, column 4: an alias; expected the value itself",
            ],
        ),
        (b"<<: {a: b}", ["f: line 1, column 1: a merge key (<<); expected the members themselves"]),
        (
            b"a: !!python/object/apply:os.system [ls]",
            ["f: line 1, column 4: a tag (!); expected the value alone"],
        ),
        (b"a: !!str 1", ["f: line 1, column 4: a tag (!); expected the value alone"]),
        (b"! a", ["f: line 1, column 1: a tag (!); expected the value alone"]),
        (b"a: 1\n---\nb: 2", ["f: line 2, column 1: a second document; expected one"]),
        (b"? [a]\n: b", ["f: line 1, column 3: a key that isn't text"]),
        (b"a: b: c", ["f: line 1, column 5: not YAML: mapping values are not allowed here"]),
        (
            b"a: [",
            ["f: line 1, column 5: not YAML: expected the node content, but found '<stream end>'"],
        ),
        (b"\n\xff", ["f: line 2: not UTF-8"]),
        (b"a: 1\nb: \x07", ["f: line 2: a control character"]),
        (b'a: "x\\r\\nb"', ["f: line 1, column 4: a control character"]),
        (b'a: "\\0"', ["f: line 1, column 4: a control character"]),
        (b'a: "\\ud800"', ["f: line 1, column 4: a control character"]),
        (b'a: "\\UFFFFFFFF"', ["f: not YAML: an escape or a directive that can't be read"]),
        (
            b"%YAML " + b"9" * 5000 + b".1\n--- a",
            ["f: not YAML: an escape or a directive that can't be read"],
        ),
    ],
)
def test_a_surprise_is_a_problem_with_its_line(data: bytes, problems: list[str]) -> None:
    assert _problems(data) == problems


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    problems = _problems("\n".join(lines).encode())
    assert len(problems) == 12 + 11 * 9


@pytest.mark.parametrize("data", [b"[" * 100_000, b"- " * 100_000, b"{a: " * 100_000])
def test_deep_nesting_is_refused_and_not_followed(data: bytes) -> None:
    start = time.perf_counter()
    (problem,) = _problems(data)
    assert "nested more than 32 deep" in problem
    assert time.perf_counter() - start < 30


def test_the_allowed_depth_is_allowed() -> None:
    assert parse_yaml("f", b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert len(_problems(b"[" * 33 + b"]" * 33)) == 1


def test_a_megabyte_is_the_most() -> None:
    assert parse_yaml("f", b"a" * MAX_BYTES) == "a" * MAX_BYTES
    assert _problems(b"a" * (MAX_BYTES + 1)) == ["f: larger than 1048576 bytes, which is the most"]


_TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]))
_KEYS = _TEXT.filter(lambda key: key != "<<")
_VALUES = st.recursive(
    _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_what_a_writer_wrote_comes_back(value: dict[str, object]) -> None:
    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return bool(data) or True

    assert parse_yaml("f", yaml.dump(value, Dumper=Plain, allow_unicode=True).encode()) == value


_SPICE = st.text(alphabet="ab01:-?[]{},&*!|>'\"%@`#~<\\Uu \n\t\x00\x85\ufeff")


@given(st.binary() | st.text().map(str.encode) | _SPICE.map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(Invalid):
        parse_yaml("f", data)


_BITS = st.sampled_from(
    [
        *(
            "peers",
            "apps",
            ":",
            ": ",
            "- ",
            "-",
            " ",
            "  ",
            "\n",
            "\n  ",
            "\n- ",
            "\n    ",
            "a",
            "b: c",
        ),
        *(
            "'",
            '"',
            "''",
            '"x"',
            "'x'",
            "#",
            " #",
            ",",
            "\\n",
            "é",
            "~",
            "<<",
            "<<: a",
            "1",
            "null",
        ),
        *(
            "key: ",
            "- id: x\n",
            "http://a:1",
            "y" * 1030,
            "---",
            "...",
            "\t",
            "|",
            ">",
            "{",
            "?",
            "&a ",
            "{}",
            "[]",
            "`",
        ),
    ]
)


@given(st.lists(_BITS, max_size=14).map("".join))
@example("a: b\nc: 'd\n  e'\n# f\n")
@example('- "a\n\n  b"\n-\n- c: d # e\n')
def test_both_parsers_read_alike(text: str) -> None:
    def outcome(read: Callable[[], object]) -> object:
        try:
            return read()
        except Invalid as invalid:
            return invalid.problems

    assert outcome(lambda: parse_yaml("f", text.encode())) == outcome(
        lambda: parse_slowly("f", text)
    )


def test_a_bound_of_its_own_can_be_given() -> None:
    assert parse_yaml("f", b"abc", 3) == "abc"
    with pytest.raises(Invalid, match="larger than 2 bytes"):
        parse_yaml("f", b"abc", 2)


def test_what_commands_write_is_read_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    if not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")
    written = serialise_contacts(ContactList((Contact("a" * 103, "Zoë", "https://a.example:1"),)))
    monkeypatch.setattr("proxy.core.text_files.strict_yaml.parse_slowly", None)
    assert isinstance(parse_yaml("f", written), dict)
