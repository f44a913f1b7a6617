"""The schema of a file that people write: a pydantic model, and its errors as our ``Problem``.

Models say what a file may hold; ``validate`` reports everything that is wrong with it at once, with
the place in the file's own terms and what is expected there.
"""

import difflib
import inspect
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from proxy.core.errors import Invalid, Problem
from proxy.core.text_files.shape import shaped
from proxy.core.text_files.text import listed, shown, step

_KEY = "[key]"
"""What pydantic puts at the end of a place where a mapping's key is wrong, not its value."""

_MOST_REPORTED = 50
"""More of one file help nobody, and a hostile file could have 100,000."""

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "list_type": "a list",
}


class Section(BaseModel):
    """A part of a file in which every key is ours: a key we don't know is a problem."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OpenSection(BaseModel):
    """A part of a file of which we read some keys; the others are none of our business."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


@shaped({"minLength": 1})
def _path(text: str) -> str:
    if not text:
        raise ValueError("expected a path")
    return text


PathText = Annotated[str, AfterValidator(_path)]
"""A path on disk, as text."""

_Model = TypeVar("_Model", bound=BaseModel)


def validate(file: str, model: type[_Model], value: object) -> _Model:
    """Return ``value``, as a strict parser read it from ``file``, as ``model``; raises ``Invalid``.

    A validator in the model says what is wrong by raising ``ValueError``.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = [_problem(file, model, each) for each in details[:_MOST_REPORTED]]
        if len(details) > _MOST_REPORTED:
            problems.append(Problem(file, "", f"and {len(details) - _MOST_REPORTED} problems more"))
        raise Invalid(problems) from None


def _problem(file: str, model: type[BaseModel], error: ErrorDetails) -> Problem:
    path = [part for part in error["loc"] if part != _KEY]
    place = ""
    for part in path:
        place = step(place, part)
    return Problem(file, place, _what(model, error))


def _what(model: type[BaseModel], error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return _unknown_key(model, error["loc"])
        case "literal_error":
            return f"expected {context['expected']}, not {_kind(error['input'])}"
        case "value_error":
            return str(context["error"])
        case known if known in _EXPECTED:
            return f"expected {_EXPECTED[known]}, not {_kind(error['input'])}"
    return error["msg"]


def _kind(value: object) -> str:
    match value:
        case str():
            return shown(value) if value else "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case list():
            return "a list"
        case None:
            return "null"
    return "keys with values"


def _unknown_key(model: type[BaseModel], path: tuple[int | str, ...]) -> str:
    known = sorted(_section_at(model, path[:-1]).model_fields)
    close = difflib.get_close_matches(str(path[-1])[:64], known, n=1)
    if close:
        return f"isn't known; did you mean {close[0]}?"
    return f"isn't known; expected {listed(known)}"


def _section_at(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model that describes the part of the file at ``path``."""
    here: Any = model
    for part in path:
        # a model's field, or the items of a mapping or list: the last type argument
        here = here.model_fields[str(part)].annotation if _is_model(here) else get_args(here)[-1]
        here = _bare(here)
    section: type[BaseModel] = here
    return section


def _bare(annotation: Any) -> Any:  # noqa: ANN401 - a type's annotation has no type of its own
    """Return X for ``X | None`` and for ``Annotated[X, ...]``."""
    arguments = [each for each in get_args(annotation) if each is not NoneType]
    if get_origin(annotation) is Annotated or NoneType in get_args(annotation):
        return _bare(arguments[0])
    return annotation


def _is_model(annotation: object) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)
