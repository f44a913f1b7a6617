"""The JSON Schemas that come with the program, and their copies beside a Portal's files.

Editors find a schema by a path in the file that they show. The path to the program changes with
its version and isn't the same in a container, so the schemas are copied into a folder of the
config, and named from there.
"""

import os
from pathlib import Path
from typing import Literal, get_args

from proxy.state.files import Unsafe, write_atomically

FileName = Literal["portal.yaml", "proxy.yaml", "app.json", "app_meta.json"]
FILES: tuple[FileName, ...] = get_args(FileName)
"""The files that have a schema."""
FOLDER = "schemas"
"""What the copies' folder is called, in the config folder."""

_HERE = Path(__file__).parent
_MODE = 0o644


def schema_name(file: FileName) -> str:
    """Return what the schema of a file is called: ``portal.schema.json``."""
    return f"{Path(file).stem}.schema.json"


def schema_text(file: FileName) -> str:
    """Return the schema of a file, as text."""
    return (_HERE / schema_name(file)).read_text("utf-8")


def yaml_line(path: str) -> str:
    """Return the first line of a YAML file by which editors find its schema at ``path``."""
    return f"# yaml-language-server: $schema={path}"


def write_schemas(folder: Path) -> list[Path]:
    """Put the schemas beside the files of a config folder; return those that are new or changed.

    Raises OSError and ``Unsafe``.
    """
    beside = folder / FOLDER
    if beside.is_symlink():
        raise Unsafe(f"{beside} is a symbolic link: put a folder in its place")
    changed = []
    for file in FILES:
        path = beside / schema_name(file)
        if not _is_current(path, file):
            beside.mkdir(exist_ok=True)
            write_atomically(path, schema_text(file).encode(), mode=_MODE)
            changed.append(path)
    return changed


def are_outdated(folder: Path) -> bool:
    """Tell whether a config folder has schemas of another version of the program."""
    beside = folder / FOLDER
    return any(
        os.path.lexists(path := beside / schema_name(file)) and not _is_current(path, file)
        for file in FILES
    )


def _is_current(path: Path, file: FileName) -> bool:
    try:
        return path.read_bytes() == schema_text(file).encode()
    except OSError:
        return False
