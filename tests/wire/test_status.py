"""``status`` of a proxy that runs: calls in and out as they come, and nobody else is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.state.owner_token import read_owner_token
from tests.wire.conftest import WIDE
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.raw import LOOPBACK, Raw, exchange, request
from tests.wire.harness.recorder import Recorder
from tests.wire.harness.signer import new_key


@pytest.fixture(params=[1, 2])
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Portal, Portal]]:
    """Ada, who knows Bob and somebody who is gone, and Bob, who knows Ada."""
    with Recorder() as app:
        ada = Portal(tmp_path / "ada", "Ada", workers=request.param)
        bob = Portal(tmp_path / "bob", "Bob")
        gone = contact(new_key().public.portal_id, "Gone", 9, 9)
        for portal in (ada, bob):
            portal.add_app("wide", WIDE, app.port)
        ada.knows(bob.as_contact(mode="sealed"), gone, apps={"wide": "all"})
        bob.knows(ada.as_contact(mode="sealed"), apps={"wide": "all"})
        ada.start()
        bob.start()
        yield ada, bob
        bob.release()
        ada.release()


def status(portal: Portal) -> dict[str, Any]:
    done = portal.command("status", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ask(portal: Portal, *fields: tuple[str, str]) -> Raw:
    host = ("Host", f"{LOOPBACK}:{portal.owner}")
    return exchange(portal.owner, request("GET", "/status", host, *fields))


def test_calls_show_at_both_ends(pair: tuple[Portal, Portal]) -> None:
    ada, bob = pair
    before = {each["name"]: each for each in status(ada)["contacts"]}
    assert before["Bob"]["last_out"] is None
    assert (before["Bob"]["reachable"], before["Gone"]["reachable"]) == (True, False)
    for peer, wanted in ((bob.id, 200), (next(iter({before["Gone"]["id"]})), 502)):
        target = f"/internal/call_peer/{peer}/x"
        token = ("Portal-Token", ada.token("wide"))
        got = exchange(ada.apps, request("GET", target, ("Host", "portal_core"), token))
        assert got.status == wanted
    out = {each["name"]: each["last_out"] for each in status(ada)["contacts"]}
    assert (out["Bob"]["answered"], out["Gone"]["answered"]) == (True, False)
    (came,) = status(bob)["contacts"]
    assert came["last_in"]["answered"] is True
    assert came["last_out"] is None

    found = status(ada)
    assert found["apps"]["wide"]["answer"] == "answers"
    assert (found["workers"], found["status"]) == (ada.workers, "ok")
    shown = ada.command("status").stdout
    assert f"Ada  {ada.id[:6]}" in shown
    assert "Bob" in shown


def test_who_can_not_read_the_state_is_told_nothing(pair: tuple[Portal, Portal]) -> None:
    ada, bob = pair
    token = (read_owner_token(ada.state / "owner.token") or b"").decode()
    other = (read_owner_token(bob.state / "owner.token") or b"").decode()
    assert ask(ada, ("Portal-Token", token)).status == 200
    for fields in ((), (("Portal-Token", other),), (("Portal-Token", ""),),
                   (("Portal-Token", token), ("Portal-Token", token))):  # fmt: skip
        got = ask(ada, *fields)
        assert (got.status, b"Bob" in got.body) == (404, False)
    assert token not in ada.log
    public = exchange(
        ada.public, request("GET", "/status", ("Host", ada.host), ("Portal-Token", token))
    )
    assert public.status == 404


def test_another_portal_s_proxy_is_not_taken_for_ours(pair: tuple[Portal, Portal]) -> None:
    ada, bob = pair
    ada.stop()
    text = (ada.config / "portal.yaml").read_text()
    (ada.config / "portal.yaml").write_text(text.replace(f"{ada.owner}", f"{bob.owner}"))
    done = ada.command("status")
    assert done.returncode == 1
    assert "is another Portal's" in done.stdout
