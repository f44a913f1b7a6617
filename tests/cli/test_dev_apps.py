"""What ``dev`` is told of apps: the addresses, the app.json, and every way to get them wrong."""

from pathlib import Path

import pytest

from proxy.cli.dev_apps import destination_of, read_apps
from proxy.cli.output import Stop


def test_an_address_is_for_each_portal_in_their_order(tmp_path: Path) -> None:
    (app,) = read_apps(["chat=http://127.0.0.1:3000/,3001, HTTPS://App.Example"], [], tmp_path)
    assert app.name == "chat"
    assert app.upstreams == (
        "http://127.0.0.1:3000", "http://127.0.0.1:3001", "https://app.example",
    )  # fmt: skip
    assert app.manifest is None


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ([], "--app chat=http://127.0.0.1:3000,http://127.0.0.1:3001"),
        (["chat"], "NAME=ADDRESS,ADDRESS"),
        (["=3000,3001"], "can't be an app's name"),
        (["Chat=3000,3001"], "can't be an app's name"),
        (["../x=3000,3001"], "can't be an app's name"),
        (["chat=3000"], "two of it are needed"),
        (["chat="], "expected http://host:port"),
        (["chat=3000,"], "expected http://host:port"),
        (["chat=127.0.0.1:3000,3001"], "did you mean http://127.0.0.1:3000?"),
        (["chat=app:3000,3001"], "did you mean http://app:3000?"),
        (["chat=ftp://a:1,3001"], "expected http://host:port"),
        (["chat=http://a/path,3001"], "expected http://host:port"),
        (["chat=http://u:p@a,3001"], "expected http://host:port"),
        (["chat=0,3001"], "expected http://host:port"),
        (["chat=65536,3001"], "unix:path, or a port alone, not '65536'"),
        (["chat=3000,3000"], "given twice"),
        (["chat=3000,http://127.0.0.1:3000"], "given twice"),
        (["chat=http://localhost:3000,http://[::1]:3000"], "given twice"),
        (["chat=3000,3001", "files=3002,http://localhost:3001"], "given twice, for files and chat"),
        (["chat=3000,3001", "chat=3002,3003"], "given twice"),
        (["chat=unix:,3001"], "expected a path after unix:"),
        (["chat=unix:/a/b,unix:/a/../a/b"], "given twice"),
        (["chat=unix:/" + "x" * 200 + ",3001"], "at most"),
        (["chat=unix:/a\x1b,3001"], "expected a path"),
        (["chat=" + ",".join(map(str, range(3000, 3009)))], "at most 8"),
    ],
)
def test_what_cant_be_meant_is_refused_with_what_could_be(
    typed: list[str], told: str, tmp_path: Path
) -> None:
    with pytest.raises(Stop) as refused:
        read_apps(typed, [], tmp_path)
    assert told in refused.value.reason
    assert refused.value.status == 2


def test_an_app_may_be_at_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    (app,) = read_apps(["chat=unix:run/a: b #.sock,unix:~/b.sock,3002"], [], tmp_path)
    assert app.upstreams == (
        f"unix:{tmp_path}/run/a: b #.sock", "unix:/home/ada/b.sock", "http://127.0.0.1:3002",
    )  # fmt: skip
    assert app.ports == (3002,)
    assert destination_of(app.upstreams[0]).unix == f"{tmp_path}/run/a: b #.sock"


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}", "ascii")
    return path


def test_the_authors_file_is_found_beside_the_app(tmp_path: Path) -> None:
    here = write(tmp_path / "app.json")
    (app,) = read_apps(["chat=1,2"], [], tmp_path)
    assert app.manifest == here
    of_its_own = write(tmp_path / "chat" / "app_meta.json")
    (app,) = read_apps(["chat=1,2"], [], tmp_path)
    assert app.manifest == of_its_own
    chat, files = read_apps(["chat=1,2", "files=3,4"], [], tmp_path)
    assert (chat.manifest, files.manifest) == (of_its_own, None)


def test_the_authors_file_may_be_named(tmp_path: Path) -> None:
    named = write(tmp_path / "elsewhere" / "dev.json")
    write(tmp_path / "app.json")
    (app,) = read_apps(["chat=1,2"], [str(named)], tmp_path)
    assert app.manifest == named
    in_folder = write(tmp_path / "elsewhere" / "app.json")
    chat, files = read_apps(
        ["chat=1,2", "files=3,4"], [f"files={in_folder.parent}", f"chat={named}"], tmp_path
    )
    assert (chat.manifest, files.manifest) == (named, in_folder)


def test_a_file_that_isnt_there_or_isnt_the_only_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for named, told in ((tmp_path / "gone", "there is no file"), (tmp_path / "empty", "holds no")):
        with pytest.raises(Stop, match=told):
            read_apps(["chat=1,2"], [str(named)], tmp_path)
    with pytest.raises(Stop, match="say whose it is"):
        read_apps(["chat=1,2", "files=3,4"], [str(tmp_path)], tmp_path)
    write(tmp_path / "app.json")
    with pytest.raises(Stop, match="has two"):
        read_apps(["chat=1,2"], [str(tmp_path), f"chat={tmp_path}"], tmp_path)
    write(tmp_path / "app_meta.json")
    with pytest.raises(Stop, match="say which counts"):
        read_apps(["chat=1,2"], [], tmp_path)
