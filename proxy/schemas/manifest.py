"""app.json and app_meta.json, of all versions that are read, as one JSON Schema each.

``v`` says which of the schemas holds. Keys beside those of access and routing are the app store's.
"""

from collections.abc import Mapping

from proxy.core.access.manifest_schema import (
    NEWER,
    SECTIONS,
    VERSIONS,
    Kind,
    ManifestSchema,
)
from proxy.core.text_files.shape import JsonSchema
from proxy.schemas.descriptions import Said
from proxy.schemas.model_schema import ModelSchema

_MINOR = "(?:0|[1-9][0-9]{0,3})"
_IGNORED = "Ignored: this version has other keys for access and routing."
_OLD = ("authentication",)
"""Sections that are read, and that new files have other ones for."""
_BESIDE = ("$schema", "name", "oidc")
"""Keys of any version that are none of access and routing, and worth a word."""


def manifest_schema(kind: Kind, descriptions: Mapping[str, Said]) -> JsonSchema:
    """Return the schema of an author's file; raises ``Undescribed``."""
    models = ModelSchema(descriptions, texts=False)
    known = VERSIONS[kind]
    shared: dict[str, JsonSchema] = {}
    properties: JsonSchema = {
        "$schema": {"type": "string", "description": models.said("$schema").text},
        "v": {
            "type": "string",
            "description": models.said("v").text,
            "anyOf": [
                {"enum": list(known)},
                *({"pattern": pattern} for pattern in _newer(kind).values()),
            ],
        },
        **{name: {"description": models.said(name).text} for name in _BESIDE[1:]},
    }
    branches = [
        _branch(_is_one_of(versions, or_missing="0.0" in versions), _section(models, model, shared))
        for model, versions in _by_model(known).items()
    ]
    for model, pattern in _newer(kind).items():
        named = {"properties": {"v": {"type": "string", "pattern": pattern}}, "required": ["v"]}
        branches.append(_branch(named, _section(models, model, shared, is_newer=True)))
    schema: JsonSchema = {"type": "object", "properties": properties}
    if kind != "app.json":
        schema["required"] = ["v"]
    return {**schema, "allOf": branches, "$defs": shared}


def _by_model(known: Mapping[str, type[ManifestSchema]]) -> dict[type[ManifestSchema], list[str]]:
    found: dict[type[ManifestSchema], list[str]] = {}
    for version, model in known.items():
        found.setdefault(model, []).append(version)
    return found


def _is_one_of(versions: list[str], *, or_missing: bool) -> JsonSchema:
    named: JsonSchema = {"properties": {"v": {"enum": versions}}}
    return named if or_missing else {**named, "required": ["v"]}


def _branch(condition: JsonSchema, then: JsonSchema) -> JsonSchema:
    return {"if": condition, "then": then}


def _newer(kind: Kind) -> dict[type[ManifestSchema], str]:
    """Return patterns for the versions that aren't known, by the model that they are read by."""
    newest: dict[str, int] = {}
    for version in VERSIONS[kind]:
        major, minor = version.split(".")
        newest[major] = max(int(minor), newest.get(major, 0))
    found: dict[type[ManifestSchema], list[str]] = {}
    for major, last in newest.items():
        model = VERSIONS[kind][f"{major}.{last}"]
        older = "|".join(map(str, range(last + 1)))
        found.setdefault(NEWER.get(model, model), []).append(rf"{major}\.(?!(?:{older})$){_MINOR}")
    return {model: f"^(?:{'|'.join(patterns)})$" for model, patterns in found.items()}


def _section(
    models: ModelSchema,
    model: type[ManifestSchema],
    shared: dict[str, JsonSchema],
    *,
    is_newer: bool = False,
) -> JsonSchema:
    """Return what holds in the versions that ``model`` reads; ``v`` is said elsewhere.

    What several have alike is put into ``shared``, and referred to.
    """
    section = models.section(model)
    del section["type"], section["properties"]["v"]
    for name, schema in section["properties"].items():
        if name in _OLD:
            schema["deprecated"] = True
        if shared.setdefault(name, schema) == schema:
            section["properties"][name] = {"$ref": f"#/$defs/{name}"}
    for name in SECTIONS:
        if name not in model.model_fields:
            section["properties"][name] = (
                False if is_newer else {"deprecated": True, "description": _IGNORED}
            )
    section["required"] = [name for name in section.get("required", ()) if name != "v"]
    return section
