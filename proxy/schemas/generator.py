"""The schemas that come with the program, made of the models and of what the guides say of keys.

``python -m proxy.schemas`` writes them, in a copy of the repository; ``make schemas`` does that.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from proxy.config.app_settings import SettingsFile
from proxy.config.portal_yaml import PortalFile
from proxy.core.text_files.shape import JsonSchema
from proxy.schemas.descriptions import Said, read_descriptions
from proxy.schemas.files import FileName
from proxy.schemas.manifest import manifest_schema
from proxy.schemas.model_schema import ModelSchema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ABOUT: dict[FileName, str] = {
    "portal.yaml": "A Portal's own settings.",
    "proxy.yaml": "An owner's settings of one app.",
    "app.json": "What an app says of itself: which of its paths are for whom.",
    "app_meta.json": "What an app says of itself: which of its paths are for whom.",
}
_TABLES: dict[FileName, tuple[str, str]] = {
    "portal.yaml": ("operating.md", "### portal.yaml"),
    "proxy.yaml": ("operating.md", "### apps/&lt;app&gt;/proxy.yaml"),
    "app.json": ("for-app-authors.md", "### The keys of app.json"),
    "app_meta.json": ("for-app-authors.md", "### The keys of app.json"),
}
"""The guide that has a file's keys, and the heading above them."""


def descriptions_of(file: FileName, docs: Path) -> dict[str, Said]:
    """Return what the guides say of the file's keys."""
    page, heading = _TABLES[file]
    return read_descriptions((docs / page).read_text("utf-8"), heading)


def generated(file: FileName, descriptions: Mapping[str, Said]) -> str:
    """Return the text of a file's schema; raises ``Undescribed``."""
    head = {"$schema": DIALECT, "title": file, "description": _ABOUT[file]}
    return json.dumps({**head, **_schema(file, descriptions)}, indent=2) + "\n"


def _schema(file: FileName, descriptions: Mapping[str, Said]) -> JsonSchema:
    match file:
        case "portal.yaml":
            return ModelSchema(descriptions, texts=True).section(PortalFile)
        case "proxy.yaml":
            return ModelSchema(descriptions, texts=True).section(SettingsFile)
        case "app.json" | "app_meta.json":
            return manifest_schema(file, descriptions)
