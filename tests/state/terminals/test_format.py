"""terminals.yaml and pairing.yaml as text: what is written is read, and all else is told."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.display_names import name_problem
from proxy.core.errors import Invalid
from proxy.core.terminals.pairing_code import OpenCode, Pairing, WrongTry
from proxy.core.terminals.terminals import Terminal, TerminalList, token_digest
from proxy.state.terminals.format import (
    parse_pairing,
    parse_terminals,
    serialise_pairing,
    serialise_terminals,
)
from tests.terminal_lists import BOTH, CALENDAR, NOW, PHONE, WITH_TOKEN

ENTRY = f"- id: abc123\n  name: Phone\n  token_sha256: {PHONE.token_sha256.hex()}\n"
TIMES = "  paired: 1699999000\n  seen: 1699999900\n"
WHOLE = f"v: 1\nterminals:\n{ENTRY}{TIMES}"
LATER = (
    "is of version 3, and this program knows 2 at most: run the later program that wrote it; or "
    "move the state folder away and restore the backup of before"
)
NAMES = st.text(min_size=1, max_size=64).filter(lambda text: name_problem(text) is None)


def problems(text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        parse_terminals("terminals.yaml", text.encode("utf-8", "surrogatepass"))
    return [f"{problem.place}: {problem.what}" for problem in caught.value.problems]


def test_what_is_written_is_read() -> None:
    for terminals in (TerminalList(), BOTH, WITH_TOKEN):
        assert parse_terminals("t", serialise_terminals(terminals)) == terminals


@given(NAMES, st.integers(0, 10**11 - 1))
def test_every_name_and_time_comes_back(name: str, time: int) -> None:
    terminals = TerminalList((Terminal("000000", name, token_digest(b""), time, time),))
    assert parse_terminals("t", serialise_terminals(terminals)) == terminals


def test_a_list_is_of_the_second_version_where_a_device_has_a_token_for_an_app() -> None:
    """Else it is of the first, which earlier programs read."""
    assert b"\nv: 1\n" in serialise_terminals(TerminalList())
    assert b"\nv: 1\n" in serialise_terminals(BOTH)
    written = serialise_terminals(WITH_TOKEN)
    assert b"\nv: 2\n" in written
    assert written.count(b"app: calendar\n") == 1
    assert parse_terminals("t", WHOLE.replace("v: 1", "v: 2").encode()) == TerminalList((PHONE,))


def test_a_file_as_a_person_would_write_it_is_read() -> None:
    assert parse_terminals("t", WHOLE.encode()) == TerminalList((PHONE,))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["v: is missing", "terminals: is missing"]),
        ("v: 1\n", ["terminals: is missing"]),
        ("terminals: []\n", ["v: is missing"]),
        ("v: 3\nterminals: []\n", [f": {LATER}"]),
        ("v: 1\nterminals:\n", ["terminals: expected a list, not nothing"]),
        ("- 1\n", [": expected keys with values, not a list"]),
        (WHOLE + "owner: me\n", ["owner: isn't known; expected terminals or v"]),
        (
            WHOLE + "  colour: x\n",
            ["terminals[0].colour: isn't known; expected id, name, paired, seen or token_sha256"],
        ),
        (
            WHOLE + "  app: files\n",
            ["terminals[0].app: isn't known; expected id, name, paired, seen or token_sha256"],
        ),
        (
            WHOLE.replace("v: 1", "v: 2") + "  app: a/b\n",
            ["terminals[0].app: 'a/b' isn't the name of an app"],
        ),
        (
            WHOLE.replace("v: 1", "v: 2") + "  app: ''\n",
            ["terminals[0].app: '' isn't the name of an app"],
        ),
        (
            WHOLE + ENTRY + TIMES,
            [
                "terminals[1].id: is that of terminals[0] too",
                "terminals[1].token_sha256: is that of terminals[0] too",
            ],
        ),
        (
            WHOLE.replace("abc123", "abc12"),
            ["terminals[0].id: 'abc12' isn't the ID of a terminal (6 characters)"],
        ),
        (
            WHOLE.replace("1699999900", "1_699_999"),
            ["terminals[0].seen: expected Unix seconds, not '1_699_999'"],
        ),
        (
            WHOLE.replace("1699999000", "-5"),
            ["terminals[0].paired: expected Unix seconds, not '-5'"],
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, expected: list[str]) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ('"a\\u202eb"', "U+202E"),
        ('"a\\tb"', "U+0009"),
        ('"\\u200b"', "U+200B"),
        ("x" * 65, "at most 64"),
        ('""', "at least one"),
        ('" a"', "no space"),
    ],
)
def test_a_name_that_could_deceive_is_refused(name: str, what: str) -> None:
    [problem] = problems(WHOLE.replace("name: Phone", f"name: {name}"))
    assert problem.startswith("terminals[0].name: ")
    assert what in problem


@pytest.mark.parametrize(
    "digest", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "\N{FULLWIDTH DIGIT ONE}" * 64, "[1]"]
)
def test_what_is_no_digest_is_refused(digest: str) -> None:
    [problem] = problems(WHOLE.replace(PHONE.token_sha256.hex(), digest))
    assert problem.startswith("terminals[0].token_sha256: expected 64 hexadecimal digits")


@pytest.mark.parametrize("data", [b"\xff", b"v: 1\nterminals: [", b"a: &a [*a]", b"!!python/x {}"])
def test_what_is_no_plain_yaml_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        parse_terminals("t", data)
    with pytest.raises(Invalid):
        parse_pairing("p", data)


def test_neither_file_holds_a_token_or_a_code() -> None:
    assert b"laptop" not in serialise_terminals(BOTH)
    assert CALENDAR.token_sha256.hex().encode() in serialise_terminals(WITH_TOKEN)
    assert b"ABCD" not in serialise_pairing(Pairing().with_code("ABCD2345", NOW, "0" * 26)).upper()


def test_codes_and_tries_come_back() -> None:
    pairing = Pairing().with_code("ABCD2345", NOW, "0" * 26)
    for address in ("203.0.113.7", "2001:db8::1", "unknown"):
        pairing = pairing.with_wrong_try(address, NOW)
    assert parse_pairing("p", serialise_pairing(pairing)) == pairing
    assert parse_pairing("p", serialise_pairing(Pairing())) == Pairing()


def test_a_pairing_file_of_the_first_version_is_read_and_written_as_the_second() -> None:
    old = f"v: 1\ncodes:\n- sha256: {'0a' * 32}\n  made: 7\ntries:\n- address: a\n  at: 8\n"
    pairing = parse_pairing("p", old.encode())
    assert pairing == Pairing((OpenCode(b"\n" * 32, 7),), (WrongTry("a", 8),))
    written = serialise_pairing(pairing)
    assert b"v: 2\n" in written
    assert b"link_sha256" not in written
    assert parse_pairing("p", written) == pairing


@pytest.mark.parametrize(
    "text",
    [
        "", "v: 1\n", "v: 3\ncodes: []\ntries: []\n", "v: 1\ncodes: []\ntries: []\nx: 1\n",
        "v: 2\ncodes: []\ntries: []\nx: 1\n", "codes: []\ntries: []\n",
        "v: [1]\ncodes: []\ntries: []\n",
        f"v: 1\ncodes:\n- sha256: {'0' * 64}\n  made: 1\n  link_sha256: {'0' * 64}\ntries: []\n",
        f"v: 2\ncodes:\n- sha256: {'0' * 64}\n  made: 1\n  link_sha256: ''\ntries: []\n",
        "v: 1\ncodes:\n- sha256: 00\n  made: 1\ntries: []\n", "v: 1\ncodes: x\ntries: []\n",
        "v: 1\ncodes: []\ntries:\n- address: ''\n  at: 1\n",
        "v: 1\ncodes: []\ntries:\n- address: a\n  at: never\n",
    ],
)  # fmt: skip
def test_a_broken_pairing_file_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_pairing("p", text.encode())


# Damage, and other versions


def test_no_flipped_bit_makes_another_list_of_what_was_written() -> None:
    pairing = Pairing((OpenCode(b"\1" * 32, NOW, b"\2" * 32),), (WrongTry("192.0.2.1", NOW),))
    rows: list[tuple[Callable[[bytes], object], bytes]] = [
        (lambda data: parse_terminals("t", data), serialise_terminals(BOTH)),
        (lambda data: parse_pairing("p", data), serialise_pairing(pairing)),
    ]
    for parse, written in rows:
        whole = parse(written)
        for at in range(len(written) * 8):
            damaged = bytearray(written)
            damaged[at // 8] ^= 1 << at % 8
            with suppress(Invalid):
                assert parse(bytes(damaged)) == whole, at


def test_what_is_changed_by_hand_is_refused_until_its_first_line_is_gone() -> None:
    changed = serialise_terminals(BOTH).replace(b"name: Phone", b"name: Fon")
    with pytest.raises(Invalid, match="delete its first line; otherwise put a backup"):
        parse_terminals("t", changed)
    assert parse_terminals("t", changed.partition(b"\n")[2]).terminals[0].name == "Fon"


def test_a_later_version_of_pairing_is_told_alone() -> None:
    with pytest.raises(Invalid, match="is of version 3, and this program knows 2") as caught:
        parse_pairing("p", b"v: 3\ncodes: 1\nmore: 1\n")
    assert len(caught.value.problems) == 1
