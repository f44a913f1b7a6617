"""The settings on docs/apps.md: each app works with them behind the proxy, and not without.

An app runs as Debian or npm has it, and is asked as its own pages or clients ask it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.more.apps.stage import App, Stage
from tests.wire.harness.raw import exchange, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.sockets import dial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.more.apps.stage import Behind

pytestmark = pytest.mark.more

_HERE = Path(__file__).parent
_NODE = _HERE / "node_modules"
_HOST = "host: localhost\n"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def _needs(*commands: str) -> None:
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"no {command} here")
    if "node" in commands and not _NODE.exists():
        pytest.skip("no node_modules here")


# --- Syncthing and Transmission check Host, and trust this machine ------------------------------


def _syncthing(stage: Stage) -> App:
    _needs("syncthing")
    return stage.run(
        "syncthing", "syncthing", "serve", f"--home={stage.folder / 'home'}", "--no-browser",
        "--no-default-folder", "--gui-address=127.0.0.1:{port}", "--logflags=0",
    )  # fmt: skip


def test_syncthing(stage: Stage) -> None:
    app = _syncthing(stage)
    behind = stage.behind(app, {"": "private"}, _HOST)

    page = behind.ask("GET", "/", behind.phone)
    assert page.status == 200
    assert b"Syncthing" in page.body
    # As its page does: a cookie that comes with it, and a field that repeats it.
    cookies = [value.decode().partition(";")[0] for value in page.all("set-cookie")]
    (csrf,) = (cookie.partition("=") for cookie in cookies if cookie.startswith("CSRF-Token"))
    both = ("Cookie", f"{behind.phone[1]}; {csrf[0]}={csrf[2]}")
    asked = behind.ask("GET", "/rest/system/status", both, (f"X-{csrf[0]}", csrf[2]))
    assert asked.status == 200
    assert asked.json()["myID"]
    events = behind.ask("GET", "/rest/events?since=0&timeout=2", both, (f"X-{csrf[0]}", csrf[2]))
    assert events.status == 200
    assert behind.ask("GET", "/").code == "proof_required"


def test_syncthing_without_its_host(stage: Stage) -> None:
    behind = stage.behind(_syncthing(stage), {"": "public"})

    # It takes every name below localhost for its own, and no other.
    assert b"Host check error" in behind.ask("GET", "/", host="app.bob.example").body
    config = (stage.folder / "home/config.xml").read_text("utf-8")
    (key,) = re.findall("<apikey>(.*)</apikey>", config)
    raw = request(
        "PATCH", "/rest/config/gui", ("Host", "localhost"), ("X-API-Key", key),
        body=b'{"insecureSkipHostcheck": true}',
    )  # fmt: skip
    assert exchange(behind.app.port, raw).status == 200
    assert eventually(lambda: behind.ask("GET", "/", host="app.bob.example").status == 200)


def test_syncthing_is_everybodys_where_it_is_public(stage: Stage) -> None:
    """It asks nobody on loopback for a password, and the proxy comes from there."""
    behind = stage.behind(_syncthing(stage), {"": "public"}, _HOST)

    page = behind.ask("GET", "/")
    (cookie,) = (value.decode().partition(";")[0] for value in page.all("set-cookie"))
    name, _, value = cookie.partition("=")
    got = behind.ask("GET", "/rest/config", ("Cookie", cookie), (f"X-{name}", value))
    assert got.status == 200
    assert "apiKey" in got.json()["gui"]


def _transmission(stage: Stage, **settings: Any) -> App:
    _needs("transmission-daemon")
    home = stage.folder / "home"
    home.mkdir()
    own = {"dht-enabled": False, "lpd-enabled": False, "port-forwarding-enabled": False}
    (home / "settings.json").write_text(json.dumps({**own, **settings}), "utf-8")
    return stage.run(
        "transmission", "transmission-daemon", "--foreground", "--config-dir", home,
        "--port", "{port}", "--rpc-bind-address", "127.0.0.1", "--peerport", "0",
    )  # fmt: skip


_SESSION = json.dumps({"method": "session-get"}).encode()
_RPC = "/transmission/rpc"


@pytest.mark.parametrize("way", ["host", "whitelist"])
def test_transmission(stage: Stage, way: str) -> None:
    whitelist = "*.portal.localhost" if way == "whitelist" else ""
    app = _transmission(stage, **{"rpc-host-whitelist": whitelist})
    behind = stage.behind(app, {"": "private"}, _HOST if way == "host" else "")

    assert behind.ask("GET", "/transmission/web/", behind.phone).status == 200
    first = behind.ask("POST", _RPC, behind.phone, body=_SESSION)
    assert first.status == 409
    session = ("X-Transmission-Session-Id", first.one("x-transmission-session-id").decode())
    asked = behind.ask("POST", _RPC, behind.phone, session, body=_SESSION)
    assert asked.json()["result"] == "success"
    assert behind.ask("POST", _RPC, session, body=_SESSION).code == "proof_required"


def test_transmission_without_its_host(stage: Stage) -> None:
    behind = stage.behind(_transmission(stage), {"": "public"})

    assert behind.ask("POST", _RPC, body=_SESSION).status == 421


def test_transmission_is_everybodys_where_it_is_public(stage: Stage) -> None:
    behind = stage.behind(_transmission(stage), {"": "public"}, _HOST)

    session = behind.ask("POST", _RPC, body=_SESSION).one("x-transmission-session-id").decode()
    got = behind.ask("POST", _RPC, ("X-Transmission-Session-Id", session), body=_SESSION)
    assert got.json()["result"] == "success"


# --- qBittorrent checks the port in Host, and Origin against X-Forwarded-Host --------------------

_FORM = ("Content-Type", "application/x-www-form-urlencoded")
_VERSION = "/api/v2/app/version"


def _qbittorrent(stage: Stage, *settings: str) -> Behind:
    _needs("qbittorrent-nox")
    folder = stage.folder / "qBittorrent/config"
    folder.mkdir(parents=True)
    said = "[LegalNotice]\nAccepted=true\n[Preferences]\nWebUI\\ServerDomains=localhost\n"
    (folder / "qBittorrent.conf").write_text(said, "utf-8")
    app = stage.run(
        "qbittorrent", "qbittorrent-nox", f"--profile={stage.folder}", "--webui-port={port}"
    )
    return stage.behind(app, {"": "public"}, *settings)


def test_qbittorrent(stage: Stage) -> None:
    behind = _qbittorrent(stage, _HOST)
    own = ("Origin", f"http://{behind.host}")

    form = b"username=admin&password=adminadmin"
    in_ = behind.ask("POST", "/api/v2/auth/login", own, _FORM, body=form)
    assert in_.body == b"Ok."
    cookie = ("Cookie", in_.one("set-cookie").decode().partition(";")[0])
    assert behind.ask("GET", _VERSION, own, cookie).body.startswith(b"v")
    assert behind.ask("GET", _VERSION, ("Origin", "http://evil.example"), cookie).status == 401
    assert behind.ask("GET", _VERSION).status == 403


def test_qbittorrent_without_its_host(stage: Stage) -> None:
    behind = _qbittorrent(stage)

    for host in (behind.host, "app.bob.example"):
        assert behind.ask("GET", "/", host=host).status == 401


# --- what is told in Location -----------------------------------------------------------------

_NGINX = """
daemon off; pid {folder}/pid; error_log /dev/null; worker_processes 1; master_process off;
events {}
http {
  access_log /dev/null;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server { listen 127.0.0.1:{port}; root {folder}/files; {more} }
}
"""


@pytest.mark.parametrize("more", ["absolute_redirect off;", ""])
def test_nginx(stage: Stage, more: str) -> None:
    _needs("nginx")
    (stage.folder / "files/folder").mkdir(parents=True)
    (stage.folder / "files/folder/index.html").write_text("a page", "utf-8")
    config = stage.folder / "nginx.conf"
    text = _NGINX.replace("{folder}", str(stage.folder)).replace("{more}", more)
    app = stage.run_with({config: text}, "nginx", "nginx", "-c", config)
    behind = stage.behind(app, {"": "public"})

    location = behind.ask("GET", "/folder").one("location").decode()
    assert behind.ask("GET", "/folder/").body == b"a page"
    if more:
        assert location == "/folder/"
    else:  # its own port, which nobody reaches
        assert location.endswith(f":{app.port}/folder/")


@pytest.mark.parametrize("told", ["respect", "relative", "nothing"])
def test_tus(stage: Stage, told: str) -> None:
    _needs("node")
    folder = stage.folder / "uploads"
    folder.mkdir()
    app = stage.run("tus", "node", _HERE / "tus_server.mjs", "{port}", folder, told)
    behind = stage.behind(app, {"": "private", "/files": "public"}, "host: app.lan\n")

    fields = (("Tus-Resumable", "1.0.0"), ("Upload-Length", "5"))
    location = behind.ask("POST", "/files", *fields, body=b"").one("location").decode()
    if told == "nothing":  # what the app itself is called
        assert location.partition("/files/")[0].endswith("//app.lan")
        return
    base = f"http://{behind.host}" if told == "respect" else ""
    assert location.startswith(f"{base}/files/")
    uploaded = stage.say(
        "node", _HERE / "clients/tus_client.mjs", f"http://{behind.host}/files", "1000000"
    )
    place = json.loads(uploaded)["url"]
    assert place.startswith(f"http://{behind.host}/files/")
    assert (folder / place.rpartition("/")[2]).stat().st_size == 1_000_000


_REGISTRY = """
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: {folder}/images}, delete: {enabled: true}}
http: {addr: "127.0.0.1:{port}", relativeurls: {relative}}
"""


@pytest.mark.parametrize("relative", ["true", "false"])
def test_docker_registry(stage: Stage, relative: str) -> None:
    _needs("docker-registry")
    config = stage.folder / "registry.yml"
    text = _REGISTRY.replace("{folder}", str(stage.folder)).replace("{relative}", relative)
    app = stage.run_with({config: text}, "registry", "docker-registry", "serve", config)
    behind = stage.behind(app, {"": "public"}, "" if relative == "true" else "host: app.lan\n")
    blob = b"a layer" * 100_000
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"

    assert behind.ask("GET", "/v2/").status == 200
    begun = behind.ask("POST", "/v2/mine/thing/blobs/uploads/", body=b"")
    place = begun.one("location").decode()
    own = re.sub(r"^https?://[^/]+", "", place)
    assert place == own if relative == "true" else place.startswith(f"http://{behind.host}/")
    sent = behind.ask("PATCH", own, ("Content-Type", "application/octet-stream"), body=blob)
    assert sent.status == 202
    own = re.sub(r"^https?://[^/]+", "", sent.one("location").decode())
    done = behind.ask("PUT", f"{own}&digest={digest.replace(':', '%3A')}", body=b"")
    assert done.status == 201
    assert behind.ask("GET", f"/v2/mine/thing/blobs/{digest}").body == blob


# --- git over lighttpd ------------------------------------------------------------------------

_LIGHTTPD = """
server.document-root = "{folder}"
server.port = {port}
server.bind = "127.0.0.1"
server.modules = ("mod_alias", "mod_setenv", "mod_cgi")
alias.url = ("" => "/usr/lib/git-core/git-http-backend")
cgi.assign = ("" => "")
setenv.set-environment = (
  "GIT_PROJECT_ROOT" => "{folder}/repositories", "GIT_HTTP_EXPORT_ALL" => ""
)
$REQUEST_HEADER["X-Ptl-Client-Type"] =~ "^(peer|terminal)$" {
  setenv.set-environment += ("REMOTE_USER" => "known")
}
"""
_GIT = {
    "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}  # fmt: skip


def test_git_over_lighttpd(stage: Stage) -> None:
    """Everybody clones, the owner pushes, and so do peers, who come in an envelope."""
    _needs("lighttpd", "git")
    repositories, config = stage.folder / "repositories", stage.folder / "lighttpd.conf"
    home = {**_GIT, "HOME": str(stage.folder)}
    repository = repositories / "things.git"
    stage.say("git", "init", "-q", "--bare", "-b", "main", repository, **home)
    text = _LIGHTTPD.replace("{folder}", str(stage.folder))
    app = stage.run_with({config: text}, "git", "lighttpd", "-D", "-f", config)
    behind = stage.behind(app, {"": "public"}, name="git")
    url = f"http://{behind.host}/things.git"

    def git(*words: str | Path) -> str:
        return stage.say("git", "-C", stage.folder / "work", *words, **home)

    stage.say("git", "clone", "-q", url, stage.folder / "work", **home)
    (stage.folder / "work/large").write_bytes(os.urandom(3 << 20))  # more than http.postBuffer
    git("add", ".")
    git("commit", "-q", "-m", "one")
    with pytest.raises(AssertionError, match="403"):
        git("push", "-q", "origin", "HEAD:main")
    git("-c", f"http.extraHeader={': '.join(behind.phone)}", "push", "-q", "origin", "HEAD:main")
    git("commit", "-q", "--allow-empty", "-m", "two")
    git("-c", f"http.proxy={stage.caller(behind)}", "push", "-q", "origin", "HEAD:main")

    again = stage.folder / "again"
    stage.say("git", "clone", "-q", url, again, **home)
    assert stage.say("git", "-C", again, "log", "--format=%s", **home).split() == ["two", "one"]


# --- Node-RED ---------------------------------------------------------------------------------

_FLOW = [
    {"id": "t", "type": "tab", "label": "one"},
    {"id": "a", "type": "http in", "z": "t", "url": "/api/hello", "method": "get",
     "wires": [["b"]]},
    {"id": "b", "type": "template", "z": "t", "template": "a flow answers", "syntax": "plain",
     "field": "payload", "fieldType": "msg", "format": "text", "output": "str", "wires": [["c"]]},
    {"id": "c", "type": "http response", "z": "t", "statusCode": "200", "wires": []},
]  # fmt: skip


def test_node_red(stage: Stage) -> None:
    """The editor and its WebSocket are the owner's, what a flow serves is everybody's."""
    _needs("node")
    app = stage.run(
        "node-red", "node", _NODE / "node-red/red.js", "-u", stage.folder / "home",
        "-p", "{port}", "-D", "uiHost=127.0.0.1",
    )  # fmt: skip
    behind = stage.behind(app, {"": "private", "/api/": "public"})

    assert behind.ask("GET", "/").code == "proof_required"
    eventually(lambda: behind.ask("GET", "/", behind.phone).status == 200)
    assert b"Node-RED" in behind.ask("GET", "/", behind.phone).body
    own = {"Cookie": behind.phone[1], "Origin": f"http://{behind.host}"}
    with dial(behind.portal, "/comms", behind.name, additional_headers=own) as ws:
        ws.send(json.dumps({"subscribe": "notification/#"}))
        assert "notification" in str(ws.recv(30))
    kind = (("Content-Type", "application/json"), ("Node-RED-Deployment-Type", "full"))
    deployed = behind.ask("POST", "/flows", behind.phone, *kind, body=json.dumps(_FLOW).encode())
    assert deployed.status == 204
    assert eventually(lambda: behind.ask("GET", "/api/hello").body == b"a flow answers")
