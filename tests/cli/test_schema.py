"""``schema``, and the schemas beside a Portal's files."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from proxy.schemas.files import FILES, schema_name, schema_text

if TYPE_CHECKING:
    from tests.cli.conftest import Home


@pytest.mark.parametrize("file", FILES)
def test_a_schema_is_printed_as_it_is(home: Home, file: str) -> None:
    outcome = home.call("schema", file)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout == schema_text(next(each for each in FILES if each == file))


@pytest.mark.parametrize("words", [[], ["contacts.yaml"], ["app.json", "--write"]])
def test_what_has_no_schema_is_told_what_has_one(home: Home, words: list[str]) -> None:
    outcome = home.call("schema", *words)
    assert outcome.status == 2
    assert "portal.yaml, proxy.yaml, app.json or app_meta.json" in outcome.reason


def test_init_writes_the_schemas_and_names_one_in_portal_yaml(ada: Home) -> None:
    first = (ada.config / "portal.yaml").read_text("utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=schemas/portal.schema.json"
    for file in FILES:
        path = ada.config / "schemas" / schema_name(file)
        assert path.read_text("utf-8") == schema_text(file)


def test_what_init_wrote_is_valid(ada: Home) -> None:
    from tests.schemas.editor import read_yaml, validator  # noqa: PLC0415 - for this one alone

    text = (ada.config / "portal.yaml").read_text("utf-8")
    validator("portal.yaml").validate(read_yaml(text))
    settings = [
        line.removeprefix("# ") for line in text.splitlines() if line.startswith("# accept:")
    ]
    validator("portal.yaml").validate(read_yaml("\n".join([text, *settings])))


def test_check_warns_of_schemas_of_another_version_until_they_are_written(ada: Home) -> None:
    stale = ada.config / "schemas" / "app.schema.json"
    stale.write_text("{}")
    outcome = ada.call("check")
    assert outcome.status == 0
    assert "schemas: are of another version of this program" in outcome.stdout
    assert "portal-proxy schema --write" in outcome.stdout
    assert ada.call("schema", "--write").stdout == f"Made       {stale}\n"
    assert "another version" not in ada.call("check").stdout
    assert json.loads(stale.read_bytes())["title"] == "app.json"


def test_init_replaces_those_of_another_version_and_makes_what_portal_yaml_names(
    ada: Home,
) -> None:
    folder = ada.config / "schemas"
    (folder / "proxy.schema.json").write_text("{}")
    assert f"Made       {folder}\n" in ada.call("init").stdout
    assert "schemas" not in ada.call("init").stdout
    shutil.rmtree(folder)  # as after a restore
    assert ada.call("init").status == 0
    assert (folder / "portal.schema.json").exists()


def test_where_nobody_asked_for_schemas_init_makes_none(ada: Home) -> None:
    file, folder = ada.config / "portal.yaml", ada.config / "schemas"
    file.write_text(file.read_text("utf-8").partition("\n")[2])
    shutil.rmtree(folder)
    assert ada.call("init").status == 0
    assert "schemas" not in ada.call("check").stdout
    assert not folder.exists()


def test_without_a_config_folder_there_is_nowhere_to_write_to(home: Home) -> None:
    outcome = home.call("schema", "--write")
    assert outcome.status == 1
    assert "--config" in outcome.reason
