"""The running proxy's view of its apps."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.config.apps_watch import CatalogueWatch
from proxy.state.file_watch import STALE_AFTER
from tests.certificates import Authority

PUBLIC = '{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}}}'
PRIVATE = PUBLIC.replace("public", "private")


if TYPE_CHECKING:
    from collections.abc import Callable


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
    watch = CatalogueWatch(tmp_path, settling=0)
    assert not watch.refresh()
    put(tmp_path, "box", PRIVATE)
    assert watch.refresh()
    assert access(watch, "box") == "PRIVATE"
    assert not watch.refresh()


def test_apps_come_and_go(tmp_path: Path) -> None:
    watch = CatalogueWatch(tmp_path, settling=0)
    assert not watch.current.apps
    path = put(tmp_path, "box", PUBLIC)
    assert watch.refresh()
    assert list(watch.current.apps) == ["box"]
    path.unlink()
    path.parent.rmdir()
    assert watch.refresh()
    assert not watch.current.apps


def test_where_the_apps_cant_be_looked_at_none_is_gone(tmp_path: Path) -> None:
    put(tmp_path, "box", PUBLIC)
    watch = CatalogueWatch(tmp_path, settling=0)
    before = dict(watch.current.apps)
    (tmp_path / "apps").rename(tmp_path / "away")
    (tmp_path / "apps").write_text("")
    assert watch.refresh()
    assert not watch.refresh()
    assert dict(watch.current.apps) == before
    (problem,) = watch.problems
    assert problem.what.startswith("can't be read: Not a directory")
    (tmp_path / "apps").unlink()
    assert watch.refresh()
    assert not watch.current.apps
    assert not watch.problems


def test_an_app_whose_author_s_file_is_gone_is_removed_once_it_is_sure(tmp_path: Path) -> None:
    path = put(tmp_path, "box", PUBLIC)
    put(tmp_path, "other", PUBLIC)
    (path.parent / "proxy.yaml").write_text("upstream: http://127.0.0.1:9001\n")
    watch = CatalogueWatch(tmp_path, settling=0)
    path.unlink()
    assert not watch.refresh()
    assert sorted(watch.current.apps) == ["box", "other"]
    assert watch.refresh()
    assert list(watch.current.apps) == ["other"]
    assert "no app.json" in str(watch.problems[0])


def test_an_author_s_file_that_is_gone_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    path = put(tmp_path, "box", PUBLIC)
    watch = CatalogueWatch(tmp_path, settling=0)
    path.unlink()
    assert not watch.refresh()
    put(tmp_path, "box", PRIVATE)
    assert watch.refresh()
    assert access(watch, "box") == "PRIVATE"
    assert not watch.problems


def test_a_bad_reload_keeps_the_last_good_version_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "box", PRIVATE)
    watch = CatalogueWatch(tmp_path, settling=0)
    put(tmp_path, "box", '{"v": "3.2", "paths": {"": {"access": "open"}}}')
    assert watch.refresh()
    assert access(watch, "box") == "PRIVATE"
    assert [problem.place for problem in watch.problems] == ["paths.''.access"]
    assert "its last good version stays" in caplog.text
    put(tmp_path, "box", PUBLIC)
    assert watch.refresh()
    assert access(watch, "box") == "PUBLIC"
    assert not watch.problems


def test_a_change_of_the_same_length_at_the_same_time_is_seen(tmp_path: Path) -> None:
    path = put(tmp_path, "box", PUBLIC + " ")
    before = path.stat()
    watch = CatalogueWatch(tmp_path, settling=0)
    put(tmp_path, "box", PRIVATE)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watch.refresh()
    assert access(watch, "box") == "PRIVATE"


def test_what_is_being_written_is_left_until_the_next_look(tmp_path: Path) -> None:
    put(tmp_path, "box", PUBLIC)
    watch = CatalogueWatch(tmp_path, settling=3600)
    put(tmp_path, "box", PRIVATE)
    assert not watch.refresh()
    put(tmp_path, "box", PRIVATE + " ")  # again: but for ever nobody waits
    assert watch.refresh()
    assert access(watch, "box") == "PRIVATE"


def test_what_says_the_same_again_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "box", PUBLIC)
    put(tmp_path, "bad", "{")
    watch = CatalogueWatch(tmp_path, settling=0)
    caplog.clear()
    put(tmp_path, "box", PUBLIC)
    (tmp_path / "apps/box/data.db").write_text("the app's own")
    assert not watch.refresh()
    assert caplog.text == ""


def test_a_file_of_authorities_is_followed_wherever_it_is(tmp_path: Path) -> None:
    put(tmp_path, "box", PUBLIC)
    settings = "upstream: https://nas.local\nupstream_ca: ../../ca.pem\n"
    (tmp_path / "apps/box/proxy.yaml").write_text(settings)
    watch = CatalogueWatch(tmp_path, settling=0)
    assert not watch.current.apps
    trusted = []
    for made in (Authority(), Authority()):
        (tmp_path / "ca.pem").write_bytes(made.pem)
        assert watch.refresh()
        trusted.append(watch.current.apps["box"].upstream.authorities)
    assert trusted[0] != trusted[1]
    (tmp_path / "ca.pem").write_text("")
    assert watch.refresh()
    assert watch.current.apps["box"].upstream.authorities == trusted[1]


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
    watch = CatalogueWatch(tmp_path, settling=0)
    assert list(watch.current.apps) == ["diary"]
    assert {str(p.file).rsplit("/", 1)[-1] for p in watch.problems} == {
        "evil", "photos", "thief",
    }  # fmt: skip
    (tmp_path / "apps/photos/proxy.yaml").write_text("upstream: http://photos-server\n")
    watch.refresh()
    assert sorted(watch.current.apps) == ["diary", "photos"]


PASSING = [errno.EMFILE, errno.ENFILE, errno.EIO, errno.ENOMEM, errno.EACCES]


def failing_at(path: Path, number: int, call: Callable[..., object]) -> Callable[..., object]:
    """Return ``call``, but for this path: there it fails."""

    def wrapped(first: object, *others: object, **named: object) -> object:
        if str(first) == str(path):
            raise OSError(number, os.strerror(number))
        return call(first, *others, **named)

    return wrapped


@pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", ["app.json", "proxy.yaml", "ca.pem"])
def test_a_file_of_an_app_that_can_t_be_read_is_read_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    path = put(tmp_path, "box", PUBLIC)
    put(tmp_path, "other", PUBLIC)
    pem = Authority().pem
    (path.parent / "ca.pem").write_bytes(pem)
    (path.parent / "proxy.yaml").write_text("upstream: https://nas.local\nupstream_ca: ca.pem\n")
    watch = CatalogueWatch(tmp_path, settling=0)
    put(tmp_path, "box", PRIVATE)
    put(tmp_path, "other", PRIVATE)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", failing_at(path.parent / name, number, os.open))
        assert watch.refresh()
        assert access(watch, "box") == "PUBLIC"
        assert access(watch, "other") == "PRIVATE"
        (problem,) = watch.problems
        assert problem.what.startswith(f"can't be read: {os.strerror(number)}")
        assert not watch.refresh()
    assert watch.refresh()
    assert access(watch, "box") == "PRIVATE"
    assert not watch.problems


@pytest.mark.parametrize("number", PASSING[2:], ids=errno.errorcode.get)
@pytest.mark.parametrize("name", ["app.json", "app_meta.json", "proxy.yaml", "."])
def test_what_can_t_be_looked_at_is_neither_gone_nor_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    path = put(tmp_path, "box", PUBLIC)
    (path.parent / "proxy.yaml").write_text("upstream: http://127.0.0.1:9001\n")
    watch = CatalogueWatch(tmp_path, settling=0)
    before = dict(watch.current.apps)
    with monkeypatch.context() as patched:
        for call in ("stat", "lstat"):
            fails = failing_at(path.parent / name, number, getattr(Path, call))
            patched.setattr(Path, call, fails)
        assert watch.refresh()
        assert dict(watch.current.apps) == before
        (problem,) = watch.problems
        assert problem.what.startswith(f"can't be read: {os.strerror(number)}")
    watch.refresh()
    watch.refresh()
    assert dict(watch.current.apps) == before
    assert not watch.problems


def test_an_app_whose_files_can_t_be_read_for_long_is_unavailable_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    path = put(tmp_path, "box", PUBLIC)
    put(tmp_path, "other", PUBLIC)
    watch = CatalogueWatch(tmp_path, settling=0, steady=lambda: clock[0])
    put(tmp_path, "box", PRIVATE)
    found = []
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", failing_at(path, errno.EIO, os.open))
        for seconds in (0, STALE_AFTER - 0.1, 0.1):
            clock[0] += seconds
            watch.refresh()
            found.append(set(watch.unavailable))
    assert found == [set(), set(), {"box"}]
    assert "nobody reaches the app" in str(watch.problems[-1])
    watch.refresh()
    assert not watch.unavailable
    assert not watch.problems


def test_where_the_folder_can_t_be_listed_for_long_every_app_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    put(tmp_path, "box", PUBLIC)
    put(tmp_path, "other", PUBLIC)
    watch = CatalogueWatch(tmp_path, settling=0, steady=lambda: clock[0])
    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", failing_at(tmp_path / "apps", errno.EMFILE, os.listdir))
        watch.refresh()
        clock[0] += STALE_AFTER
        watch.refresh()
        assert not watch.unavailable  # nothing in it was added or removed: that shows
        (tmp_path / "apps/third").mkdir()
        watch.refresh()
        clock[0] += STALE_AFTER
        watch.refresh()
        assert watch.unavailable == {"box", "other"}
    assert watch.refresh()
    assert not watch.unavailable
    assert sorted(watch.current.apps) == ["box", "other"]


def test_without_a_listing_one_app_that_changed_is_unavailable_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    path = put(tmp_path, "box", PUBLIC)
    put(tmp_path, "other", PUBLIC)
    watch = CatalogueWatch(tmp_path, settling=0, steady=lambda: clock[0])
    path.write_text(PRIVATE)
    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", failing_at(tmp_path / "apps", errno.EMFILE, os.listdir))
        patched.setattr(os, "open", failing_at(path, errno.EMFILE, os.open))
        for _ in range(2):
            watch.refresh()
            clock[0] += STALE_AFTER
        assert watch.unavailable == {"box"}
    watch.refresh()
    assert not watch.unavailable
    assert access(watch, "box") == "PRIVATE"


def test_who_may_not_be_looked_into_and_is_no_app_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "box", PUBLIC)
    (tmp_path / "apps/lost+found").mkdir()
    (tmp_path / "apps/.git").mkdir()
    real = Path.stat

    def refuse(path: Path, **named: bool) -> os.stat_result:
        if path.parent.name in {"lost+found", ".git"}:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, **named)

    monkeypatch.setattr(Path, "stat", refuse)
    watch = CatalogueWatch(tmp_path, settling=0)
    assert watch.look().value is None


def test_an_app_that_can_t_be_read_is_not_replaced_by_one_that_aims_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = (
        '{"v": "1.3", "name": "x", "entrypoints": [{"container_name": "photos-server",'
        ' "container_port": 80, "entrypoint_port": "http"}], "paths": {"": {"access": "%s"}}}'
    )
    photos = tmp_path / "apps/photos/app_meta.json"
    photos.parent.mkdir(parents=True)
    photos.write_text(meta % "private")
    watch = CatalogueWatch(tmp_path, settling=0)
    thief = tmp_path / "apps/thief/app_meta.json"
    thief.parent.mkdir()
    thief.write_text(meta % "public")
    photos.write_text(meta % "private" + " ")
    monkeypatch.setattr(os, "open", failing_at(photos, errno.EIO, os.open))
    watch.refresh()
    assert list(watch.current.apps) == ["photos"]
