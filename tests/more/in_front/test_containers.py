"""What docs/setup has for containers: read as an engine would, run here, with Traefik in front."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.core.access.manifest import parse_manifest
from proxy.core.access.policy import Contact, ContactList
from proxy.state.contacts import ContactStore
from proxy.state.identity_key import load_identity
from tests.certificates import authority, write_pair
from tests.more.in_front.own_network import own_network
from tests.more.in_front.web_servers import HTTPS, SETUP, found
from tests.wire.conftest import SITE
from tests.wire.harness.portals import Portal, end, environment, wait_for_ports
from tests.wire.harness.raw import LOOPBACK, exchange, request, response
from tests.wire.harness.recorder import Recorder

pytestmark = pytest.mark.more

SHARD = "8271dd.freeshard.example"
LARGE = os.urandom(1024) * 3000


@dataclass
class Contained:
    """A Portal that a file of docs/setup describes, and Bob's, who are contacts."""

    name: str
    id: str
    state: Path
    bob: Portal
    app: Recorder
    bob_app: Recorder


@dataclass(frozen=True)
class Described:
    """What a container runs, with the folders that it would have mounted."""

    host: str
    before: list[str]
    command: list[str]
    variables: dict[str, str]


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((SETUP / "compose" / "docker-compose.yml").read_text()))


def template() -> dict[str, Any]:
    """Return the Freeshard's file with its variables filled in."""
    text = (SETUP / "freeshard" / "docker-compose.yml.template").read_text()
    known = {"portal.domain": SHARD, "portal.short_id": "8271dd", "fs.app_data": "/shard/app"}
    text = re.sub(r"\{\{ (\S+) \}\}", lambda match: known[match[1]], text)
    return dict(yaml.safe_load(text))


def described(kind: str, folder: Path) -> Described:
    """Read a file; what it says of folders and of names is put where it can be used here."""
    service = (compose if kind == "compose" else template)()["services"]["portal-proxy"]
    variables = dict(service["environment"])
    for name, path in {"PORTAL_CONFIG": "config", "PORTAL_STATE": "state"}.items():
        variables[name] = str(folder / path)
    if "PORTAL_LISTEN_APPS" in variables:
        port = variables["PORTAL_LISTEN_APPS"].rpartition(":")[2]
        variables["PORTAL_LISTEN_APPS"] = f"{LOOPBACK}:{port}"
    proxy = f"{sys.executable} -m proxy"
    if kind == "compose":
        text = (SETUP / "compose" / "docker-compose.yml").read_text()
        (words,) = re.findall(r"run --rm portal-proxy (init .*)", text)
        assert service["entrypoint"] == ["portal-proxy"]
        words = f"{proxy} {words}"
        return Described("portal.ada.example", words.split(), [*proxy.split(), *service["command"]],
                         variables)  # fmt: skip
    (script,) = service["command"]
    script = script.replace("portal-proxy init", f"{proxy} init")
    script = script.replace("exec portal-proxy", f"exec {proxy}")
    command = [*service["entrypoint"], script]
    return Described(f"portal-proxy.{SHARD}", ["true"], command, variables)


@pytest.fixture(scope="module", params=["compose", "freeshard"])
def contained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Contained]:
    folder = tmp_path_factory.mktemp("contained")
    file = described(request.param, folder)
    with own_network(), pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        (folder / "ca.pem").write_bytes(authority().pem)
        patch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        core = stack.enter_context(shard_core())
        stack.enter_context(traefik(request.param, file.host, core, folder))
        app, bob_app = (stack.enter_context(Recorder()) for _ in range(2))
        variables = environment() | file.variables
        subprocess.run(file.before, env=variables, check=True)
        app_folder = folder / "config" / "apps" / "notes"
        app_folder.mkdir(parents=True)
        (app_folder / "app.json").write_text(SITE)
        (app_folder / "proxy.yaml").write_text(f"upstream: http://{LOOPBACK}:{app.port}\n")
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                file.command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        stack.callback(end, process)
        wait_for_ports(process, 8080, 8081, log=folder / "log")
        own_id = load_identity(folder / "state" / "identity.key").public.portal_id
        bob = Portal(folder / "bob", "Bob")
        stack.callback(bob.release)
        bob.add_app("notes", SITE, bob_app.port)
        ada = Contact(own_id, "Ada", f"https://{file.host}", f"{LOOPBACK}:{HTTPS}", "sealed")
        bob.knows(ada, apps={"notes": "all"})
        knows(folder / "state", file.host, bob)
        bob.start()
        yield Contained(file.host, own_id, folder / "state", bob, app, bob_app)


def knows(state: Path, own_host: str, bob: Portal) -> None:
    """Let the apps of the Portal whose state this is know Bob, as its owner would."""
    contacts = ContactList((bob.as_contact(mode="sealed"),), {"notes": "all"})
    ContactStore(state / "contacts.yaml", own_host).change(lambda _: contacts)


class _ShardCore(BaseHTTPRequestHandler):
    """What a Freeshard asks for each request, and what it shows in place of each refusal."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        page = b"" if self.path.startswith("/internal/auth") else b"<html>The app failed.</html>"
        self.send_response(200)
        for name in ("Type", "Id", "Name"):
            self.send_header(f"X-Ptl-Client-{name}", "anonymous" if name == "Type" else "")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def shard_core() -> Iterator[int]:
    with ThreadingHTTPServer((LOOPBACK, 0), _ShardCore) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@contextmanager
def traefik(kind: str, host: str, core: int, folder: Path) -> Iterator[None]:
    """Run Traefik as the platform does; before a container alone, by the file of docs/setup."""
    certificate, key = write_pair(folder / "pair", authority().issue(host))
    dynamic = yaml.safe_load((SETUP / "traefik" / "one-name.yaml").read_text())
    dynamic["tls"]["certificates"] = [{"certFile": str(certificate), "keyFile": str(key)}]
    static = yaml.safe_load((SETUP / "traefik" / "traefik.yaml").read_text())
    if kind == "freeshard":
        static["entryPoints"] = {
            "websecure": {
                "address": ":443",
                "transport": {"respondingTimeouts": {"readTimeout": "300s"}},
            }
        }
        http, own = dynamic["http"], f"http://{LOOPBACK}:{core}"
        http["routers"]["portal"] |= {"rule": f"Host(`{host}`)", "middlewares": ["error", "auth"]}
        http["middlewares"] = {
            "auth": {
                "forwardAuth": {
                    "address": f"{own}/internal/auth",
                    "authResponseHeadersRegex": "^X-Ptl-.*",
                }
            },
            "error": {
                "errors": {
                    "status": ["500-599", "400-499"],
                    "service": "core",
                    "query": "/internal/app_error/{status}",
                }
            },
        }
        http["services"]["core"] = {"loadBalancer": {"servers": [{"url": own}]}}
    (folder / "dynamic").mkdir()
    static["providers"]["file"]["directory"] = str(folder / "dynamic")
    (folder / "dynamic" / "portal.yaml").write_text(yaml.safe_dump(dynamic))
    (folder / "traefik.yaml").write_text(yaml.safe_dump(static))
    with (folder / "traefik.log").open("ab") as log:
        process = subprocess.Popen(
            [found("traefik"), f"--configFile={folder}/traefik.yaml"],
            env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_for_ports(process, HTTPS, log=folder / "traefik.log")
        yield
    finally:
        end(process)


def test_sealed_calls_go_both_ways(contained: Contained) -> None:
    bob, there = contained.bob, contained.state / "tokens" / "notes"
    ways = (
        (bob.apps, bob.token("notes"), contained.id, contained.app, bob.id),
        (8081, there.read_text("ascii").strip(), bob.id, contained.bob_app, contained.id),
    )
    for apps, token, to, app, caller in ways:
        app.clear()
        app.script(response(404, body=LARGE))  # an app's own, which no page takes the place of
        fields = (("Host", "portal_core"), ("Portal-Token", token))
        target = f"/internal/call_peer/{to}/in%2Fside?x"
        got = exchange(apps, request("POST", target, *fields, body=LARGE))
        assert (got.status, got.body == LARGE) == (404, True)
        assert app.request.body == LARGE
        assert app.request.one("x-ptl-client-id") == caller.encode()


def test_ping_finds_nothing_wrong(contained: Contained) -> None:
    done = subprocess.run(
        contained.bob.command_line("ping", "Ada", "--timeout", "60"), env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_file_names_a_folder_for_what_must_last() -> None:
    service = compose()["services"]["portal-proxy"]
    assert "state:/var/lib/portal-proxy" in service["volumes"]
    assert service["environment"]["PORTAL_STATE"] == "/var/lib/portal-proxy"
    assert set(service["networks"]) == set(compose()["networks"])
    shard = template()["services"]["portal-proxy"]
    assert shard["volumes"] == ["/shard/app/portal:/data"]
    for name in ("PORTAL_CONFIG", "PORTAL_STATE"):
        assert shard["environment"][name].startswith("/data/")


def test_the_freeshards_two_files_agree() -> None:
    text = (SETUP / "freeshard" / "app_meta.json").read_text()
    meta = json.loads(text)
    (entry,) = meta["entrypoints"]
    service = template()["services"][entry["container_name"]]
    assert service["container_name"] == entry["container_name"] == meta["name"]
    public = service["environment"]["PORTAL_LISTEN_PUBLIC"]
    assert public.endswith(f":{entry['container_port']}")
    assert meta["lifecycle"] == {"always_on": True}
    assert (SETUP / "freeshard" / meta["icon"]).exists()
    # The same form is read here, where an app's author wrote it.
    assert parse_manifest("app_meta.json", meta["name"], "app_meta.json", text.encode())
