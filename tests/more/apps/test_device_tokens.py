"""Native clients as their authors left them, at private paths, by a token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.more.apps.stage import Both, manifest
from tests.more.apps.test_apps_page import _GIT, _LIGHTTPD, _needs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.more.apps.stage import App, Stage
    from tests.wire.harness.portals import Portal

pytestmark = pytest.mark.more

ON = "device_tokens: true\n"
PRIVATE = manifest(rest="private")


def token_of(portal: Portal, app: str, name: str) -> str:
    words = ("terminals", "add", "--token", "--app", app, "--name", name, "--json")
    done = portal.command(*words)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["token"])


def callers(portal: Portal, app: str) -> set[str]:
    portal.settled_log()
    lines = portal.lines(app=app, outcome="answered")
    return {str(line.get("caller_name")) for line in lines}


def _git_server(stage: Stage) -> App:
    text = _LIGHTTPD.replace("{folder}", str(stage.folder))
    config = stage.folder / "lighttpd.conf"
    return stage.run_with({config: text}, "git", "lighttpd", "-D", "-f", config)


def test_git_clones_and_pushes_what_is_private(stage: Stage) -> None:
    _needs("lighttpd", "git")
    repository = stage.folder / "repositories" / "things.git"
    home = {**_GIT, "HOME": str(stage.folder)}
    stage.say("git", "init", "-q", "--bare", "-b", "main", repository, **home)
    behind = stage.behind(_git_server(stage), {"": "private"}, ON, name="git")
    token = token_of(behind.portal, "git", "Laptop's git")
    ask = stage.folder / "askpass"
    ask.write_text(f"#!/bin/sh\necho {token}\n", "ascii")
    ask.chmod(0o700)
    known = {**home, "GIT_ASKPASS": str(ask)}
    url = f"http://anybody@{behind.host}/things.git"
    work = stage.folder / "work"

    with pytest.raises(AssertionError, match=r"Authentication failed|could not read Password"):
        stage.say("git", "clone", "-q", url, work, **{**home, "GIT_ASKPASS": "/bin/true"})
    stage.say("git", "clone", "-q", url, work, **known)
    (work / "large").write_bytes(bytes(range(256)) * (12 << 10))  # more than http.postBuffer
    for words in (
        ("add", "."), ("commit", "-q", "-m", "one"), ("push", "-q", "origin", "HEAD:main")
    ):  # fmt: skip
        stage.say("git", "-C", work, *words, **known)
    again = stage.folder / "again"
    bearer = ("-c", f"http.extraHeader=Authorization: Bearer {token}")
    plain_url = url.replace("anybody@", "")
    stage.say("git", *bearer, "clone", "-q", plain_url, again, **home)
    assert (again / "large").read_bytes() == (work / "large").read_bytes()
    assert callers(behind.portal, "git") == {"Laptop's git"}


@pytest.fixture(scope="module")
def dav(stage: Stage) -> Both:
    """Give wsgidav, all of it private, behind a Portal."""
    root = stage.folder / "root"
    root.mkdir()
    (root / "a.txt").write_text("mine", "ascii")
    settings = {
        "provider_mapping": {"/": str(root)},
        "simple_dc": {"user_mapping": {"*": True}},
        "property_manager": True,
        "lock_storage": True,
    }
    config = stage.folder / "dav.json"
    config.write_text(json.dumps(settings), "utf-8")
    app = stage.run("dav", "wsgidav", "--host=127.0.0.1", "--port={port}", f"--config={config}")
    portal = stage.portal("Files")
    portal.add_app("files", PRIVATE, app.port, ON)
    return Both(app, portal.start(), "files")


def test_a_dav_client_works_at_what_is_private(stage: Stage, dav: Both) -> None:
    token = token_of(dav.portal, "files", "Phone's DAV")

    told: dict[str, Any] = stage.client("dav_client.py", f"http://{dav.host}/", "anybody", token)

    assert told["saw"]["read"] == "free again"
    assert told["saw"]["cleaned"] is True
    methods = {method for method, _, _ in told["exchanges"]}
    assert {"MKCOL", "PROPFIND", "PUT", "MOVE", "COPY", "LOCK", "DELETE"} <= methods
    assert callers(dav.portal, "files") == {"Phone's DAV"}
    assert token not in dav.app.log + dav.portal.log


@pytest.mark.parametrize("how", [("--basic",), ("--anyauth",), ("--netrc",), ("--oauth2-bearer",)])
def test_curl_comes_in(stage: Stage, dav: Both, tmp_path: Path, how: tuple[str, ...]) -> None:
    token = token_of(dav.portal, "files", "Script")
    if how == ("--netrc",):
        host = dav.host.partition(":")[0]
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine {host}\nlogin anybody\npassword {token}\n", "ascii")
        shown: tuple[str, ...] = ("--netrc-file", str(netrc))
    elif how == ("--oauth2-bearer",):
        shown = (*how, token)
    else:
        shown = (*how, "--user", f"anybody:{token}")

    got = stage.say("curl", "-sS", "--fail-with-body", *shown, f"http://{dav.host}/a.txt")

    assert got == "mine"
    with pytest.raises(AssertionError, match="device_token_refused"):
        stage.say(
            "curl",
            "-sS",
            "--fail-with-body",
            "--user",
            f":{token[:-1]}",
            f"http://{dav.host}/a.txt",
        )


_OF_OWNER = json.dumps(
    {
        "v": "3.2",
        "port": 80,
        "paths": {
            "": {"access": "private", "headers": {"X-Remote-User": "{{ auth.client_name }}"}}
        },
    }
)
"""Radicale takes the name of its user from the proxy: no accounts, no passwords of its own."""


def test_a_calendar_client_works_at_what_is_private(stage: Stage) -> None:
    lines = ["[storage]", f"filesystem_folder={stage.folder / 'cal'}", "[auth]"]
    config = stage.folder / "cal.ini"
    config.write_text("\n".join([*lines, "type=http_x_remote_user", ""]), "utf-8")
    options = (f"--config={config}", "--server-hosts=127.0.0.1:{port}")
    app = stage.run("cal", "python", "-m", "radicale", *options)
    portal = stage.portal("Cal")
    portal.add_app("calendar", _OF_OWNER, app.port, ON)
    portal.start()
    token = token_of(portal, "calendar", "Phone")

    told = stage.client(
        "caldav_client.py", f"http://{portal.app_host('calendar')}/", "anybody", token
    )

    assert told["saw"]["principal"] == "/Phone/"
    assert told["saw"]["changed"] == ["Dentist, later"]
    assert told["saw"]["left"] == 0
    assert callers(portal, "calendar") == {"Phone"}
