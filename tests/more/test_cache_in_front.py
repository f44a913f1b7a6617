"""A real nginx with ``proxy_cache`` in front: it keeps what is for everybody, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from proxy.core.identity import PrivateKey
from tests.wire.harness.portals import (
    Portal,
    contact,
    end,
    environment,
    reserve_port,
    wait_for_ports,
)
from tests.wire.harness.raw import Raw, exchange, request, response
from tests.wire.harness.recorder import Recorder
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.harness.terminals import Device, pair

pytestmark = pytest.mark.more

_CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  proxy_cache_path {folder}/cache keys_zone=pages:1m;
  server {{
    listen 127.0.0.1:{port};
    ignore_invalid_headers off;
    large_client_header_buffers 4 64k;
    location / {{
      proxy_pass http://127.0.0.1:{portal};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
      proxy_buffer_size 64k; proxy_buffers 8 64k;
      proxy_cache pages;
      proxy_cache_key $scheme$http_host$request_uri;
      proxy_cache_valid 200 301 302 303 401 403 404 10m;   # what says nothing is kept
      {more}
      add_header X-Cache $upstream_cache_status always;
    }}
  }}
}}
"""
_SIGNED_PASS_BY = (
    "proxy_cache_bypass $http_signature $http_cookie; proxy_no_cache $http_signature $http_cookie;"
)
_RULES = {"": {"access": "private"}, "/public/": {"access": "public"}, "/peer/": {"access": "peer"}}
SAYS = {
    "nothing": (),
    "public": (("Cache-Control", "public, max-age=600"),),
    "s-maxage": (("Cache-Control", "s-maxage=600"),),
    "two lines": (("Cache-Control", "max-age=600"), ("Cache-Control", "public")),
    "expires": (("Expires", "Thu, 01 Jan 2099 00:00:00 GMT"),),
    "nginx's own": (("X-Accel-Expires", "600"), ("Cache-Control", "public, max-age=600")),
    "vary": (("Cache-Control", "public, max-age=600"), ("Vary", "Cookie")),
    "unreadable": (("Cache-Control", "public; max-age=600"), ("X-Accel-Expires", "@4000000000")),
}


@dataclass
class Street:
    """A Portal with an nginx in front of it."""

    portal: Portal
    app: Recorder
    cleo: PrivateKey
    phone: Device
    cache: int
    """The port of the nginx."""
    pages: int = 0

    def new_page(self, folder: str) -> str:
        """Return a path that nobody asked for so far."""
        self.pages += 1
        return f"{folder}{self.pages}"

    def ask(self, path: str, *fields: tuple[str, str], host: str = "") -> Raw:
        where = ("Host", host or self.portal.app_host("box"))
        return exchange(self.cache, request("GET", path, where, *fields))

    def says(self, body: bytes, *fields: tuple[str, str]) -> None:
        self.app.clear()
        self.app.script(response(200, *fields, body=body))


@pytest.fixture(scope="module", params=["", _SIGNED_PASS_BY], ids=["plain", "signed pass by"])
def street(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Street]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("no nginx here")
    folder = tmp_path_factory.mktemp("cache")
    folder.chmod(0o755)
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        cleo = new_key()
        portal = Portal(folder / "fay", "Fay")
        stack.callback(portal.release)
        portal.add_app("box", json.dumps({"v": "3.2", "port": 80, "paths": _RULES}), app.port)
        portal.knows(contact(cleo.public.portal_id, "Cleo", 1, 1), apps={"box": "all"})
        portal.start()
        holder, port = reserve_port()
        stack.enter_context(holder)  # nginx asks for the port with SO_REUSEADDR, and gets it
        config = folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(folder=folder, port=port, portal=portal.public, more=request.param)
        )
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [nginx, "-c", str(config), "-e", str(folder / "error.log")],
                env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        stack.callback(end, process)
        wait_for_ports(process, port, log=folder / "log")
        yield Street(portal, app, cleo, pair(portal), port)


@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("folder", ["/private/", "/public/"])
def test_what_a_device_got_nobody_gets_from_the_cache(
    street: Street, folder: str, says: str
) -> None:
    path = street.new_page(folder)
    street.says(b"the owner's", *SAYS[says])
    assert street.ask(path, street.phone.cookie).body == b"the owner's"

    street.says(b"everybody's")
    got = street.ask(path)
    if folder == "/private/":
        assert (got.status, got.code) == (401, "proof_required")
    else:
        assert got.body == b"everybody's"


def test_what_a_stranger_got_everybody_may_get(street: Street) -> None:
    path = street.new_page("/public/")
    street.says(b"everybody's", *SAYS["public"])
    assert street.ask(path).body == b"everybody's"
    street.says(b"another")
    got = street.ask(path)
    assert (got.body, got.one("x-cache")) == (b"everybody's", b"HIT")
    assert street.app.requests == []


@pytest.mark.parametrize("says", SAYS)
@pytest.mark.parametrize("target", [b"/peer/", b"/public/"])
def test_a_signed_answer_answers_no_other_call(street: Street, target: bytes, says: str) -> None:
    target = street.new_page(target.decode()).encode()
    for body in (b"the first", b"the second"):
        street.says(body, *SAYS[says])
        call = sign_call(street.cleo, street.portal, "box", target)
        got = exchange(street.cache, call.raw)
        assert got.body == body
        assert call.believes(got, street.portal.id)


def test_a_public_page_from_the_cache_is_no_answer_to_a_call(
    street: Street, request: pytest.FixtureRequest
) -> None:
    """So signed calls must pass the cache by, as operating.md has it."""
    path = street.new_page("/public/")
    street.says(b"everybody's", *SAYS["public"])
    street.ask(path)
    street.says(b"the peer's")
    call = sign_call(street.cleo, street.portal, "box", path.encode())
    got = exchange(street.cache, call.raw)
    assert got.body == (b"the peer's" if "pass by" in request.node.name else b"everybody's")


@pytest.mark.parametrize(
    "path", ["/.well-known/portal-identity", "/.well-known/ohttp-gateway", "/core/public/pair"]
)
def test_our_own_pages_are_never_kept(street: Street, path: str) -> None:
    for _ in range(2):
        got = street.ask(path, host=street.portal.host)
        assert (got.status, got.one("x-cache")) == (200, b"MISS")


def test_a_refusal_and_the_way_to_the_pairing_page_are_never_kept(street: Street) -> None:
    path = street.new_page("/private/")
    navigating = (
        ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"), ("Accept", "text/html"),
    )  # fmt: skip
    for fields, status in (((), 401), (navigating, 303), ((), 401)):
        assert street.ask(path, *fields).status == status
    street.says(b"the owner's")
    assert street.ask(path, street.phone.cookie).body == b"the owner's"
