"""What people usually do wrong in their first hour, and that each is told what to do next.

Each row makes one mistake with real processes, runs what its owner would, and looks for the words
that name the mistake and the next step.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proxy.core.access.policy import Contact
from proxy.core.identity import short_id
from proxy.core.written_id import write_id
from tests.certificates import authority
from tests.cli.remote_portals import WIDE, Fixed, Front, accept, in_mode, publish_at
from tests.patience import PATIENCE
from tests.wire.harness import preloaded
from tests.wire.harness.disks import Limit
from tests.wire.harness.portals import ROOT, Portal, environment
from tests.wire.harness.raw import LOOPBACK, exchange, request, response
from tests.wire.harness.recorder import Recorder, Server, eventually
from tests.wire.harness.signer import new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOUR = 3600
_NGINX = ("Server", "nginx/1.22.1")


class Home:
    """Ada, who makes mistakes, and Bob, who has added her and an app; nobody runs yet."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.app = stack.enter_context(Recorder())
        self.ada, self.bob = self.portal("Ada"), self.portal("Bob")
        for portal, other in ((self.ada, self.bob), (self.bob, self.ada)):
            portal.add_app("wide", WIDE, self.app.port)
            portal.knows(in_mode(other.as_contact(), "sealed"), apps={"wide": "all"})

    def portal(self, name: str, clock_shift: int = 0) -> Portal:
        portal = Portal(self.folder / f"{name}{clock_shift or ''}", name, clock_shift=clock_shift)
        self.stack.callback(portal.release)
        return portal

    def reached_at(self, port: int) -> None:
        """Let Ada's contact lead to a port."""
        bob = in_mode(self.bob.as_contact(connect=port), "sealed")
        self.ada.knows(bob, apps={"wide": "all"})

    def behind(self, answered: bytes) -> None:
        """Put something before Bob that answers by itself."""
        self.reached_at(self.stack.enter_context(Fixed(answered)).port)

    def run(self, *words: str, stdin: str = "") -> str:
        """Run a command of Ada's; return its status and all that it says."""
        return run_on(self.ada, *words, stdin=stdin)


def run_on(portal: Portal, *words: str, stdin: str = "") -> str:
    done = preloaded.run(
        "--config", str(portal.config), *words, environment=environment(), folder=ROOT,
        stdin=stdin.encode(),
    )  # fmt: skip
    said = f"{done.returncode} {done.stdout.decode()} {done.stderr.decode()}"
    assert "Traceback" not in said
    return said


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with ExitStack() as stack:
        yield Home(tmp_path, stack)


def mistyped_id(home: Home) -> str:
    groups = write_id(new_key().public.portal_id).split("-")
    groups[2] = groups[2][:-1] + ("0" if groups[2][-1] != "0" else "1")
    return home.run("peers", "add", "-".join(groups), "--address", "https://bob.example")


def wrong_domain(home: Home) -> str:
    return home.run("peers", "add", short_id(new_key().public.portal_id))


def clock(home: Home, shift: int) -> str:
    late = home.portal("Late", shift)
    late.knows(home.ada.as_contact(), apps={})
    late.start()
    home.ada.knows(in_mode(late.as_contact(), "sealed"), apps={"wide": "all"})
    return home.run("ping", "Late")


def closed_port(home: Home) -> str:
    return home.run("ping", "Bob")


def filtered_port(home: Home) -> str:
    """Nobody takes or refuses connections: a full queue, as behind a firewall that drops."""
    deaf = home.stack.enter_context(closing(socket.socket()))
    deaf.bind((LOOPBACK, 0))
    deaf.listen(0)
    port = deaf.getsockname()[1]
    for _ in range(4):  # those fill it
        caller = home.stack.enter_context(closing(socket.socket()))
        caller.settimeout(0)
        caller.connect_ex((LOOPBACK, port))
    home.reached_at(port)
    return home.run("ping", "Bob", "--timeout", "1")


class _PerRequest(Server):
    """A web server that opens a connection to the proxy for each request, as nginx does."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        super().__init__()

    def handle(self, accepted: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (piece := accepted.recv(65_536)):
            head += piece
        answered = self.own_response(head)
        if answered:
            accepted.sendall(answered)
            return
        lines = self.changed(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        with socket.create_connection((LOOPBACK, self._to_port), PATIENCE) as portal:
            portal.sendall(lines)
            while piece := portal.recv(65_536):
                accepted.sendall(piece)

    def own_response(self, head: bytes) -> bytes:
        """Return what it answers by itself."""
        del head
        return b""

    def changed(self, head: bytes) -> bytes:
        """Return the request as it passes it on."""
        return head


class _Rewriting(_PerRequest):
    """One that passes on a Host of its own, as nginx does unless it is told otherwise."""

    def changed(self, head: bytes) -> bytes:
        return re.sub(rb"(?i)\r\nhost: [^\r]*", b"\r\nHost: 127.0.0.1", head)


class _Limiting(_PerRequest):
    """One that takes no sealed body of any size."""

    def own_response(self, head: bytes) -> bytes:
        page = b"<html>413 Request Entity Too Large</html>"
        too_large = response(413, _NGINX, ("Content-Type", "text/html"), body=page)
        return too_large if head.startswith(b"POST ") else b""


class _Keeping(_PerRequest):
    """One that passes nothing on that is below /.well-known/."""

    def own_response(self, head: bytes) -> bytes:
        return response(404, _NGINX) if head.startswith(b"GET /.well-known/") else b""


def host_rewritten(home: Home) -> str:
    home.bob.start()
    home.reached_at(home.stack.enter_context(_Rewriting(home.bob.public)).port)
    return home.run("ping", "Bob")


def host_rewritten_in_the_owners_log(home: Home) -> str:
    home.bob.start()
    exchange(home.bob.public, request("GET", "/", ("Host", "127.0.0.1")))
    return home.bob.settled_log()


def body_limit(home: Home) -> str:
    home.bob.start()
    home.reached_at(home.stack.enter_context(_Limiting(home.bob.public)).port)
    return home.run("call", "Bob", "wide", "/x", "-d", "much")


def body_limit_in_the_callers_log(home: Home) -> str:
    home.bob.start()
    home.ada.start()
    home.reached_at(home.stack.enter_context(_Limiting(home.bob.public)).port)
    token = home.ada.token("wide")
    path = f"/internal/call_peer/{home.bob.id}/x"
    fields = (("Host", "portal_core"), ("Portal-Token", token), ("Content-Length", "4"))

    def told() -> bytes:
        asked = exchange(home.ada.apps, request("POST", path, *fields) + b"much")
        assert b"nginx" not in asked.body
        return asked.body

    assert eventually(lambda: b"outcome_unknown" in told()) is not None
    return home.ada.settled_log()


def web_server_without_its_proxy_called(home: Home) -> str:
    home.behind(response(502, _NGINX, body=b"<html>"))
    return home.run("call", "Bob", "wide", "/x")


def web_server_without_its_proxy(home: Home) -> str:
    home.behind(response(502, _NGINX, ("Content-Type", "text/html"), body=b"<h1>502</h1>"))
    return home.run("ping", "Bob")


def login_page(home: Home) -> str:
    home.behind(response(302, ("Location", "https://auth.example.org/?rd=x"), _NGINX))
    return home.run("call", "Bob", "wide", "/x")


def app_down(home: Home) -> str:
    home.bob.add_app("gone", WIDE, 1)
    home.bob.knows(home.ada.as_contact(), apps={"gone": "all"})
    home.bob.start()
    return home.run("call", "Bob", "gone", "/x")


def typo_in_app_json(home: Home) -> str:
    file = home.ada.config / "apps" / "wide" / "app.json"
    file.write_text(WIDE.replace('"access"', '"acess"'))
    return home.run("check")


def yaml_tab(home: Home) -> str:
    file = home.ada.config / "portal.yaml"
    file.write_text(file.read_text() + "limits:\n\tbody: 1 GiB\n")
    return home.run("check")


def key_mode(home: Home) -> str:
    (home.ada.state / "identity.key").chmod(0o644)
    return home.run("check")


def key_owner(home: Home) -> str:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(home.ada.state / "identity.key", 12_345, 12_345)
    return home.run("check")


def two_serves(home: Home) -> str:
    home.ada.start()
    return home.run("serve")


def full_disk(home: Home) -> str:
    words = home.ada.command_line("peers", "rename", "Bob", "Robert")
    limit = Limit()
    limit.fill(home.ada)
    done = subprocess.run(
        limit.command(*words), env=environment(), capture_output=True, check=False, text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    return f"{done.returncode} {done.stdout} {done.stderr}"


def not_added(home: Home) -> str:
    home.bob.knows(apps={})
    home.bob.start()
    return home.run("ping", "Bob")


def own_authority(home: Home, *, named: bool) -> str:
    """Bob's certificate is of an authority that only the two of them know."""
    host = home.bob.host.partition(":")[0]
    chain, key = authority().issue(host, f"*.{host}")
    pair = home.folder / "pair.pem"
    pair.write_bytes(chain + key)
    front = home.stack.enter_context(Front(home.bob.public, pair))
    url = publish_at(home.bob, front.port)
    accept(home.bob, "sealed")
    home.bob.start()
    where = f"{LOOPBACK}:{front.port}"
    home.ada.knows(Contact(home.bob.id, "Bob", url, where), apps={"wide": "all"})
    if named:
        (home.ada.config / "mine.pem").write_bytes(authority().pem)
        file = home.ada.config / "portal.yaml"
        file.write_text(file.read_text() + "peer_authorities: mine.pem\n")
        said = home.run("call", "Bob", "wide", "/x")
        assert said.startswith("0 ok"), said
        # It is found at its address, and who it is: TLS was believed.
        assert "is a peer already" in home.run("peers", "add", url, "--connect", where)
        home.ada.start()
        asked = request(
            "GET", f"/internal/call_peer/{home.bob.id}/x", ("Host", "portal_core"),
            ("Portal-Token", home.ada.token("wide")),
        )  # fmt: skip
        assert exchange(home.ada.apps, asked).status == 200
    return home.run("ping", "Bob")


class _Freeshard(Fixed):
    """A Freeshard: its key is an RSA one, and every other path is its page."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(65_537, 2048).public_key()
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        members = {
            "id": "8271dd" + "a" * 97, "name": "Shard", "email": None, "description": None,
            "is_default": True, "public_key_pem": pem.decode(), "domain": "8271dd.freeshard.cloud",
        }  # fmt: skip
        self._whoareyou = json.dumps(members).encode()
        super().__init__(b"")

    def handle(self, accepted: socket.socket) -> None:
        head = accepted.recv(65_536)
        is_asked = head.startswith(b"GET /core/public/meta/whoareyou ")
        kind = "application/json" if is_asked else "text/html"
        body = self._whoareyou if is_asked else b"<!doctype html>"
        accepted.sendall(response(200, ("Content-Type", kind), body=body))
        # It closes without having said so, and what was sent meanwhile is lost.
        accepted.recv(65_536)


def freeshard(home: Home) -> str:
    home.reached_at(home.stack.enter_context(_Freeshard()).port)
    return home.run("ping", "Bob")


def well_known_answered_before_it(home: Home) -> str:
    """Bob's web server keeps what is below /.well-known/ to itself, for its certificates."""
    home.bob.start()
    home.reached_at(home.stack.enter_context(_Keeping(home.bob.public)).port)
    return home.run("ping", "Bob")


def freeshard_added(home: Home) -> str:
    port = home.stack.enter_context(_Freeshard()).port
    return home.run("peers", "add", f"http://{LOOPBACK}:{port}")


def clock_before_the_certificate(home: Home) -> str:
    """Ada's clock stands before Bob's certificate begins, so that TLS fails first."""
    ahead = home.portal("Ahead", 3 * HOUR)
    host = ahead.host.partition(":")[0]
    chain, key = authority().issue(host, begins=2 * HOUR, ends=90 * 24 * HOUR)
    pair = home.folder / "pair.pem"
    pair.write_bytes(chain + key)
    front = home.stack.enter_context(Front(ahead.public, pair))
    url = publish_at(ahead, front.port)
    accept(ahead, "sealed")
    ahead.start()
    where = f"{LOOPBACK}:{front.port}"
    home.ada.knows(Contact(ahead.id, "Bob", url, where), apps={"wide": "all"})
    (home.ada.config / "mine.pem").write_bytes(authority().pem)
    file = home.ada.config / "portal.yaml"
    file.write_text(file.read_text() + "peer_authorities: mine.pem\n")
    return home.run("ping", "Bob")


MISTAKES: dict[str, tuple[Callable[[Home], str], list[str]]] = {
    "mistyped ID": (mistyped_id, ["1 ", "group 3"]),
    "wrong domain": (wrong_domain, ["1 ", "a guess below your own domain", "--address"]),
    "clock plus an hour": (
        lambda home: clock(home, HOUR), ["1 ", "ahead of this one", "Set the clock"],
    ),
    "clock minus an hour": (
        lambda home: clock(home, -HOUR), ["1 ", "behind this one", "Set the clock"],
    ),
    "clock before the certificate": (
        clock_before_the_certificate,
        ["1 ", "it isn't valid yet", "The clock of this machine seems to be wrong", "Set the cl"],
    ),
    "closed port": (closed_port, ["1 ", "nothing listens there", "Does its proxy run there"]),
    "filtered port": (
        filtered_port, ["1 ", "doesn't answer within 1 s", "does no firewall hold connections"],
    ),
    "Host rewritten": (
        host_rewritten, ["1 ", "(421)", "seems to change Host", "proxy_set_header Host $http_host"],
    ),
    "Host rewritten, at its owner's": (
        host_rewritten_in_the_owners_log, ["misdirected", "does the web server in front pass Host"],
    ),
    "body limit": (
        body_limit,
        ["1 ", "calls itself nginx/1.22.1, says 413", "client_max_body_size 0",
         "The call was perhaps carried out; don't repeat it.", "ping Bob"],
    ),
    "body limit, in the caller's log": (
        body_limit_in_the_callers_log, ["outcome_unknown", "client_max_body_size 0"],
    ),
    "web server without its proxy": (
        web_server_without_its_proxy, ["1 ", "502", "proxy_pass must name the proxy's listen"],
    ),
    "web server without its proxy, called": (
        web_server_without_its_proxy_called, ["1 ", "Does that run? See: portal-proxy ping Bob"],
    ),
    "/.well-known/ kept": (
        well_known_answered_before_it,
        ["1 ", "A Portal seems to be there all the same", "must pass /.well-known/ on"],
    ),
    "login page": (
        login_page, ["1 ", "redirects to auth.example.org", "auth_request off", "ping Bob"],
    ),
    "app down": (app_down, ["1 ", "app_unreachable", "isn't running, or not where"]),
    "typo in app.json": (typo_in_app_json, ["1 ", "app.json", "acess"]),
    "YAML tab": (yaml_tab, ["1 ", "portal.yaml", "line ", "a tab: YAML is indented by blanks"]),
    "key's mode": (key_mode, ["1 ", "identity.key", "0600"]),
    "key's owner": (
        key_owner, ["1 ", "identity.key", "belongs to user 12345", "run it as the owner"],
    ),
    "two serve": (two_serves, ["1 ", "in use", "process "]),
    "full disk": (full_disk, ["1 ", "contacts.yaml", "File too large"]),
    "friend hasn't added me": (not_added, ["1 ", "doesn't have this Portal", "peers add "]),
    "own authority": (
        lambda home: own_authority(home, named=False),
        ["1 ", "can't be believed", "peer_authorities in portal.yaml"],
    ),
    "own authority, named": (lambda home: own_authority(home, named=True), ["0 ", "All is well."]),
    "a Freeshard": (freeshard, ["1 ", "It is a Freeshard, which can't be called.", "card"]),
    "a Freeshard, added": (freeshard_added, ["1 ", "It is a Freeshard, which can't be called."]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_whoever_makes_it_is_told_what_it_is_and_what_to_do(home: Home, name: str) -> None:
    make, words = MISTAKES[name]
    said = make(home)
    assert said.startswith(words[0]) or not words[0].strip().isdigit(), said
    for word in words:
        assert word in said
