"""A file's model as JSON Schema: which keys there are, what each may hold, and what it is for.

The models check what is read, and stay the one place that says what a file may hold. What their
own checks take stands beside each of them (``proxy.core.text_files.shape``).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from proxy.core.access.policy import Access
from proxy.core.rates import Rate
from proxy.core.text_files.duration import read_duration, read_whole_seconds, show_duration
from proxy.core.text_files.rate import OFF, read_rate
from proxy.core.text_files.shape import JsonSchema, shape_of
from proxy.core.text_files.size import read_size, show_size
from proxy.schemas.descriptions import Said

_KINDS = {str: "string", int: "integer", float: "number", bool: "boolean"}
_SHOWN: Mapping[object, Callable[[Any], str]] = {
    read_duration: show_duration,
    read_whole_seconds: show_duration,
    read_size: show_size,
}
"""How values that a check has read are written."""
_YAML_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


class Undescribed(Exception):
    """A key of which nobody says what it is for."""


@dataclass(frozen=True)
class ModelSchema:
    """Makes a file's JSON Schema.

    ``descriptions`` are what is said of each key, by its place: ``listen.public``,
    ``paths.<prefix>.access``. In a file of ``texts``, which YAML is, every value is text as it
    stands, and an editor shows some of it as numbers, true and false.
    """

    descriptions: Mapping[str, Said]
    texts: bool

    def section(self, model: type[BaseModel], place: str = "") -> JsonSchema:
        """Return the schema of a model; raises ``Undescribed``."""
        properties = {
            name: self._key(model, name, hint, f"{place}.{name}" if place else name)
            for name, hint in get_type_hints(model, include_extras=True).items()
            if name in model.model_fields
        }
        required = [name for name, each in model.model_fields.items() if each.is_required()]
        schema: JsonSchema = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        if model.model_config.get("extra") == "forbid":
            schema["additionalProperties"] = False
        return schema

    def _key(self, model: type[BaseModel], name: str, hint: object, place: str) -> JsonSchema:
        said = self.said(place, hint)
        schema = {"description": said.text, **self._value(hint, place)}
        default = model.model_fields[name].get_default(call_default_factory=True)
        if not model.model_fields[name].is_required() and not isinstance(default, BaseModel):
            schema.update(self._default(default, _checks(hint)))
        if "default" not in schema and said.default and "By default" not in said.text:
            schema["description"] = f"{said.text} By default {said.default}."
        return schema

    def said(self, place: str, hint: object = None) -> Said:
        """Return what is said of a key, of a section at least by its model; or ``Undescribed``."""
        bare = _bare(hint)
        if said := self.descriptions.get(place):
            return said
        if _is_model(bare) and bare.__doc__:
            return Said(" ".join(bare.__doc__.split()))
        raise Undescribed(place)

    def _default(self, default: object, checks: list[object]) -> JsonSchema:
        """Return the default as it would be written; nothing where the file has no word for it."""
        functions = {getattr(check, "func", check) for check in checks}
        show = next((_SHOWN[each] for each in functions if each in _SHOWN), None)
        if isinstance(default, Rate | None) and read_rate in functions:
            return {"default": str(default) if default else OFF}
        if default is None or default == []:
            return {}
        if isinstance(default, Access):
            return {"default": default.name.lower()}
        if show is not None:
            return {"default": show(default)}
        if isinstance(default, int):
            return {"default": default}
        text = str(default)
        return {"default": _read_by_editors(text) if self.texts else text}

    def _value(self, hint: Any, place: str) -> JsonSchema:  # noqa: ANN401 - a type's annotation has no type of its own
        origin, arguments = get_origin(hint), get_args(hint)
        schema: JsonSchema = {}
        if origin is Annotated:
            shapes = [shape_of(check) for check in _checks_of(hint)]
            if not any({"type", "enum"} & shape.keys() for shape in shapes):
                schema = self._value(arguments[0], place)
            for shape in shapes:
                schema = {**schema, **shape}
        elif origin in (Union, UnionType):
            schema = self._union(arguments, place)
        elif origin is Literal:
            schema = {"enum": self._words(arguments)}
        elif origin is list:
            schema = {"type": "array", "items": self._value(arguments[0], f"{place}[]")}
        elif origin is dict:
            schema = {"type": "object", **self._mapping(arguments, place)}
        elif _is_model(hint):
            schema = self.section(hint, place)
        elif hint in _KINDS:
            schema = {"type": _KINDS[hint]}
        return schema

    def _union(self, arguments: tuple[Any, ...], place: str) -> JsonSchema:
        values = [self._value(each, place) for each in arguments if each is not NoneType]
        schema = values[0] if len(values) == 1 else {"anyOf": values}
        if self.texts or NoneType not in arguments:
            return schema
        # null stands for a key that is left out; no text is null
        if isinstance(kind := schema.get("type"), str):
            return {**schema, "type": [kind, "null"]}
        return {"anyOf": [schema, {"type": "null"}]}

    def _mapping(self, arguments: tuple[Any, ...], place: str) -> JsonSchema:
        key, value = arguments
        names = self._value(key, place)
        names.pop("type", None)
        inner = f"{place}.<>"
        described = _is_model(_bare(value))
        members = self._value(value, inner)
        if described:
            members = {"description": self.said(inner, value).text, **members}
        return {"propertyNames": names, "additionalProperties": members}

    def _words(self, words: tuple[str, ...]) -> list[object]:
        read = map(_read_by_editors, words) if self.texts else words
        return [*words, *(each for each in read if not isinstance(each, str))]


def is_told(schema: JsonSchema) -> bool:
    """Tell whether a key's schema says anything of its value."""
    return not {"type", "enum", "anyOf", "pattern"}.isdisjoint(schema)


def _read_by_editors(text: str) -> object:
    """Return what a text of YAML 1.2 is to an editor: true, false, a number, or the text."""
    if text in {"true", "false"}:
        return text == "true"
    if _YAML_NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text


def _checks(hint: object) -> list[object]:
    """Return the checks of a value, whatever stands around it."""
    if get_origin(hint) is Annotated:
        return [*_checks_of(hint), *_checks(get_args(hint)[0])]
    if get_origin(hint) in (Union, UnionType):
        return [check for each in get_args(hint) for check in _checks(each)]
    return []


def _checks_of(annotated: object) -> list[object]:
    found = (getattr(each, "func", None) for each in get_args(annotated)[1:])
    return [each for each in found if callable(each) or isinstance(each, partial)]


def _bare(hint: Any) -> Any:  # noqa: ANN401 - as above
    """Return X for ``X | None`` and for ``Annotated[X, ...]``."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return _bare(next(each for each in get_args(hint) if each is not NoneType))
    return hint


def _is_model(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, BaseModel)
