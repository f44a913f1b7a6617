"""docs/upgrade.md tells of the state's versions what the code has."""

import re
from pathlib import Path

from proxy.cli.backup_archive import VERSION as ARCHIVE
from proxy.core.text_files.text import later_than
from proxy.state.schema import SCHEMAS, VERSION

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_PAGE = (_DOCS / "upgrade.md").read_text("utf-8")
_ROW = re.compile(r"^\| ([^|]+) \| ([0-9]*) ?\| ([^|]*) \| ?([^|]*)\|$", re.MULTILINE)


def _files() -> dict[str, int | None]:
    """Return the version that the page gives each file."""
    table = _PAGE.partition("And of each file")[2]
    return {
        name: int(version) if version else None
        for names, version, _, _ in _ROW.findall(table)
        for name in re.findall(r"`([^`]+)`", names)
    }


def test_the_table_has_every_file_and_its_version() -> None:
    assert _files() == {schema.names: schema.version for schema in SCHEMAS}
    assert f"| a backup | {ARCHIVE} |" in _PAGE


def test_it_shows_the_sentence_that_is_told() -> None:
    assert f"schema.json: {later_than(VERSION + 1, VERSION)}\n" in _PAGE


def test_every_version_of_the_folder_has_a_row() -> None:
    told = _PAGE.partition("## Versions of the state")[2].partition("And of each file")[0]
    assert re.findall(r"^\| ([0-9]+) \|", told, re.MULTILINE) == [
        str(number) for number in range(1, VERSION + 1)
    ]


def test_owners_find_the_page() -> None:
    assert "(upgrade.md)" in (_DOCS / "operating.md").read_text("utf-8")
    assert "(docs/upgrade.md)" in (_DOCS.parent / "README.md").read_text("utf-8")
