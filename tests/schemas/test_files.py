"""The copies of the schemas beside a Portal's files."""

import json
from pathlib import Path

import pytest

from proxy.schemas.files import FILES, are_outdated, schema_name, schema_text, write_schemas
from proxy.state.files import Unsafe


def test_all_are_put_beside_the_files_and_written_once(tmp_path: Path) -> None:
    assert not are_outdated(tmp_path)
    made = write_schemas(tmp_path)
    assert [path.name for path in made] == [schema_name(file) for file in FILES]
    for path, file in zip(made, FILES, strict=True):
        assert json.loads(path.read_bytes())["title"] == file
        assert path.stat().st_mode & 0o777 == 0o644
    assert write_schemas(tmp_path) == []
    assert not are_outdated(tmp_path)


def test_those_of_another_version_are_replaced(tmp_path: Path) -> None:
    changed = write_schemas(tmp_path)[1]
    changed.write_text("{}")
    assert are_outdated(tmp_path)
    assert write_schemas(tmp_path) == [changed]
    assert changed.read_text("utf-8") == schema_text(FILES[1])


def test_a_link_in_their_place_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "schemas").symlink_to(elsewhere)
    with pytest.raises(Unsafe):
        write_schemas(tmp_path)
    assert list(elsewhere.iterdir()) == []
