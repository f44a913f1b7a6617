"""A later program takes the state over while this one serves: nothing of it is written any more."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from proxy.state.checksum import with_checksum
from proxy.state.replay_file import APPLICATION_ID
from proxy.state.replay_file import VERSION as REPLAY_VERSION
from proxy.state.schema import VERSION
from tests.wire.conftest import WIDE
from tests.wire.harness.portals import Portal, contact
from tests.wire.harness.raw import Raw, RawConnection, exchange, request
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.harness.terminals import from_the_page, new_code, send_form

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxy.core.identity import PrivateKey

LATER = b'{"v": %d}' % (VERSION + 1)
CONTACTS = with_checksum(b"v: 2\nfriends: []\n")


@pytest.fixture
def friend() -> PrivateKey:
    return new_key()


@pytest.fixture
def lena(tmp_path: Path, friend: PrivateKey) -> Iterator[Portal]:
    """A Portal that runs, with a friend and an app."""
    with Recorder() as app:
        portal = Portal(tmp_path / "lena", "Lena")
        portal.add_app("wide", WIDE, app.port)
        portal.knows(contact(friend.public.portal_id, "Friend", 1, 1), apps={"wide": "all"})
        portal.start()
        yield portal
        portal.release()


def call(portal: Portal, friend: PrivateKey) -> str:
    got = exchange(portal.public, sign_call(friend, portal, "wide").raw)
    return "ok" if got.status == 200 else f"{got.status} {got.code}"


def ready(portal: Portal) -> Raw:
    with RawConnection(portal.owner) as wire:
        wire.send(request("GET", "/readyz", ("Host", "localhost")))
        return wire.read()


def put(portal: Portal, name: str, data: bytes) -> None:
    """Replace a file as a program does, whole."""
    new = portal.state / f".{name}.test"
    new.write_bytes(data)
    new.chmod(0o600)
    new.rename(portal.state / name)


def test_the_folder_is_marked_before_anything_is_served(lena: Portal) -> None:
    assert (lena.state / "schema.json").read_bytes() == b'{"v": %d}' % VERSION


def test_what_is_only_read_goes_on_and_nothing_is_written(lena: Portal, friend: PrivateKey) -> None:
    code = new_code(lena)
    pairing = (lena.state / "pairing.yaml").read_bytes()
    put(lena, "schema.json", LATER)
    eventually(lambda: ready(lena).status == 503)
    assert (
        "schema.json: is of version 4, and this program knows 3 at most"
        in ready(lena).body.decode()
    )
    assert call(lena, friend) == "ok"
    assert send_form(lena, code, from_the_page(lena)).code == "pairing_store_down"
    assert (lena.state / "pairing.yaml").read_bytes() == pairing
    assert not (lena.state / "terminals.yaml").exists()
    assert (lena.state / "schema.json").read_bytes() == LATER
    refused = lena.command("peers", "list")
    assert refused.returncode == 1
    assert "this program knows 3 at most" in refused.stderr
    assert lena.command("health").returncode == 1


def test_by_a_list_that_only_the_later_program_can_read_nobody_enters(
    lena: Portal, friend: PrivateKey
) -> None:
    assert call(lena, friend) == "ok"
    known = (lena.state / "contacts.yaml").read_bytes()
    put(lena, "contacts.yaml", CONTACTS)
    eventually(lambda: call(lena, friend) == "503 contacts_unavailable")
    assert "contacts.yaml: is of version 2" in ready(lena).body.decode()
    assert (lena.state / "contacts.yaml").read_bytes() == CONTACTS
    put(lena, "contacts.yaml", known)
    eventually(lambda: call(lena, friend) == "ok")


def test_a_replay_store_of_the_later_program_stays_and_no_call_is_let_in(
    lena: Portal, friend: PrivateKey
) -> None:
    assert call(lena, friend) == "ok"
    new = lena.state / "new.sqlite3"
    with closing(sqlite3.connect(new)) as db:
        db.execute("CREATE TABLE claims_of_a_later_program (nonce BLOB)")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {REPLAY_VERSION + 1}")
    new.chmod(0o600)
    later = new.read_bytes()
    signed = sign_call(friend, lena, "wide").raw
    for beside in ("-wal", "-shm"):
        os.unlink(lena.state / f"replay.sqlite3{beside}")  # noqa: PTH108 - as a program does
    new.rename(lena.state / "replay.sqlite3")
    assert exchange(lena.public, signed).code == "replay_store_down"
    eventually(lambda: "replay.sqlite3" in ready(lena).body.decode())
    assert "knows 3 at most" in ready(lena).body.decode()
    assert (lena.state / "replay.sqlite3").read_bytes() == later
