"""Sealing keys of a proxy that runs: offered where they are wanted, and the same after it died."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from proxy.core.identity_document import Document, verify_document
from proxy.core.signature.base import Message
from proxy.state.sealing_keys import SealingKeyStore
from tests.envelopes import opens, sealed_to
from tests.patience import PATIENCE
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import Raw, exchange, request
from tests.wire.harness.recorder import eventually

if TYPE_CHECKING:
    from pathlib import Path

GATEWAY = "/.well-known/ohttp-gateway"
DAY = 86_400


@pytest.fixture
def hugo(tmp_path: Path) -> Iterator[Portal]:
    """A Portal that isn't running yet."""
    portal = Portal(tmp_path, "Hugo")
    yield portal
    portal.release()


def ask(portal: Portal, path: str) -> Raw:
    return exchange(portal.public, request("GET", path, ("Host", portal.host)))


def document(portal: Portal) -> Document:
    got = ask(portal, "/.well-known/portal-identity")
    head = Message(fields=got.fields, status=got.status)
    return verify_document(portal.id, head, got.body, now=time.time())


def key_files(portal: Portal) -> list[Path]:
    return sorted((portal.state / "sealing").glob("*.key"))


def test_who_takes_no_sealed_calls_offers_no_key(hugo: Portal) -> None:
    hugo.settings = "accept: [signed]\n"
    hugo.write_config(hugo.config)
    hugo.start()

    said = document(hugo)

    assert said.modes == {"signed"}
    assert said.sealing_keys == ()
    assert ask(hugo, GATEWAY).code == "not_found"
    assert not (hugo.state / "sealing").exists()


def test_what_was_sealed_before_the_proxy_was_killed_opens_after(hugo: Portal) -> None:
    before = document(hugo.start()).sealing_keys
    hugo.stop(signal.SIGKILL)
    after = document(hugo.start()).sealing_keys

    assert after == before
    store = SealingKeyStore(hugo.state / "sealing", DAY)
    store.open(time.time())
    assert opens(store, sealed_to(before[0].config))


def test_two_proxies_on_one_folder_offer_one_key(hugo: Portal) -> None:
    one = document(hugo.start())
    twin = Portal(hugo.folder / "twin", "Twin")
    try:
        listen = (twin.public, twin.apps, twin.owner)
        hugo.write_config(hugo.folder / "config2", listen=listen)
        process = hugo.launch(hugo.folder / "config2")
        try:
            eventually(lambda: len(key_files(hugo)) == 1 and _listens(twin.public))
            got = exchange(
                twin.public, request("GET", "/.well-known/portal-identity", ("Host", hugo.host))
            )
            assert got.json()["sealing_keys"][0]["until"] == one.sealing_keys[0].until
        finally:
            process.terminate()
            process.wait(PATIENCE)
    finally:
        twin.release()


def _listens(port: int) -> bool:
    try:
        exchange(port, request("GET", "/", ("Host", "x")))
    except OSError:
        return False
    return True


def test_keys_that_the_owner_deletes_are_gone_within_a_second_and_a_new_one_is_there(
    hugo: Portal,
) -> None:
    before = document(hugo.start()).sealing_keys
    for path in key_files(hugo):
        path.unlink()

    eventually(lambda: document(hugo).sealing_keys not in ((), before))
    assert len(key_files(hugo)) == 1


def test_a_broken_key_is_shown_under_health_and_costs_no_call(hugo: Portal) -> None:
    before = document(hugo.start()).sealing_keys
    (hugo.state / "sealing" / "notes.txt").write_text("")

    def health() -> Raw:
        return exchange(hugo.owner, request("GET", "/health", ("Host", "localhost")))

    eventually(lambda: health().json()["status"] == "degraded")
    assert "notes.txt" in str(health().json()["problems"])
    assert document(hugo).sealing_keys == before
    eventually(lambda: "notes.txt" in hugo.log)
    assert hugo.log.count("notes.txt") == 1


def test_a_folder_that_others_can_write_to_is_refused_at_the_start(hugo: Portal) -> None:
    folder = hugo.state / "sealing"
    folder.mkdir()
    folder.chmod(0o777)

    done = hugo.command("serve")

    assert done.returncode == 1
    assert "sealing: others can write to it" in done.stderr
    assert "Traceback" not in done.stderr
