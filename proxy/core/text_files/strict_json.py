"""JSON that two readers can't read in two ways (RFC 8259, with the choices of RFC 7493, I-JSON).

Python's own reader keeps the last of two equal keys, takes NaN and Infinity, and gives up with a
RecursionError on deep nesting. Here each is a problem with its place, and all are reported at once.
"""

import json
import math
import re
from dataclasses import dataclass

from proxy.core.errors import Invalid, Problem
from proxy.core.text_files.text import MAX_DEPTH, decode_text, shown, step

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Possessive, and the closing quote optional: an unfinished string must not be scanned again."""

_MOST_DIGITS = 20
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Pairs(list[tuple[str, object]]):
    """An object's members as they stand in the file, equal keys included."""


@dataclass(frozen=True)
class _BadNumber:
    text: str


def parse_json(file: str, data: bytes) -> object:
    """Return the value in ``data`` as dict, list, str, int, float, bool or None.

    Raises ``Invalid`` with every equal key, NaN, Infinity, number too large and lone surrogate; or
    with the one problem that keeps the rest from being read.
    """
    text = decode_text(file, data)
    _refuse_deep(file, text)
    try:
        raw: object = json.loads(
            text,
            object_pairs_hook=_Pairs,
            parse_constant=_BadNumber,
            parse_int=_read_int,
            parse_float=_read_float,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Invalid([Problem(file, place, f"not JSON: {error.msg}")]) from None
    problems: list[Problem] = []
    value = _settle(file, "", raw, problems)
    if problems:
        raise Invalid(problems)
    return value


def _refuse_deep(file: str, text: str) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        char = text[match.start()]
        depth += (char in "[{") - (char in "]}")
        if depth > MAX_DEPTH:
            line = text.count("\n", 0, match.start()) + 1
            column = match.start() - text.rfind("\n", 0, match.start())
            what = f"nested more than {MAX_DEPTH} deep"
            raise Invalid([Problem(file, f"line {line}, column {column}", what)])


def _read_int(text: str) -> int | _BadNumber:
    return int(text) if len(text) <= _MOST_DIGITS else _BadNumber(text)


def _read_float(text: str) -> float | _BadNumber:
    number = float(text)
    return number if math.isfinite(number) else _BadNumber(text)


def _settle(file: str, place: str, value: object, problems: list[Problem]) -> object:
    """Return ``value`` as plain dicts and lists; adds a problem for whatever is ambiguous."""
    if isinstance(value, _Pairs):
        members: dict[str, object] = {}
        for key, member in value:
            inner = step(place, key)
            if key in members:
                problems.append(Problem(file, inner, "stands here twice; expected once"))
            if _SURROGATE.search(key):
                problems.append(Problem(file, inner, "half a surrogate pair, which is no text"))
            members[key] = _settle(file, inner, member, problems)
        return members
    if isinstance(value, list):
        return [_settle(file, step(place, i), item, problems) for i, item in enumerate(value)]
    if isinstance(value, _BadNumber):
        problems.append(Problem(file, place, f"{shown(value.text)} isn't a number that fits"))
    elif isinstance(value, str) and _SURROGATE.search(value):
        problems.append(Problem(file, place, "half a surrogate pair, which is no text"))
    return value
