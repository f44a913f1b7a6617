"""``apps token --file``: for whom the file is, from its first moment, and where none is made."""

import os
import stat
from pathlib import Path

import pytest

from proxy.cli.apps_token_file import read_group, read_mode, write_token_file
from proxy.cli.output import Stop
from tests.cli.conftest import Home

TOKEN = "T" * 43
OURS = str(os.getegid())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write(home: Home, path: Path, *words: str) -> str:
    done = home.call("apps", "token", "guestbook", "--file", str(path), *words)
    assert done.status == 0, done
    return done.stdout


def test_it_holds_the_token_and_nothing_is_printed_of_it(
    ada_with_apps: Home, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    said = write(ada_with_apps, path)
    token = ada_with_apps.call("apps", "token", "guestbook").stdout.strip()
    assert path.read_text("ascii") == token
    assert mode_of(path) == 0o600
    assert token not in said
    assert str(path) in said


def test_a_new_one_replaces_it(ada_with_apps: Home, tmp_path: Path) -> None:
    path = tmp_path / "token"
    write(ada_with_apps, path)
    before = path.read_text("ascii")
    write(ada_with_apps, path, "--rotate")
    assert path.read_text("ascii") != before
    assert (
        path.read_text("ascii") == ada_with_apps.call("apps", "token", "guestbook").stdout.strip()
    )


def test_a_group_may_read_it_where_it_is_named(ada_with_apps: Home, tmp_path: Path) -> None:
    path = tmp_path / "token"
    write(ada_with_apps, path, "--group", OURS)
    assert (mode_of(path), path.stat().st_gid) == (0o640, os.getegid())
    write(ada_with_apps, path, "--group", OURS, "--mode", "440")
    assert mode_of(path) == 0o440


def test_whatever_the_umask_is_the_mode_is_what_was_asked_for(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_token_file(tmp_path / "open", TOKEN, mode=0o600, group=None)
        os.umask(0o777)
        write_token_file(tmp_path / "closed", TOKEN, mode=0o640, group=os.getegid())
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "open") == 0o600
    assert mode_of(tmp_path / "closed") == 0o640


def test_no_group_can_read_it_before_it_is_the_one_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = os.fchown

    def fchown(number: int, user: int, group: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(number).st_mode))
        real(number, user, group)

    monkeypatch.setattr(os, "fchown", fchown)
    before = os.umask(0)
    try:
        write_token_file(tmp_path / "token", TOKEN, mode=0o640, group=os.getegid())
    finally:
        os.umask(before)
    assert seen == [0o600]


@pytest.mark.parametrize("mode", ["0644", "0666", "777", "0660", "0602", "x", "", "00640", "06400"])
def test_a_mode_that_lets_others_in_or_is_none_is_refused(mode: str) -> None:
    with pytest.raises(Stop, match="expected 0400") as refused:
        read_mode(mode, has_group=True)
    assert refused.value.status == 2


def test_a_mode_for_a_group_needs_the_group() -> None:
    with pytest.raises(Stop, match="--group"):
        read_mode("0640", has_group=False)
    assert read_mode("0640", has_group=True) == 0o640
    assert read_mode(None, has_group=True) == 0o640
    assert read_mode(None, has_group=False) == 0o600


def test_a_group_is_a_name_or_a_number() -> None:
    assert read_group("0") == 0
    assert read_group("root") == 0
    for wrong in ("no-such-group", "", "-1", "a\0b"):
        with pytest.raises(Stop, match="no such group"):
            read_group(wrong)


def test_mode_and_group_are_for_a_file(ada_with_apps: Home) -> None:
    for words in (("--mode", "0600"), ("--group", OURS)):
        refused = ada_with_apps.call("apps", "token", "guestbook", *words)
        assert refused.status == 2
        assert "--file" in refused.reason


def test_a_hyphen_is_no_file(ada_with_apps: Home) -> None:
    refused = ada_with_apps.call("apps", "token", "guestbook", "--file", "-")
    assert refused.status == 1
    assert "without --file the token is printed" in refused.reason
    assert not (ada_with_apps.path / "-").exists()


def test_nothing_is_written_over_a_link_or_what_is_no_file(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("kept", "ascii")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, told in (
        ("link", "symbolic link"), ("nowhere", "symbolic link"), ("folder", "isn't a file"),
        ("pipe", "isn't a file"),
    ):  # fmt: skip
        with pytest.raises(Stop, match=told):
            write_token_file(tmp_path / name, TOKEN, mode=0o600, group=None)
    assert target.read_text("ascii") == "kept"
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o707])
def test_a_folder_that_others_can_change_is_refused(tmp_path: Path, mode: int) -> None:
    shared = tmp_path / "shared"
    (shared / "inner").mkdir(parents=True)
    shared.chmod(mode)
    for path in (shared / "token", shared / "inner" / "token"):
        with pytest.raises(Stop, match="others can write"):
            write_token_file(path, TOKEN, mode=0o600, group=None)
        assert not path.exists()
    shared.chmod(0o1777)  # as /tmp is
    write_token_file(shared / "inner" / "token", TOKEN, mode=0o600, group=None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 4711, 4711)
    with pytest.raises(Stop, match="belongs to user 4711"):
        write_token_file(theirs / "token", TOKEN, mode=0o600, group=None)


def test_a_refused_place_costs_no_token(ada_with_apps: Home, tmp_path: Path) -> None:
    token = ada_with_apps.call("apps", "token", "guestbook").stdout
    refused = ada_with_apps.call(
        "apps", "token", "guestbook", "--rotate", "--file", str(tmp_path / "missing" / "token")
    )
    assert refused.status == 1
    assert ada_with_apps.call("apps", "token", "guestbook").stdout == token
