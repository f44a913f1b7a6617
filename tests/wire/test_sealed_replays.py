"""A sealed call is carried out at most once, whoever sends its envelope again, where and when."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.core.identity import PrivateKey
from tests.wire.conftest import WIDE, World
from tests.wire.harness.meddler import Passing
from tests.wire.harness.portals import Portal, contact, end, reserve_port, wait_for_ports
from tests.wire.harness.raw import RawConnection
from tests.wire.harness.recorder import Recorder
from tests.wire.harness.sealer import Sender
from tests.wire.harness.signer import new_key

AT_ONCE = 100


@dataclass
class Carol:
    """A Portal of which a test may break anything; ``friend`` is the key of its one contact."""

    portal: Portal
    app: Recorder
    friend: PrivateKey


@pytest.fixture
def carol(tmp_path: Path) -> Iterator[Carol]:
    with ExitStack() as stack:
        portal = Portal(tmp_path, "Carol", settings="accept: [sealed]\n")
        stack.callback(portal.release)
        app = stack.enter_context(Recorder())
        portal.add_app("wide", WIDE, app.port)
        friend = new_key()
        portal.knows(contact(friend.public.portal_id, "Friend", 9, 9), apps={"wide": "all"})
        yield Carol(portal.start(), app, friend)


def test_what_was_overheard_is_refused_when_it_is_sent_again(sealed: World) -> None:
    """Nobody but Eda can read the refusal; to everybody else it looks like the response."""
    responses = []

    def twice(passing: Passing) -> None:
        responses.extend([passing.on(), passing.on()])
        passing.back(responses[0])

    sealed.meddler.on_call = twice
    assert sealed.ask_sealed(method="POST", body=b"overheard").status == 200
    assert len(sealed.bob_app.requests) == 1
    assert responses[0].head == responses[1].head
    assert len(responses[0].body) == len(responses[1].body)
    assert responses[0].body != responses[1].body


def test_the_response_to_a_replay_is_no_response_to_the_call(sealed: World) -> None:
    """It opens, being sealed to the same envelope, and says that the outcome is unknown."""

    def replaying(passing: Passing) -> None:
        passing.on()
        passing.back(passing.on())

    sealed.meddler.on_call = replaying
    for method in ("GET", "POST"):
        got = sealed.ask_sealed(method=method)
        assert (got.status, got.code) == (502, "outcome_unknown")
    assert len(sealed.bob_app.requests) == 2


def test_of_many_at_once_to_two_processes_one_passes(carol: Carol) -> None:
    portal = carol.portal
    second = portal.folder / "config-of-a-second-process"
    sender = Sender(carol.friend, portal)
    raw = sender.around(sender.whole(sender.head("wide", b"/x", method=b"POST"), b"once"))
    with ExitStack() as stack:
        ports: list[int] = []
        for _ in range(3):
            holder, port = reserve_port()
            stack.enter_context(holder)
            ports.append(port)
        portal.write_config(second, listen=(ports[0], ports[1], ports[2]))
        shutil.copytree(portal.config / "apps", second / "apps")
        process = portal.launch(second)
        stack.callback(end, process)
        wait_for_ports(process, *ports, log=portal.log_file)

        statuses = at_once(sender, raw, (portal.public, ports[0]))

    assert Counter(statuses) == {200: 1, 409: AT_ONCE - 1}
    assert len(carol.app.requests) == 1


def at_once(sender: Sender, raw: bytes, ports: tuple[int, ...]) -> list[int]:
    """Send an envelope on connections that are open already; return each inner status."""
    with ExitStack() as stack:
        wires = [stack.enter_context(RawConnection(ports[n % len(ports)])) for n in range(AT_ONCE)]
        gate = threading.Barrier(len(wires))
        found: list[int] = []

        def send(wire: RawConnection) -> None:
            gate.wait()
            wire.send(raw)
            found.append(sender.opened(wire.read()).status)

        threads = [threading.Thread(target=send, args=(wire,)) for wire in wires]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


def test_a_restart_forgets_neither_the_call_nor_the_key(carol: Carol) -> None:
    sender = Sender(carol.friend, carol.portal)
    whole = sender.whole(sender.head("wide", b"/x", method=b"POST"), b"once")
    assert sender.opened(sender.send(whole)).status == 200

    assert carol.portal.stop() == 0
    carol.portal.start()

    assert sender.opened(sender.send(whole)).code == "replayed"
    assert len(carol.app.requests) == 1


def test_without_its_store_every_sealed_call_is_refused_under_seal(carol: Carol) -> None:
    for path in carol.portal.state.glob("replay.sqlite3*"):
        path.unlink()
    sender = Sender(carol.friend, carol.portal)
    got = sender.ask(sender.head("wide", b"/x"))
    assert (got.status, got.code) == (503, "replay_store_down")
    assert carol.app.received == b""


def test_a_call_that_was_refused_claims_nothing(carol: Carol) -> None:
    nonce = bytes(range(32))
    refused = Sender(carol.friend, carol.portal)
    head = refused.head("wide", b"/x", nonce=nonce, seal=bytes(32))
    assert refused.ask(head).code == "wrong_envelope"
    sender = Sender(carol.friend, carol.portal)
    assert sender.ask(sender.head("wide", b"/x", nonce=nonce)).status == 200
