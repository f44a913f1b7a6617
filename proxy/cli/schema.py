"""``schema``: the JSON Schemas by which editors complete and check the files that people write."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.output import USAGE, Stop, command_line, remark, say, say_lines
from proxy.cli.owner import acting_as, owner_of
from proxy.cli.portal_files import DEFAULT_FOLDER, ConfigFolder
from proxy.config.portal_yaml import FILE_NAME
from proxy.core.errors import Problem
from proxy.core.text_files.text import listed
from proxy.schemas.files import (
    FILES,
    FOLDER,
    are_outdated,
    schema_name,
    schema_text,
    write_schemas,
    yaml_line,
)
from proxy.state.files import Unsafe

_FILES = listed(list(FILES))


def schema(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help=f"Which file's: {_FILES}.")
    ] = None,
    *,
    write: Annotated[
        bool,
        typer.Option("--write", help="Write all of them into schemas/ of the config folder."),
    ] = False,
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Print a file's JSON Schema (draft 2020-12), with which editors complete and check it.

    The files that "init" and "apps add" write name theirs, which is in schemas/ beside
    portal.yaml. --write puts them there, or those of this version in the place of an
    earlier one's. An app's author names one in app.json:
      "$schema": "./app.schema.json"

    For example:
      portal-proxy schema app.json > app.schema.json
      portal-proxy schema --write
    """
    if write == bool(file):
        raise Stop(f"say which file's schema: {_FILES}; or --write", status=USAGE)
    if file is not None:
        found = next((each for each in FILES if each == file), None)
        if found is None:
            raise Stop(f"{file!r} has no schema; there are those of {_FILES}", status=USAGE)
        say_lines(schema_text(found))
        return
    if not config.is_dir():
        raise Stop(f"{config} is no folder: --config says which one portal.yaml is in")
    for path in write_schemas(config):
        say(f"Made       {path}")
    remark(f"{config / FOLDER} has the schemas of this version.")


def refresh_schemas(folder: Path) -> None:
    """Replace the schemas of another version, and make those that portal.yaml names.

    Where they can't be written nothing is lost: they are for editors alone.
    """
    with suppress(OSError, Unsafe), acting_as(owner_of(folder)):
        if (are_outdated(folder) or _are_named(folder)) and write_schemas(folder):
            say(f"Made       {folder / FOLDER}")


def _are_named(folder: Path) -> bool:
    with (folder / FILE_NAME).open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip() == yaml_line(f"{FOLDER}/{schema_name('portal.yaml')}")


def about_schemas(folder: Path) -> Iterator[Problem]:
    """Warn of schemas by which editors mark what is right, or miss what is wrong."""
    if are_outdated(folder):
        command = command_line(folder, "schema", "--write")
        what = f"are of another version of this program; editors go by them until: {command}"
        yield Problem(str(folder / FOLDER), "", what)
