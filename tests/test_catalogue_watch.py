"""The running proxy's view of its apps."""

import os
from pathlib import Path

import pytest

from proxy.catalogue_watch import CatalogueWatch

PUBLIC = '{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}}}'
PRIVATE = PUBLIC.replace("public", "private")


def put(config: Path, app: str, text: str) -> Path:
    path = config / "apps" / app / "app.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name("new").write_text(text)
    path.with_name("new").replace(path)
    return path


def access(watch: CatalogueWatch, app: str) -> str:
    return watch.current.apps[app].rules.decide(b"/").access.name


def test_an_app_that_changes_is_followed(tmp_path: Path) -> None:
    put(tmp_path, "box", PUBLIC)
    watch = CatalogueWatch(tmp_path)
    assert not watch.refresh()
    put(tmp_path, "box", PRIVATE)
    assert watch.refresh()
    assert access(watch, "box") == "PRIVATE"
    assert not watch.refresh()


def test_apps_come_and_go(tmp_path: Path) -> None:
    watch = CatalogueWatch(tmp_path)
    assert not watch.current.apps
    path = put(tmp_path, "box", PUBLIC)
    assert watch.refresh()
    assert list(watch.current.apps) == ["box"]
    path.unlink()
    path.parent.rmdir()
    assert watch.refresh()
    assert not watch.current.apps


def test_a_bad_reload_keeps_the_last_good_form_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "box", PRIVATE)
    watch = CatalogueWatch(tmp_path)
    put(tmp_path, "box", '{"v": "3.2", "paths": {"": {"access": "open"}}}')
    assert watch.refresh()
    assert access(watch, "box") == "PRIVATE"
    assert [problem.place for problem in watch.current.problems] == ["paths.''.access"]
    assert "its last good form stays" in caplog.text
    put(tmp_path, "box", PUBLIC)
    assert watch.refresh()
    assert access(watch, "box") == "PUBLIC"
    assert not watch.current.problems


def test_a_change_of_the_same_length_at_the_same_time_is_seen(tmp_path: Path) -> None:
    path = put(tmp_path, "box", PUBLIC + " ")
    before = path.stat()
    watch = CatalogueWatch(tmp_path)
    put(tmp_path, "box", PRIVATE)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watch.refresh()
    assert access(watch, "box") == "PRIVATE"


def test_an_app_cannot_aim_at_another_apps_container(tmp_path: Path) -> None:
    meta = (
        '{"v": "1.3", "name": "x", "entrypoints": [{"container_name": "%s", "container_port": 80,'
        ' "entrypoint_port": "http"}], "paths": {"": {"access": "public"}}}'
    )
    for name, container in (
        ("evil", "diary"),
        ("thief", "photos-server"),
        ("photos", "photos-server"),
    ):
        folder = tmp_path / "apps" / name
        folder.mkdir(parents=True)
        (folder / "app_meta.json").write_text(meta % container)
    put(tmp_path, "diary", PRIVATE)
    watch = CatalogueWatch(tmp_path)
    assert list(watch.current.apps) == ["diary"]
    assert {str(p.file).rsplit("/", 1)[-1] for p in watch.current.problems} == {
        "evil", "photos", "thief",
    }  # fmt: skip
    (tmp_path / "apps/photos/proxy.yaml").write_text("upstream: http://photos-server\n")
    watch.refresh()
    assert sorted(watch.current.apps) == ["diary", "photos"]
