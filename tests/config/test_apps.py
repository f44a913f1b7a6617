"""The catalogue: one bad app never stops the others, and every problem of every file is told."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from proxy.config.apps import App, load_catalogue
from proxy.core.access.policy import Access
from proxy.core.app_fields import FieldPolicy
from proxy.core.http.origin import Origin
from proxy.http.upstream import Destination
from tests.certificates import authority

_PRIVATE = {"": {"access": "private"}}


def _write(
    config: Path, app: str, file: Any, *, kind: str = "app.json", settings: str = ""
) -> Path:
    folder = config / "apps" / app
    folder.mkdir(parents=True, exist_ok=True)
    (folder / kind).write_text(file if isinstance(file, str) else json.dumps(file), "utf-8")
    if settings:
        (folder / "proxy.yaml").write_text(settings, "utf-8")
    return folder


def _file(**more: Any) -> dict[str, Any]:
    return {"v": "3.2", "port": 8000, "paths": _PRIVATE, **more}


def _problems(config: Path) -> list[str]:
    apps = str(config / "apps")
    return [str(problem).removeprefix(apps) for problem in load_catalogue(config).problems]


def test_every_folder_is_an_app(tmp_path: Path) -> None:
    _write(tmp_path, "guestbook", _file())
    point = {"container_name": "web", "container_port": 80, "entrypoint_port": "http"}
    meta = {"v": "1.3", "paths": {"": {"access": "public"}}, "entrypoints": [point]}
    _write(tmp_path, "photos", meta, kind="app_meta.json")
    (tmp_path / "apps" / ".git").mkdir()
    catalogue = load_catalogue(tmp_path)
    assert catalogue.problems == catalogue.notices == ()
    assert list(catalogue.apps) == ["guestbook", "photos"]
    assert catalogue.apps["guestbook"].upstream == Destination(Origin("http", "guestbook", 8000))
    assert catalogue.apps["guestbook"].rules.uniform_access is Access.PRIVATE
    assert catalogue.apps["photos"].upstream == Destination(Origin("http", "web", 80))
    assert catalogue.apps["photos"].token_file is None


def test_the_owners_settings_replace_the_authors_upstream(tmp_path: Path) -> None:
    settings = "upstream: http://127.0.0.1:9001\ntoken_file: run/token\n"
    file = _file()
    del file["port"]
    folder = _write(tmp_path, "guestbook", file, settings=settings)
    app: App = load_catalogue(tmp_path).apps["guestbook"]
    assert app.upstream == Destination(Origin("http", "127.0.0.1", 9001))
    assert app.token_file == folder / "run/token"
    (folder / "proxy.yaml").write_text("token_file: /run/guestbook/token\nupstream: http://a\n")
    assert load_catalogue(tmp_path).apps["guestbook"].token_file == Path("/run/guestbook/token")


def test_the_owner_says_what_reaches_an_app_of_a_clients_fields(tmp_path: Path) -> None:
    _write(tmp_path, "guestbook", _file())
    app = load_catalogue(tmp_path).apps["guestbook"]
    assert (app.host, app.fields) == (None, FieldPolicy(underscores=False, dropped=frozenset()))
    assert app.peer_scheme == "http"
    settings = "host: Box.Lan:8384\nunderscores: pass\ndrop_fields: [X-Mine, my_other]\n"
    settings += "peer_scheme: https\n"
    _write(tmp_path, "guestbook", _file(), settings=settings)
    app = load_catalogue(tmp_path).apps["guestbook"]
    assert app.host == b"Box.Lan:8384"
    assert app.peer_scheme == "https"
    assert app.fields == FieldPolicy(underscores=True, dropped=frozenset({b"x-mine", b"my-other"}))


@pytest.mark.parametrize(("text", "taken"), [("true", True), ("false", False), ("'true'", True)])
def test_an_app_takes_tokens_of_devices_where_its_owner_says_so(
    tmp_path: Path, text: str, *, taken: bool
) -> None:
    _write(tmp_path, "guestbook", _file())
    assert not load_catalogue(tmp_path).apps["guestbook"].device_tokens
    _write(tmp_path, "guestbook", _file(), settings=f"device_tokens: {text}\n")
    assert load_catalogue(tmp_path).apps["guestbook"].device_tokens is taken


@pytest.mark.parametrize("text", ["localhost", "127.0.0.1:8384", "'[::1]:80'", "a_b.example"])
def test_an_app_may_be_told_any_host(tmp_path: Path, text: str) -> None:
    _write(tmp_path, "guestbook", _file(), settings=f"host: {text}\n")
    assert load_catalogue(tmp_path).apps["guestbook"].host == text.strip("'").encode()


@pytest.mark.parametrize(
    ("text", "unix"),
    [("unix:run/app.sock", "run/app.sock"), ("unix:/run/a b.sock", "/run/a b.sock")],
)
def test_an_app_may_be_behind_a_socket_file(tmp_path: Path, text: str, unix: str) -> None:
    folder = _write(tmp_path, "guestbook", _file(), settings=f"upstream: {text}\n")
    upstream = load_catalogue(tmp_path).apps["guestbook"].upstream
    assert upstream.unix == str(folder / unix)
    assert upstream.origin.scheme == "http"
    assert str(upstream) == f"unix:{folder / unix}"


def test_an_app_may_be_behind_tls_and_an_authority_of_the_owners(tmp_path: Path) -> None:
    ca = authority().pem
    (tmp_path / "ca.pem").write_bytes("# für zu Hause\n".encode("latin-1") + ca + b"and more\n")
    settings = "upstream: https://NAS.local\nupstream_ca: ../../ca.pem\napp_answer: 10m\n"
    _write(tmp_path, "guestbook", _file(), settings=settings)
    _write(tmp_path, "photos", _file(), settings="upstream: https://[fd00::1]:8443\n")
    catalogue = load_catalogue(tmp_path)
    app = catalogue.apps["guestbook"]
    assert app.upstream.origin == Origin("https", "nas.local", 443)
    assert app.upstream.authorities == ca.decode().strip()
    assert app.answer_timeout == 600
    assert [path.resolve() for path in catalogue.sources] == [(tmp_path / "ca.pem").resolve()]
    other = catalogue.apps["photos"]
    assert other.upstream == Destination(Origin("https", "[fd00::1]", 8443))
    assert other.answer_timeout is None


@pytest.mark.parametrize("content", [b"", b"x", authority().pem[:200], authority().issue("a")[1]])
def test_a_broken_file_of_authorities_is_told_and_watched(tmp_path: Path, content: bytes) -> None:
    settings = "upstream: https://nas.local\nupstream_ca: ca.pem\n"
    folder = _write(tmp_path, "guestbook", _file(), settings=settings)
    (folder / "ca.pem").write_bytes(content)
    catalogue = load_catalogue(tmp_path)
    assert _problems(tmp_path) == [
        "/guestbook/ca.pem: holds no certificates in PEM that can be read"
    ]
    assert folder / "ca.pem" in catalogue.sources


@pytest.mark.parametrize("place", ["unix:/run/docker.sock", "https://evil.example", "a:1", "a/b"])
def test_an_authors_file_names_neither_sockets_nor_hosts(tmp_path: Path, place: str) -> None:
    point = {"container_name": place, "container_port": 80, "entrypoint_port": "http"}
    meta = {"v": "1.3", "paths": _PRIVATE, "entrypoints": [point]}
    _write(tmp_path, "evil", meta, kind="app_meta.json")
    _write(tmp_path, "mean", _file(port=place))
    _write(tmp_path, "extra", _file(upstream=place, host=place))
    catalogue = load_catalogue(tmp_path)
    assert dict(catalogue.apps) == {
        "extra": App("extra", catalogue.apps["extra"].rules, _own("extra"))
    }
    assert catalogue.broken == {"evil", "mean"}


def _own(app: str) -> Destination:
    return Destination(Origin("http", app, 8000))


def test_no_apps_folder_is_no_apps(tmp_path: Path) -> None:
    catalogue = load_catalogue(tmp_path)
    assert (dict(catalogue.apps), catalogue.problems) == ({}, ())


def test_all_problems_of_all_files_are_told_in_one_pass_and_good_apps_stay(tmp_path: Path) -> None:
    _write(tmp_path, "good", _file())
    _write(tmp_path, "both", _file())
    _write(tmp_path, "both", _file(), kind="app_meta.json")
    (tmp_path / "apps" / "neither").mkdir()
    _write(tmp_path, "Upper_case", _file())
    no_port = _file()
    del no_port["port"]
    _write(tmp_path, "nowhere", no_port)
    settings = "upstream: ftp://a\ntoken: b\n"
    _write(tmp_path, "wrong", {"v": "3.2", "port": 0, "paths": {}}, settings=settings)
    _write(tmp_path, "broken", "{", settings="&a")
    catalogue = load_catalogue(tmp_path)
    assert list(catalogue.apps) == ["good"]
    assert catalogue.broken == {"both", "nowhere", "wrong", "broken"}
    assert _problems(tmp_path) == [
        ": 'Upper_case': an app's folder has the app's name: a-z, 0-9 and hyphens, at most 63",
        "/both: both app.json and app_meta.json; expected one of the two",
        (
            "/broken/app.json: line 1, column 2: not JSON: "
            "Expecting property name enclosed in double quotes"
        ),
        "/broken/proxy.yaml: line 1, column 1: an anchor (&); expected the value alone",
        "/neither: no app.json or app_meta.json; expected one of the two",
        "/nowhere: doesn't say where the app listens; expected upstream in its proxy.yaml",
        "/wrong/app.json: port: expected a port from 1 to 65535, not 0",
        (
            "/wrong/proxy.yaml: upstream: expected http://host:port, https://host:port or "
            "unix:path, not 'ftp://a'"
        ),
        "/wrong/proxy.yaml: token: isn't known; did you mean token_file?",
    ]


def test_notices_name_file_and_place(tmp_path: Path) -> None:
    _write(tmp_path, "guestbook", _file(name="guest"))
    (tmp_path / "apps" / "README").write_text("")
    notices = load_catalogue(tmp_path).notices
    assert [(notice.file, notice.place) for notice in notices] == [
        (str(tmp_path / "apps"), "'README'"),
        (str(tmp_path / "apps" / "guestbook" / "app.json"), "name"),
    ]


def test_two_apps_never_share_a_token_file(tmp_path: Path) -> None:
    _write(tmp_path, "a", _file(), settings="token_file: /run/x/../token")
    _write(tmp_path, "b", _file(), settings="token_file: /run/token")
    catalogue = load_catalogue(tmp_path)
    assert list(catalogue.apps) == ["a"]
    (problem,) = catalogue.problems
    assert (problem.place, problem.what) == (
        "token_file",
        "'/run/token' is the token file of a too",
    )


_EXPECTED = "expected http://host:port, https://host:port or unix:path"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("upstream: 127.0.0.1:80", f"upstream: {_EXPECTED}, not '127.0.0.1:80'"),
        ("upstream: http://a/path", f"upstream: {_EXPECTED}, not 'http://a/path'"),
        ("upstream: https://u@a", f"upstream: {_EXPECTED}, not 'https://u@a'"),
        ("upstream: http+unix:/a", f"upstream: {_EXPECTED}, not 'http+unix:/a'"),
        ("upstream:", f"upstream: {_EXPECTED}, not ''"),
        ("upstream: 'unix:'", "upstream: expected a path after unix:"),
        (f"upstream: unix:{'a' * 108}", "upstream: expected a path of at most 107 bytes"),
        ("app_answer: 8d", "app_answer: expected a time from 0.1s to 7d, such as 30s, not '8d'"),
        ("app_answer: soon", "app_answer: expected a time from 0.1s to 7d"),
        (
            "{upstream_ca: ../../ca.pem, upstream: 'http://a'}",
            "upstream_ca: says whom to believe that the app is the app, which only an https",
        ),
        *(
            (f"host: '{text}'", f"host: expected host or host:port, not {text!r}")
            for text in (
                "",
                "a b",
                "http://a",
                "a/",
                "a/b",
                "u@a",
                "a:0",
                "a:65536",
                "a?b",
                "a, b",
                "a:",
                "\u00e4",
                ":80",
                "[::1",
            )
        ),
        ("underscores: yes", "underscores: expected 'drop' or 'pass', not 'yes'"),
        ("peer_scheme: ws", "peer_scheme: expected 'http' or 'https', not 'ws'"),
        ("device_tokens: yes", "device_tokens: expected 'true' or 'false', not 'yes'"),
        ("device_tokens: [true]", "device_tokens: expected 'true' or 'false', not a list"),
        ("drop_fields: X-A", "drop_fields: expected a list"),
        ("drop_fields: ['X A']", "drop_fields[0]: expected the name of a field, not 'X A'"),
        ("drop_fields: ['']", "drop_fields[0]: expected the name of a field, not ''"),
        ("token_file: ''", "token_file: expected a path"),
        ("[]", "expected keys with values, not a list"),
    ],
)
def test_a_wrong_setting_keeps_the_app_out(tmp_path: Path, settings: str, problem: str) -> None:
    (tmp_path / "ca.pem").write_bytes(authority().pem)
    _write(tmp_path, "guestbook", _file(), settings=settings)
    (found,) = _problems(tmp_path)
    assert found.startswith(f"/guestbook/proxy.yaml: {problem}")
    assert not load_catalogue(tmp_path).apps


def test_a_broken_file_keeps_the_last_good_app_and_says_so(tmp_path: Path) -> None:
    _write(tmp_path, "guestbook", _file())
    folder = _write(tmp_path, "photos", _file())
    before = load_catalogue(tmp_path)
    _write(tmp_path, "guestbook", '{"v": "3.2", "paths": {"": {"access": "publik"}}}')
    (folder / "app.json").unlink()
    folder.rmdir()
    _write(tmp_path, "added", _file())
    after = load_catalogue(tmp_path).after(before)
    assert sorted(after.apps) == ["added", "guestbook"]
    assert after.apps["guestbook"] == before.apps["guestbook"]
    assert [problem.place for problem in after.problems] == ["paths.''.access"]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "apps" / "pipe"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "app.json")
    assert _problems(tmp_path) == ["/pipe/app.json: expected a file"]


def test_an_apps_folder_that_is_none_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "apps").write_text("")
    (problem,) = _problems(tmp_path)
    assert problem.startswith(": can't be read: Not a directory")


def test_mounted_files_may_be_links(tmp_path: Path) -> None:
    folder = _write(tmp_path, "guestbook", _file())
    (folder / "app.json").rename(tmp_path / "elsewhere.json")
    (folder / "app.json").symlink_to(tmp_path / "elsewhere.json")
    assert list(load_catalogue(tmp_path).apps) == ["guestbook"]
    (tmp_path / "elsewhere.json").unlink()
    assert _problems(tmp_path) == ["/guestbook/app.json: can't be read: No such file or directory"]
