"""Every row of ``tests/attacks`` at a running proxy; what counts is what came to the app."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from proxy.core.binary_http.message import RequestHead
from proxy.core.binary_http.writer import END, content, request_head
from proxy.core.signature.parameters import encode_nonce
from tests.core import peering
from tests.core.attack_rows import Row, draft_of, rows
from tests.core.binary_http.driving import read, reader_for
from tests.core.http1.driving import read_request
from tests.core.test_gate_keys import BAD_KEYS, with_bad_key
from tests.wire.harness.casting import BobsPortal
from tests.wire.harness.raw import Raw, RawConnection, exchange
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.sealer import Sender, offered_by
from tests.wire.harness.splits import drip

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.mark import ParameterSet

    from proxy.core.gate import Request
    from proxy.core.sealing.key_config import KeyConfig

SIGNED = [row for row in rows(sealed=False) if not row[0].endswith("a line break in a value")]
"""All but one that is, on the wire, a line of its own."""
UNSAYABLE = ("no Host", "two Hosts", "an empty field name")
"""What nobody can write in Binary HTTP: there is one authority, and no name is empty."""
SEALED = [(name, row) for name, row in rows(sealed=True) if not name.endswith(UNSAYABLE)]
EDGES = ("the edge admitted", "though short-lived", "expired 61 s ago")
"""Rows that tell the second itself: a running clock can't be held there, the core's can."""


def one_a_code(table: list[tuple[str, Row]]) -> list[ParameterSet]:
    """Leave all rows but the first of each refusal to ``make test-more``.

    The core refuses every row in tests/core; what is tried here is that a proxy asks it.
    """
    tried: set[str] = set()
    params = []
    for name, row in table:
        marks = (pytest.mark.more,) if row["code"] in tried else ()
        tried.add(row["code"])
        params.append(pytest.param(name, row, marks=marks, id=name))
    return params


@dataclass
class Stage:
    bob: BobsPortal
    app: Recorder
    config: KeyConfig


@contextmanager
def built_in(folder: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        bob = BobsPortal(folder / "bob", "Bob", aliases="bob.example")
        stack.callback(bob.release)
        bob.serve(app.port)
        yield Stage(bob, app, offered_by(bob))
        assert bob.MISTAKE not in bob.log, bob.log


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with built_in(tmp_path_factory.mktemp("attacks")) as stage:
        yield stage


@pytest.fixture
def stage(built: Stage) -> Stage:
    built.app.clear()
    return built


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    refresh(monkeypatch, stage)


def refresh(patch: pytest.MonkeyPatch, stage: Stage) -> None:
    """Have what is signed be of this second, under Bob's epoch, with a nonce of its own."""
    patch.setattr(peering, "EPOCH", stage.bob.epoch)
    eventually(lambda: time.time() % 1 < 0.6)
    patch.setattr(peering, "NOW", int(time.time()))
    patch.setattr(peering, "NONCE", encode_nonce(secrets.token_bytes(32)))


def in_its_second(patch: pytest.MonkeyPatch, stage: Stage, ask: Callable[[], Raw]) -> Raw:
    """Ask; once more where that took longer than a second, which a time can't be judged by."""
    got = ask()
    while time.time() >= peering.NOW + 1:
        stage.app.clear()
        refresh(patch, stage)
        got = ask()
    return got


def on_the_wire(request: Request, body: bytes) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method, request.target)]
    lines += [name + b": " + value for name, value in request.fields]
    return b"\r\n".join([*lines, b"", b""]) + body


def signed(row: Row) -> bytes:
    body = str(row.get("sign", {}).get("body", "Hello")).encode("latin-1")
    return on_the_wire(draft_of(row), body)


@dataclass
class Envelope:
    """A row in an envelope of its own."""

    sender: Sender
    head: bytes
    body: bytes

    @property
    def is_readable(self) -> bool:
        """Whether Binary HTTP can say what the row says."""
        message = self.head + content(self.body) + END
        return not read(reader_for(message), [message]).error


def sealed(stage: Stage, name: str, row: Row, patch: pytest.MonkeyPatch) -> Envelope:
    sender = Sender(peering.ADA, stage.bob, config=stage.config)
    patch.setattr(peering, "SEAL", sender.sealer.enc)
    draft = draft_of(row, sealed=True, digest=not name.startswith("sealed: "))
    body = str(row.get("sign", {}).get("body", "Hello")).encode("latin-1")
    (_, host), *fields = draft.fields
    head = request_head(RequestHead(draft.method, b"https", host, draft.target, tuple(fields)))
    return Envelope(sender, head, body)


def carried_out(stage: Stage, got: Raw, row: Row) -> bool:
    """Tell whether the twin came to its app, or to the Portal itself."""
    if got.status == 404:
        return got.one("portal-refusal") == b"not_found"
    (arrived,) = stage.app.requests
    sign: dict[str, Any] = row.get("sign", {})
    assert arrived.body == str(sign.get("body", "Hello")).encode("latin-1")
    assert arrived.one("x-ptl-client-type") in (b"peer", b"anonymous")
    return got.status == 200


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("name", "row"), one_a_code(SIGNED))
def test_a_signed_attack_is_refused_and_its_twin_carried_out(
    stage: Stage, name: str, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(row: Row) -> Raw:
        return exchange(stage.bob.public, signed(row))

    raw = signed(row)
    code = row["code"] if not read_request([raw]).error else "bad_request"
    is_of_time = name.startswith("time: ")

    got = in_its_second(monkeypatch, stage, partial(ask, row)) if is_of_time else ask(row)
    assert got.code == code
    if not is_of_time:
        assert drip(stage.bob.public, raw).code == code
    assert stage.app.received == b""

    if not row["attack"].endswith(EDGES):
        twin = row.get("twin", {})
        got = in_its_second(monkeypatch, stage, partial(ask, twin)) if is_of_time else ask(twin)
        assert carried_out(stage, got, twin)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("raw", BAD_KEYS)
def test_a_key_that_nobody_honest_has_is_refused(stage: Stage, raw: bytes) -> None:
    got = exchange(stage.bob.public, on_the_wire(with_bad_key(raw), b"Hello"))

    assert (got.status, got.code) == (401, "key_mismatch")
    assert stage.app.received == b""


def test_a_body_that_ends_after_its_signature_expired_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time is what had its whole head then: an upload may last."""
    row = {"then": [["add", "expect", "100-continue"]]}
    with built_in(tmp_path) as stage, RawConnection(stage.bob.public) as wire:
        monkeypatch.setattr(peering, "NOW", int(time.time()))
        monkeypatch.setattr(peering, "EPOCH", stage.bob.epoch)
        head, body = signed(row)[:-5], b"Hello"
        wire.send(head)
        assert wire.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        stage.bob.set_clock(125)
        wire.send(body)
        assert wire.read().status == 200
        assert stage.app.request.body == body
        assert exchange(stage.bob.public, signed(row)).code == "out_of_time"


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("name", "row"), one_a_code(SEALED))
def test_a_sealed_attack_is_refused_and_its_twin_carried_out(
    stage: Stage, name: str, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(row: Row) -> Raw:
        envelope = sealed(stage, name, row, monkeypatch)
        return envelope.sender.ask(envelope.head, envelope.body)

    is_readable = sealed(stage, name, row, monkeypatch).is_readable
    code = row["code"] if is_readable else "envelope_broken"
    is_of_time = name.startswith("time: ")

    got = in_its_second(monkeypatch, stage, partial(ask, row)) if is_of_time else ask(row)
    assert got.code == code
    assert stage.app.received == b""

    if not row["attack"].endswith(EDGES):
        twin = row.get("twin", {})
        got = in_its_second(monkeypatch, stage, partial(ask, twin)) if is_of_time else ask(twin)
        assert carried_out(stage, got, twin)
