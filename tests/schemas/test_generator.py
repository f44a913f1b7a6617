"""The schemas that come with the program are those of its models, and every key is described."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from proxy.core.text_files.schema import Section
from proxy.schemas.descriptions import Said
from proxy.schemas.files import FILES, FileName, schema_text
from proxy.schemas.generator import descriptions_of, generated
from proxy.schemas.model_schema import ModelSchema, Undescribed, is_told

_DOCS = Path(__file__).resolve().parents[2] / "docs"

files = pytest.mark.parametrize("file", FILES)


@files
def test_what_is_shipped_is_what_is_generated(file: FileName) -> None:
    assert schema_text(file) == generated(file, descriptions_of(file, _DOCS)), "make schemas"


@files
def test_it_is_a_schema_of_draft_2020_12(file: FileName) -> None:
    schema = json.loads(schema_text(file))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@files
def test_every_key_says_what_it_is_for_and_what_it_may_hold(file: FileName) -> None:
    keys = list(_keys(json.loads(schema_text(file))))
    assert keys
    free = {"name", "oidc"}
    for name, schema in keys:
        assert schema.get("description"), name
        assert schema.get("deprecated") or name in free or is_told(schema), name


def test_a_key_that_nobody_describes_is_no_schema() -> None:
    class Model(Section):
        known: str
        new: str | None = None

    models = ModelSchema({"known": Said("What is known.")}, texts=True)
    with pytest.raises(Undescribed, match="new"):
        models.section(Model)


@pytest.mark.parametrize("file", ["portal.yaml", "proxy.yaml", "app.json"])
def test_no_description_is_of_a_key_that_is_gone(file: FileName) -> None:
    """The guide has a row for each key, and none for another one."""
    text = schema_text(file)
    for place in descriptions_of(file, _DOCS):
        last = place.rpartition(".")[2].removesuffix("[]")
        assert last in {"<>", "container_name"} or f'"{last}": {{' in text, place


@files
def test_a_description_has_no_links_and_no_loose_ends(file: FileName) -> None:
    for name, schema in _keys(json.loads(schema_text(file))):
        said = schema["description"]
        assert said.endswith((".", "?", "!")), name
        assert "](" not in said, name
        assert "&lt;" not in said, name


def _keys(schema: Any) -> Any:
    """Go through every key of a schema, with what is said of it."""
    if isinstance(schema, list):
        for each in schema:
            yield from _keys(each)
    if not isinstance(schema, dict):
        return
    is_condition = "if" in schema
    for word, inner in schema.items():
        if word in {"properties", "$defs"}:
            for name, each in inner.items():
                if isinstance(each, dict) and "$ref" not in each:
                    yield name, each
                yield from _keys(each)
        elif not (is_condition and word == "if"):
            yield from _keys(inner)
