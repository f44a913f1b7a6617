"""Problems can be shown wherever their owner looks: in JSON, in the log, at a terminal."""

import json

import pytest

from proxy.core.errors import Invalid, Problem


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("state/contacts.yaml", "state/contacts.yaml"),
        ("Zoë's", "Zoë's"),
        ("caf\udce9.key", r"caf\xe9.key"),
        ("\udc80\udcff", r"\x80\xff"),
        ("red\x1b[31m", r"red\x1b[31m"),
        ("two\nlines\r", r"two\nlines\r"),
        ("nul\0", r"nul\x00"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\ud800", r"\ud800"),
        (r"a\b", r"a\b"),
    ],
)
def test_what_cant_be_shown_is_escaped(text: str, shown: str) -> None:
    problem = Problem(text, text, text)
    assert problem.members() == {"file": shown, "place": shown, "what": shown}
    assert problem.file == text
    assert str(Invalid([problem])) == str(problem) == f"{shown}: {shown}: {shown}"
    assert json.loads(json.dumps(str(problem), ensure_ascii=False).encode()) == str(problem)
