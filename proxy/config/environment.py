"""portal.yaml's keys in the environment: ``PORTAL_NAME``, ``PORTAL_LISTEN_PUBLIC``, ...

Each variable is one key, in capitals; a section's name stands before its keys'. A list is written
with commas. What the environment says counts, whatever the file has: a container is set up so.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel

from proxy.core.errors import Problem

PREFIX = "PORTAL_"
WHERE = "the environment"
"""What stands for the file where a variable is wrong."""


@dataclass(frozen=True)
class FromEnvironment:
    """What portal.yaml holds once the environment is put over it."""

    value: object
    variables: Mapping[str, str] = field(default_factory=dict)
    """The variable that each of its keys came from, by the key's place."""
    replaced: tuple[str, ...] = ()
    """The places of those of which the file says something else."""

    def named(self, problem: Problem) -> Problem:
        """Return a problem of portal.yaml with the variable in which it is, if it is in one."""
        for place, variable in self.variables.items():
            if problem.place == place or problem.place.startswith((f"{place}.", f"{place}[")):
                return Problem(WHERE, variable, problem.what)
        return problem


def put_over(value: object, environ: Mapping[str, str], model: type[BaseModel]) -> FromEnvironment:
    """Put the variables over ``value``, as it was read from a file that ``model`` describes.

    Nothing is checked here: ``model`` refuses what is wrong, from wherever it came.
    """
    if not isinstance(value, dict):
        return FromEnvironment(value)
    merged: dict[str, Any] = dict(value)
    variables: dict[str, str] = {}
    replaced: list[str] = []
    for variable, path, is_list in _keys(model):
        text = environ.get(variable)
        if text is None:
            continue
        place = ".".join(path)
        variables[place] = variable
        section = merged
        for name in path[:-1]:
            inner = section.get(name)
            section[name] = section = dict(inner) if isinstance(inner, dict) else {}
        new = _items(text) if is_list else text
        if section.get(path[-1], new) != new:
            replaced.append(place)
        section[path[-1]] = new
    return FromEnvironment(merged, variables, tuple(replaced))


def known_variables(model: type[BaseModel]) -> frozenset[str]:
    """Return the name of every variable that is a key of ``model``."""
    return frozenset(variable for variable, _, _ in _keys(model))


def unknown_variables(environ: Mapping[str, str], known: Collection[str]) -> tuple[str, ...]:
    """Return the variables that look like ours and mean nothing: perhaps mistyped ones."""
    return tuple(sorted(name for name in environ if name.startswith(PREFIX) and name not in known))


def _keys(model: type[BaseModel], before: tuple[str, ...] = ()) -> Iterator[
    tuple[str, tuple[str, ...], bool]
]:  # fmt: skip
    """Go through every key: its variable, its place, and whether it is a list."""
    for name, described in model.model_fields.items():
        path = (*before, name)
        kind = _bare(described.annotation)
        if _is_model(kind):
            yield from _keys(kind, path)
        else:
            is_list = kind is list or get_origin(kind) is list
            yield PREFIX + "_".join(path).upper(), path, is_list


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text.strip() else []


def _bare(annotation: Any) -> Any:  # noqa: ANN401 - a type's annotation has no type of its own
    """Return X for ``X | None`` and for ``Annotated[X, ...]``."""
    arguments = [each for each in get_args(annotation) if each is not NoneType]
    if get_origin(annotation) is Annotated:
        return _bare(arguments[0])
    if get_origin(annotation) in (Union, UnionType) and len(arguments) == 1:
        return _bare(arguments[0])
    return annotation


def _is_model(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, BaseModel)
