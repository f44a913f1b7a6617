"""Schemas: a model's errors in the words of whoever wrote the file."""

from typing import Annotated

import pytest
from pydantic import AfterValidator

from proxy.core.errors import Invalid
from proxy.core.text_files.schema import OpenSection, Section, validate


def _short(text: str) -> str:
    if len(text) > 3:
        raise ValueError("expected at most 3 characters")
    return text


class _Part(Section):
    name: Annotated[str, AfterValidator(_short)]
    size: int = 0


class _BytesBody(Section):
    parts: list[_Part] | None = None
    named: Annotated[dict[str, _Part], AfterValidator(dict)] | None = None
    ratio: float = 1.0
    numbers: list[int] | None = None


def _problems(value: object) -> list[str]:
    with pytest.raises(Invalid) as caught:
        validate("f", _BytesBody, value)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "f: expected keys with values, not a list"),
        ({"parts": [{}]}, "f: parts[0].name: is missing"),
        ({"parts": [{"name": "long"}]}, "f: parts[0].name: expected at most 3 characters"),
        ({"parts": [{"name": "a", "nam": 1}]}, "f: parts[0].nam: isn't known; did you mean name?"),
        (
            {"named": {"x": {"name": "a", "q": 1}}},
            "f: named.x.q: isn't known; expected name or size",
        ),
        ({"named": {"": {"name": None}}}, "f: named.''.name: expected text, not null"),
        ({"named": {"\x1b": 1}}, "f: named.'\\x1b': expected keys with values, not the number 1"),
        ({"numbers": {}}, "f: numbers: expected a list, not keys with values"),
        ({"numbers": [1.5]}, "f: numbers[0]: expected a whole number, not the number 1.5"),
        ({"numbers": [True]}, "f: numbers[0]: expected a whole number, not true"),
        ({"numbers": ["x" * 99]}, f"f: numbers[0]: expected a whole number, not '{'x' * 60}...'"),
        ({"ratio": "a"}, "f: ratio: Input should be a valid number"),
    ],
)
def test_a_problem_has_the_place_and_what_is_expected(value: object, problem: str) -> None:
    assert _problems(value) == [problem]


def test_every_problem_is_told() -> None:
    value = {"parts": [{"name": 1}, {"size": ""}], "number": [], "numbers": None}
    assert _problems(value) == [
        "f: parts[0].name: expected text, not the number 1",
        "f: parts[1].name: is missing",
        "f: parts[1].size: expected a whole number, not nothing",
        "f: number: isn't known; did you mean numbers?",
    ]


def test_an_open_section_takes_what_is_none_of_our_business() -> None:
    class Open(OpenSection):
        ours: str

    assert validate("f", Open, {"ours": "a", "theirs": [1, 2]}).ours == "a"
