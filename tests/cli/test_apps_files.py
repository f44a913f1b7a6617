"""How the files of a new app get into their place: whole, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proxy.cli import apps_files
from proxy.cli.apps_files import app_json, proxy_yaml, put_in_place
from proxy.cli.output import Stop
from proxy.config.apps import load_catalogue
from proxy.core.text_files.strict_yaml import parse_yaml
from proxy.state.files import create_atomically

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "app.json": app_json("a", {"": "private"}),
    "proxy.yaml": proxy_yaml("a", "http://127.0.0.1:9"),
}


@pytest.mark.parametrize("is_there", [False, True])
def test_a_proxy_that_looks_meanwhile_sees_the_whole_app_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    folder = tmp_path / "apps" / "a"
    if is_there:
        folder.mkdir(parents=True)
    seen: list[str] = []

    def look() -> None:
        catalogue = load_catalogue(tmp_path)
        assert not catalogue.broken
        seen.extend(str(app.upstream) for app in catalogue.apps.values())

    def look_and_create(*arguments: Any, **more: Any) -> None:
        look()
        create_atomically(*arguments, **more)
        look()

    monkeypatch.setattr(apps_files, "create_atomically", look_and_create)
    put_in_place(folder, FILES)
    assert {*seen} <= {"http://127.0.0.1:9"}
    assert [*load_catalogue(tmp_path).apps] == ["a"]


def test_of_two_that_add_one_app_at_once_one_passes_and_the_other_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "apps" / "a"
    theirs = {**FILES, "proxy.yaml": proxy_yaml("a", "http://127.0.0.1:10")}

    def be_overtaken(*arguments: Any, **more: Any) -> None:
        create_atomically(*arguments, **more)
        monkeypatch.setattr(apps_files, "create_atomically", create_atomically)
        put_in_place(folder, theirs)

    monkeypatch.setattr(apps_files, "create_atomically", be_overtaken)
    with pytest.raises(Stop, match="made by somebody else"):
        put_in_place(folder, FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["a"]
    assert str(load_catalogue(tmp_path).apps["a"].upstream) == "http://127.0.0.1:10"


def test_a_disk_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(apps_files, "create_atomically", fail)
    with pytest.raises(OSError, match="No space"):
        put_in_place(tmp_path / "apps" / "a", FILES)
    assert list((tmp_path / "apps").iterdir()) == []


@pytest.mark.parametrize(
    "upstream", ["http://[::1]:3000", "unix:/run/a b.sock", "unix:/run/a: #b", "unix:~/ü\\"]
)
def test_what_was_typed_is_what_is_read(upstream: str) -> None:
    assert parse_yaml("f", proxy_yaml("a", upstream)) == {"upstream": upstream}
