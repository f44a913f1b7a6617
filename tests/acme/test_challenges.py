"""The listener at port 80: what an authority was promised, a way to https, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.acme.challenges import Challenges
from proxy.config.listen import Address
from proxy.config.portal_yaml import Config, load_config
from proxy.server.certifying import challenge_listener
from proxy.server.sockets import open_socket
from tests.wire.harness.raw import Raw, RawConnection, exchange, request

ID = "c" * 103
HOST = "portal.ada.example"
TOKEN = "dnsQ6ihp_Zk-aQaL"
PATH = f"/.well-known/acme-challenge/{TOKEN}"
ANSWER = f"{TOKEN}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
_YAML = """\
id: new
name: Ada
domain: ada.example
public_url: https://portal.ada.example{port}
acme: {{agree: "true", names: [guestbook.portal.ada.example]}}
"""


def settings(folder: Path, port: str = "") -> Config:
    (folder / "portal.yaml").write_text(_YAML.format(port=port))
    return load_config(folder, {})


@dataclass
class Port80:
    """The listener, at another port."""

    port: int
    challenges: Challenges

    async def ask(self, raw: bytes) -> Raw:
        return await asyncio.to_thread(exchange, self.port, raw)

    async def get(self, target: str, host: str = HOST, method: str = "GET") -> Raw:
        return await self.ask(request(method, target, ("Host", host)))


@pytest.fixture
async def port80(tmp_path: Path) -> AsyncIterator[Port80]:
    challenges = Challenges()
    listening = open_socket(Address("127.0.0.1", 0))
    bound = listening.bound
    assert isinstance(bound, tuple)
    listener = challenge_listener(challenges, settings(tmp_path), ID, listening)
    listener.begin()
    challenges.expect({TOKEN: ANSWER})
    yield Port80(bound[1], challenges)
    await listener.break_off()


async def test_an_authority_gets_what_it_was_promised(port80: Port80) -> None:
    got = await port80.get(PATH)
    assert (got.status, got.body) == (200, ANSWER.encode())
    assert got.one("content-type") == b"application/octet-stream"
    assert got.one("cache-control") == b"no-store"
    # It may come by an address, or another port.
    assert (await port80.get(PATH, host="203.0.113.5:8080")).body == ANSWER.encode()
    assert (await port80.get(PATH, method="HEAD")).status == 200


async def test_what_is_over_is_promised_to_nobody(port80: Port80) -> None:
    port80.challenges.forget()
    got = await port80.get(PATH)
    assert (got.status, got.code) == (404, "not_found")


@pytest.mark.parametrize(
    "target",
    [
        "/.well-known/acme-challenge/", "/.well-known/acme-challenge/other", f"{PATH}/", f"{PATH}?",
        f"{PATH}%20", f"{PATH}.", PATH[:-1], f"{PATH}/../{TOKEN}",
        "/.well-known/acme-challenge/..%2f..%2fstate/identity.key",
        "/.well-known/acme-challenge/../../etc/passwd", f"/.well-known/acme-challenge//{TOKEN}",
        f"/.well-known/acme-challenge/{TOKEN.upper()}",
        "/.well-known/acme-challenge/" + "a" * 5000,
    ],
)  # fmt: skip
async def test_a_token_is_compared_byte_for_byte_and_is_no_path(
    port80: Port80, target: str
) -> None:
    got = await port80.get(target)
    assert (got.status, got.code) == (404, "not_found")
    assert ANSWER.encode() not in got.body


@pytest.mark.parametrize(
    ("target", "path"),
    [("/", "/"), ("/a/b?c=d&e", "/a/b?c=d&e"), ("//evil.example/", "//evil.example/"),
     ("/%0d%0aX:%201", "/%0d%0aX:%201"), ("/.well-known/acme", "/.well-known/acme")],
)  # fmt: skip
async def test_a_browser_is_sent_on_to_https(port80: Port80, target: str, path: str) -> None:
    got = await port80.get(target)
    assert got.status == 308
    assert got.one("location") == f"https://{HOST}{path}".encode()
    assert got.body == b""


async def test_the_host_of_an_app_that_is_certified_is_one_of_ours(port80: Port80) -> None:
    got = await port80.get("/", host=f"GUESTBOOK.{HOST}:80")
    assert got.one("location") == f"https://guestbook.{HOST}/".encode()


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"{HOST}.evil.example", f"evil.{HOST}", "", "[::1]", f"{HOST}@evil.example",
     f"{HOST}/evil", "203.0.113.5"],
)  # fmt: skip
async def test_nobody_is_sent_to_a_host_that_isnt_ours(port80: Port80, host: str) -> None:
    got = await port80.get("/", host=host)
    assert got.status in {400, 421}
    assert got.all("location") == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "CONNECT"])
@pytest.mark.parametrize("target", ["/", PATH])
async def test_nothing_can_be_changed_here(port80: Port80, method: str, target: str) -> None:
    got = await port80.get(target, method=method)
    assert got.status in {400, 405}
    assert ANSWER.encode() not in got.body


async def test_two_hosts_in_one_request_are_refused(port80: Port80) -> None:
    got = await port80.ask(request("GET", "/", ("Host", HOST), ("Host", "evil.example")))
    assert got.status in {400, 421}


async def test_a_whole_url_for_a_target_sends_nobody_on(port80: Port80) -> None:
    got = await port80.get("http://evil.example/")
    assert got.all("location") == []
    assert got.status >= 400


@pytest.mark.parametrize("path", ["/.well-known/ohttp-gateway", "/.well-known/portal", "/pair"])
async def test_nothing_of_the_portals_is_served_here(port80: Port80, path: str) -> None:
    assert (await port80.get(path)).status == 308


async def test_what_isnt_http_is_answered_and_closed(port80: Port80) -> None:
    for raw in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 100 + b"\r\n\r\n",
    ):
        await asyncio.to_thread(_send_and_wait, port80.port, raw)
    assert (await port80.get(PATH)).status == 200


def _send_and_wait(port: int, raw: bytes) -> None:
    with RawConnection(port) as wire:
        wire.send(raw + b"\r\n\r\n")
        assert not wire.rest().startswith(b"HTTP/1.1 2")


async def test_an_own_port_of_https_is_kept(tmp_path: Path) -> None:
    listening = open_socket(Address("127.0.0.1", 0))
    bound = listening.bound
    assert isinstance(bound, tuple)
    listener = challenge_listener(Challenges(), settings(tmp_path, ":8443"), ID, listening)
    listener.begin()
    try:
        got = await Port80(bound[1], Challenges()).get("/a")
    finally:
        await listener.break_off()
    assert got.one("location") == f"https://{HOST}:8443/a".encode()
