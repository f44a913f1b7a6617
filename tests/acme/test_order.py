"""What two processes say to each other about a certificate: one form, and nothing else passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.acme.order import (
    Failure,
    NoMessage,
    Order,
    Said,
    path_beside,
    read_order,
    read_said,
)

ORDER = Order("https://ca.example/directory", None, ("portal.ada.example",), "/a", "/c", "/ca")
SAID = [
    Said(),
    Said(terms="https://ca.example/terms"),
    Said(terms=""),
    Said(failure=Failure("connection", "no route", "portal.ada.example")),
    Said(expect={"token-1": "token-1.thumb_print", "token_2": "token_2.thumb_print"}),
]


def test_an_order_is_one_line_and_read_as_it_was_written() -> None:
    line = ORDER.line()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert read_order(line) == ORDER


@pytest.mark.parametrize("said", SAID)
def test_what_is_said_is_read_as_it_was_said(said: Said) -> None:
    assert said.line().count(b"\n") == 1
    assert read_said(said.line()) == said


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"{", b"[]", b"1", b"\xff", b'{"certificate": "x"}', b'{"terms": 1}',
        b'{"terms": "x", "expect": {}}', b'{"failure": {}}',
        b'{"failure": {"kind": "x", "detail": "y"}}', b'{"expect": []}',
        b'{"expect": {"token": 1}}', b'{"expect": {"token": "token"}}',
        b'{"expect": {"token": "other.thumb"}}', b'{"expect": {"../token": "../token.thumb"}}',
        b'{"expect": {"token": "token.thumb\\r\\nX: 1"}}', b'{"expect": {"": ".thumb"}}',
    ],
)  # fmt: skip
def test_nothing_else_is_taken_for_a_message(line: bytes) -> None:
    with pytest.raises(NoMessage):
        read_said(line)


def test_what_an_authority_says_is_cut() -> None:
    line = json.dumps({"failure": {"kind": "x", "detail": "y" * 10_000, "host": ""}}).encode()
    failure = read_said(line).failure
    assert failure is not None
    assert len(failure.detail) < 1000


def test_a_path_is_whole_for_a_process_with_another_current_folder() -> None:
    assert Path(path_beside(Path("state/acme"), "account.json")).is_absolute()
