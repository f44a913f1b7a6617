"""A file as an editor sees it: YAML 1.2's numbers and booleans, patterns of ECMA-262, a schema."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from proxy.schemas.files import FileName, schema_text


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema in the place of 1.1's."""


_CORE = {
    "tag:yaml.org,2002:null": r"~|null|Null|NULL|",
    "tag:yaml.org,2002:bool": r"true|True|TRUE|false|False|FALSE",
    "tag:yaml.org,2002:int": r"[-+]?[0-9]+",
    "tag:yaml.org,2002:float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
}
_Loader.yaml_implicit_resolvers = {}
for _tag, _form in _CORE.items():
    _Loader.add_implicit_resolver(_tag, re.compile(f"(?:{_form})\\Z"), None)
_Loader.add_constructor(
    "tag:yaml.org,2002:int",
    lambda loader, node: int(loader.construct_scalar(node)),  # type: ignore[arg-type]
)


def _pattern(_: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Match as ECMA-262 does, where ``$`` is the end and nothing before it."""
    exact = re.sub(r"\$(?=$|\))", r"\\Z", pattern)
    if isinstance(instance, str) and not re.search(exact, instance):
        yield ValidationError(f"{instance!r}: {schema.get('patternErrorMessage')}")


_extend: Any = extend  # has no types
_Validator = _extend(Draft202012Validator, {"pattern": _pattern})


def validator(file: FileName) -> Any:
    return _Validator(json.loads(schema_text(file)))


def read_yaml(text: str) -> Any:
    """Return what an editor takes the text for; an empty file has no keys."""
    return yaml.load(text, _Loader) or {}
