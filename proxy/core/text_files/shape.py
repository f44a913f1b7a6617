"""What a JSON Schema says of values that a function of ours checks, beside that function.

A schema is for editors: it shows a mistake while it is typed. What counts is the check itself, so
each shape stands where its check does, and tests compare the two.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

JsonSchema = dict[str, Any]
_Check = TypeVar("_Check", bound=Callable[..., object])

_SHAPES: dict[Callable[..., object], Mapping[str, Any] | Callable[..., JsonSchema]] = {}


def shaped(
    shape: Mapping[str, Any] | Callable[..., JsonSchema],
) -> Callable[[_Check], _Check]:
    """Say what JSON Schema has of the values that the function below takes.

    Where that depends on bounds, ``shape`` is made of those that the check is used with.
    """

    def note(check: _Check) -> _Check:
        _SHAPES[check] = shape
        return check

    return note


def shape_of(check: object) -> JsonSchema:
    """Return what was said of a check, or of one with some arguments settled; {} is nothing."""
    function, settled = (check.func, check.keywords) if isinstance(check, partial) else (check, {})
    shape = _SHAPES.get(function) if callable(function) else None
    if shape is None:
        return {}
    return shape(**settled) if callable(shape) else dict(shape)


def any_case(text: str) -> str:
    """Return a pattern for ``text`` in any case: ECMA-262's patterns have no flag for it."""
    return "".join(
        f"[{each.upper()}{each.lower()}]" if each.isalpha() else each.replace(".", r"\.")
        for each in text
    )


def numbers(low: int, high: int) -> str:
    """Return a pattern for the whole numbers from ``low`` to ``high``, without zeros in front."""
    found = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first, last = 10 ** (length - 1) if length > 1 else 0, 10**length - 1
        found += _of_one_length(f"{max(low, first)}", f"{min(high, last)}")
    return f"(?:{'|'.join(found)})"


def thousandths(low: int, high: int) -> str:
    """Return a pattern for numbers from ``low`` to ``high`` thousandths, up to three decimals.

    Zeros may stand in front; whoever uses it says how many digits there may be.
    """
    (least, after_least), (most, after_most) = divmod(low, 1000), divmod(high, 1000)
    if least == most:
        return f"0*{least}{_decimals(after_least, after_most)}"
    found = [f"{least}{_decimals(after_least, 999)}", f"{most}{_decimals(0, after_most)}"]
    if most - least > 1:
        found.insert(1, f"{numbers(least + 1, most - 1)}{_decimals(0, 999)}")
    return f"0*(?:{'|'.join(found)})"


def _decimals(low: int, high: int) -> str:
    """Return a pattern for a point and decimals between, which may be left out where that is 0."""
    if (low, high) == (0, 999):
        return r"(?:\.[0-9]{1,3})?"
    found = []
    for piece in _digit_classes(f"{low:03}", f"{high:03}"):
        tenth, hundredth, last = piece
        if "0" in _members(last):
            last = f"{last}?"
        if "0" in _members(hundredth) and last.endswith("?"):
            found.append(rf"{tenth}(?:{hundredth}{last})?")
        else:
            found.append(f"{tenth}{hundredth}{last}")
    return rf"(?:\.(?:{'|'.join(found)})){'?' if low == 0 else ''}"


def _of_one_length(low: str, high: str) -> list[str]:
    return ["".join(piece) for piece in _digit_classes(low, high)]


def _digit_classes(low: str, high: str) -> list[list[str]]:
    """Return which digits may stand in each place, in several ways that are all there are."""
    if len(low) == 1:
        return [[_class(low, high)]]
    rest = len(low) - 1
    if low[1:] == "0" * rest and high[1:] == "9" * rest:
        return [[_class(low[0], high[0]), *["[0-9]"] * rest]]
    if low[0] == high[0]:
        return [[low[0], *piece] for piece in _digit_classes(low[1:], high[1:])]
    found = [[low[0], *piece] for piece in _digit_classes(low[1:], "9" * rest)]
    if int(high[0]) - int(low[0]) > 1:
        between = _class(str(int(low[0]) + 1), str(int(high[0]) - 1))
        found.append([between, *["[0-9]"] * rest])
    return found + [[high[0], *piece] for piece in _digit_classes("0" * rest, high[1:])]


def _class(low: str, high: str) -> str:
    return low if low == high else f"[{low}-{high}]"


def _members(digits: str) -> str:
    """Return the first digit that a class has."""
    return digits.strip("[]?")[0]
