"""How an app proves which app it is, and that its token goes nowhere else."""

from __future__ import annotations

import base64
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.patience import soon
from tests.wire.conftest import WIDE, World
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import exchange, request
from tests.wire.harness.recorder import Recorder, eventually

LIST = "/protected/peers"
SOON = 2.0
"""A second, as promised, and one more for a busy machine."""


def basic(name: str, token: str, scheme: str = "Basic") -> tuple[str, str]:
    encoded = base64.b64encode(f"{name}:{token}".encode()).decode()
    return "Proxy-Authorization", f"{scheme} {encoded}"


def test_without_a_token_a_path_is_401_and_a_proxied_request_407(world: World) -> None:
    host = world.bob.app_host("wide")
    path = f"/internal/call_peer/{world.bob.id}/x"

    for target in (LIST, path):
        got = world.call(request("GET", target, ("Host", "portal_core")))
        assert (got.status, got.code) == (401, "token_required")
        assert got.one("www-authenticate") == b"Portal"
    for target in (f"http://{host}/x", f"http://portal_core{path}", f"http://shard_core{LIST}"):
        got = world.call(request("GET", target, ("Host", host)))
        assert (got.status, got.code) == (407, "token_required")
        assert got.one("proxy-authenticate").startswith(b"Basic")
    assert world.bob_app.connections == 0


def test_both_ways_to_show_a_token_work_even_together(world: World) -> None:
    token = world.ada.token("box")
    for fields in (
        [("Portal-Token", token)],
        [basic("box", token)],
        [basic("box", token, "bAsIc")],
        [("Portal-Token", token), basic("box", token)],
    ):
        assert world.call(request("GET", LIST, ("Host", "x"), *fields)).status == 200


def test_a_wrong_token_and_two_that_disagree_are_refused(world: World) -> None:
    box, wide = world.ada.token("box"), world.ada.token("wide")
    for fields in (
        [("Portal-Token", "wrong")],
        [("Portal-Token", "")],
        [("Portal-Token", box + "x")],
        [("Portal-Token", box.swapcase())],
        [("Portal-Token", f"{box}, {box}")],
        [("Portal-Token", "\xe4\xff")],
        [("Portal-Token", box), ("Portal-Token", wide)],
        [("Portal-Token", box), basic("wide", wide)],
        [basic("box", box), ("Portal-Token", "wrong")],
        [basic("box", wide)],
        [basic("nosuch", box)],
        [basic("", box)],
        [basic("box", "")],
        [basic("box", box, "Bearer")],
        [("Proxy-Authorization", "Basic !!!")],
        [("Proxy-Authorization", "Basic " + base64.b64encode(b"box\xff:x").decode())],
        [("Proxy-Authorization", "Basic")],
    ):
        got = world.call(request("GET", LIST, ("Host", "x"), *fields))
        assert (got.status, got.code) == (401, "token_unknown"), fields
        got = world.call(request("GET", f"http://portal_core{LIST}", ("Host", "x"), *fields))
        assert (got.status, got.code) == (407, "token_unknown"), fields


def test_an_app_cant_call_another_apps_host(world: World) -> None:
    host = world.bob.app_host("wide")
    for field in (world.token("box"), world.basic("box")):
        got = world.call(request("GET", f"http://{host}/x", ("Host", host), field))
        assert (got.status, got.code) == (403, "not_a_peer_host")
    assert world.bob_app.connections == 0
    assert world.call(request("GET", f"http://{host}/x", ("Host", host), world.basic())).body


def test_only_the_hosts_own_facts_are_told_without_a_token(world: World) -> None:
    got = world.call(request("GET", "/public/meta/whoareyou", ("Host", "portal_core")))

    assert got.json()["id"] == world.ada.id


def test_a_token_reaches_no_app_no_peer_and_no_log(world: World) -> None:
    tokens = [world.ada.token(app) for app in ("box", "wide", "site")]
    encoded = [base64.b64encode(f"wide:{token}".encode()).decode() for token in tokens]
    host = world.bob.app_host("wide")
    both = (world.token(), world.basic())
    path = f"/internal/call_peer/{world.bob.id}/x"
    for raw in (
        request("POST", path, ("Host", "portal_core"), *both, body=b"x"),
        request("GET", f"http://{host}/x", ("Host", host), *both, ("Connection", "portal-token")),
        request("GET", LIST, ("Host", "portal_core"), *both),
        request("GET", f"http://wide:{tokens[1]}@{host}/x", ("Host", host), *both),
        request("GET", f"{path}/%zz?{tokens[1]}", ("Host", "portal_core"), *both),
        request("GET", LIST, ("Host", "x"), ("Portal-Token", tokens[0]), basic("box", tokens[1])),
    ):
        world.call(raw)
    assert len(world.bob_app.requests) == 2

    seen = world.bob_app.received + world.ada_app.received + bytes(world.relay.sent)
    text = seen.decode("latin-1") + world.ada.log + world.bob.log
    for secret in (*tokens, *encoded):
        assert secret not in text
        assert secret.lower() not in text.lower()


@dataclass
class Frank:
    """A Portal with an app whose token is written to a file."""

    portal: Portal
    token_file: Path

    def status(self, token: str) -> int:
        fields = (("Host", "portal_core"), ("Portal-Token", token))
        return exchange(self.portal.apps, request("GET", LIST, *fields)).status


@pytest.fixture(scope="module")
def frank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frank]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("frank")
        portal = Portal(folder, "Frank")
        stack.callback(portal.release)
        (folder / "shared").mkdir()
        token_file = folder / "shared" / "token"
        app = stack.enter_context(Recorder())
        portal.add_app("noted", WIDE, app.port, f"token_file: {token_file}\n")
        portal.add_app("other", WIDE, app.port)
        yield Frank(portal.start(), token_file)


def test_the_token_file_is_private_and_holds_the_token(frank: Frank) -> None:
    assert stat.S_IMODE(frank.token_file.stat().st_mode) == 0o600
    assert frank.token_file.read_text() == frank.portal.token("noted")
    assert frank.status(frank.token_file.read_text()) == 200


def test_a_rotated_token_holds_within_a_second(frank: Frank) -> None:
    old, other = frank.token_file.read_text(), frank.portal.token("other")

    done = frank.portal.command("apps", "token", "noted", "--rotate")

    new = done.stdout.strip()
    assert new != old
    assert eventually(lambda: frank.status(new) == 200) < soon(SOON)
    assert frank.status(old) == 401
    assert frank.status(other) == 200
    assert eventually(lambda: frank.token_file.read_text() == new) < soon(SOON)
    assert stat.S_IMODE(frank.token_file.stat().st_mode) == 0o600
    assert new not in frank.portal.log
