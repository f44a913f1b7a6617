"""A call is carried out at most once, whoever sends it again, where and when: signed or sealed."""

from __future__ import annotations

import base64
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from proxy.core.access.policy import MODES, Mode
from proxy.core.http.problem import refusal_mark
from proxy.core.identity import PrivateKey
from proxy.core.identity_document import PATH
from proxy.core.signature.request import Recipient
from proxy.state.replay_file import SILENCE
from tests.wire.conftest import SITE, WIDE, World
from tests.wire.harness.meddler import Passing
from tests.wire.harness.portals import Portal, contact, end, reserve_port, wait_for_ports
from tests.wire.harness.raw import Raw, RawConnection, exchange, request, response
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.sealer import Sender
from tests.wire.harness.signer import new_key, sign_call
from tests.wire.harness.troubled import Drifting

AT_ONCE = {"signed": 200, "sealed": 100}

REFUSED = ("replayed", "out_of_time")
"""How what was carried out before a restart is refused: the latter where that took seconds."""

modes = pytest.mark.parametrize("mode", MODES)


@dataclass(frozen=True)
class Call:
    """A call's bytes, and what its sender makes of a response to them."""

    raw: bytes
    opened: Callable[[Raw], Raw]


@dataclass(frozen=True)
class Carol:
    """A Portal of which a test may break anything; ``friend`` is the key of its one contact."""

    portal: Portal
    app: Recorder
    friend: PrivateKey

    def call(self, mode: Mode, body: bytes = b"once", **signing: Any) -> Call:
        """Return a call of the friend's that wasn't sent yet."""
        if mode == "sealed":
            sender = Sender(self.friend, self.portal)
            whole = sender.whole(sender.head("wide", method=b"POST", **signing), body)
            return Call(sender.around(whole), sender.opened)
        signed = sign_call(self.friend, self.portal, "wide", method=b"POST", body=body, **signing)

        def proven(got: Raw) -> Raw:
            assert signed.believes(got, self.portal.id)
            return got

        return Call(signed.raw, proven)

    def get(self, call: Call) -> Raw:
        """Send a call; return what its sender opens."""
        return call.opened(exchange(self.portal.public, call.raw))


@contextmanager
def running(folder: Path) -> Iterator[Carol]:
    with ExitStack() as stack:
        portal = Portal(folder, "Carol")
        stack.callback(portal.release)
        app = stack.enter_context(Recorder())
        portal.add_app("wide", WIDE, app.port)
        portal.add_app("site", SITE, app.port)
        friend = new_key()
        portal.knows(contact(friend.public.portal_id, "Friend", 9, 9), apps={"wide": "all"})
        yield Carol(portal.start(), app, friend)


@pytest.fixture(scope="module")
def carol_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carol]:
    with running(tmp_path_factory.mktemp("carol")) as carol:
        yield carol


@pytest.fixture
def carol(carol_: Carol) -> Carol:
    """A Portal that runs, and must run again after the test."""
    carol_.app.clear()
    return carol_


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[Carol]:
    """A Portal whose store may be spoiled."""
    with running(tmp_path) as carol:
        yield carol


def test_the_same_bytes_pass_once(world: World) -> None:
    call = sign_call(world.cleo, world.bob, "wide", method=b"POST", body=b"once")

    first, *again = [world.bobs(call.raw) for _ in range(3)]

    assert first.status == 200
    for got in again:
        assert (got.status, got.code) == (409, "replayed")
        assert call.believes(got, world.bob.id)
    assert len(world.bob_app.requests) == 1


def test_what_was_overheard_is_refused_when_it_is_sent_again(world: World) -> None:
    assert world.ask(world.bob.id, "/x", method="POST", body=b"overheard").status == 200
    overheard = bytes(world.relay.sent)

    got = world.bobs(overheard)

    assert got.code == "replayed"
    assert len(world.bob_app.requests) == 1


def test_an_envelope_that_was_overheard_is_refused_when_it_is_sent_again(sealed: World) -> None:
    """Nobody but Eda can read the refusal; to everybody else it looks like the response."""
    responses = []

    def twice(passing: Passing) -> None:
        responses.extend([passing.on(), passing.on()])
        passing.back(responses[0])

    sealed.meddler.on_call = twice
    assert sealed.ask_sealed(method="POST", body=b"overheard").status == 200
    assert len(sealed.bob_app.requests) == 1
    assert responses[0].comparable[0] == responses[1].comparable[0]
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


def test_a_replay_through_an_alias_is_a_replay(world: World) -> None:
    for host in ("wide.bob.example", "wide.127.0.0.1", world.bob.app_host("wide").upper()):
        call = sign_call(world.cleo, world.bob, "wide")
        other = call.raw.replace(world.bob.app_host("wide").encode(), host.encode(), 1)
        assert other != call.raw
        assert world.bobs(other).status == 200  # we are this host too
        assert world.bobs(call.raw).code == "replayed"
    assert {raw.one("host").decode() for raw in world.bob_app.requests} == {
        world.bob.told_host("wide")
    }


def test_a_replay_elsewhere_is_refused(world: World) -> None:
    call = sign_call(world.cleo, world.bob, "wide", b"/path")
    here = world.bob.app_host("wide").encode()
    elsewhere = {
        call.raw.replace(b"/path", b"/other", 1): "signature_invalid",
        call.raw.replace(here, world.bob.app_host("box").encode(), 1): "wrong_recipient",
        call.raw.replace(here, world.bob.host.encode(), 1): "wrong_recipient",
    }
    for raw, code in elsewhere.items():
        assert world.bobs(raw).code == code
    at_ada = call.raw.replace(here, world.ada.app_host("wide").encode(), 1)
    assert exchange(world.ada.public, at_ada).code == "wrong_recipient"
    assert exchange(world.ada.public, call.raw).code == "misdirected"

    assert world.bob_app.received == world.ada_app.received == b""
    assert world.bobs(call.raw).status == 200


@modes
def test_of_many_at_once_to_two_processes_one_passes(carol: Carol, mode: Mode) -> None:
    portal = carol.portal
    second = portal.folder / f"config-of-a-second-process-{mode}"
    ports: list[int] = []
    with ExitStack() as stack:
        for _ in range(3):
            holder, port = reserve_port()
            stack.enter_context(holder)
            ports.append(port)
        portal.write_config(second, listen=(ports[0], ports[1], ports[2]))
        shutil.copytree(portal.config / "apps", second / "apps")
        process = portal.launch(second)
        stack.callback(end, process)
        wait_for_ports(process, *ports, log=portal.log_file)

        statuses = at_once(carol.call(mode), (portal.public, ports[0]), AT_ONCE[mode])

    assert Counter(statuses) == {200: 1, 409: AT_ONCE[mode] - 1}
    assert len(carol.app.requests) == 1


def at_once(call: Call, ports: tuple[int, ...], count: int) -> list[int]:
    """Send a call on connections that are open already; return each one's status."""
    with ExitStack() as stack:
        wires = [stack.enter_context(RawConnection(ports[n % len(ports)])) for n in range(count)]
        gate = threading.Barrier(len(wires))
        found: list[int] = []

        def send(wire: RawConnection) -> None:
            gate.wait()
            wire.send(call.raw)
            found.append(call.opened(wire.read()).status)

        threads = [threading.Thread(target=send, args=(wire,)) for wire in wires]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


@modes
def test_a_restart_forgets_nothing(carol: Carol, mode: Mode) -> None:
    call = carol.call(mode)
    assert carol.get(call).status == 200

    assert carol.portal.stop() == 0
    carol.portal.start()

    assert carol.get(call).code in REFUSED
    assert carol.get(carol.call(mode)).status == 200
    assert len(carol.app.requests) == 2


@modes
def test_a_killed_proxy_forgets_nothing(carol: Carol, mode: Mode) -> None:
    call = carol.call(mode)
    assert carol.get(call).status == 200
    process = carol.portal._process
    assert process is not None
    process.kill()
    process.wait()

    carol.portal.start()

    assert carol.get(call).code in REFUSED


def _remove(path: Path) -> None:
    path.unlink()


def _spoil(path: Path) -> None:
    path.write_bytes(b"garbage " * 4096)


@pytest.mark.parametrize("deed", [_remove, _spoil])
def test_a_lost_store_is_made_anew_and_what_was_signed_before_is_refused(
    doomed: Carol, deed: Callable[[Path], None]
) -> None:
    """Nobody is refused longer than it takes to sign under the new epoch."""
    carried_out = [doomed.call(mode) for mode in MODES]
    for call in carried_out:
        assert doomed.get(call).status == 200
    never_sent = [doomed.call(mode) for mode in MODES]

    for path in doomed.portal.state.glob("replay.sqlite3*"):
        if not path.name.endswith(".lock"):
            deed(path)

    for call in (*carried_out, *never_sent):
        got = doomed.get(call)
        assert (got.status, got.code) == (401, "out_of_time")
    assert len(doomed.app.requests) == 2
    for mode in MODES:
        assert doomed.get(doomed.call(mode)).status == 200
    host = ("Host", doomed.portal.app_host("site"))
    assert exchange(doomed.portal.public, request("GET", "/", host)).status == 200
    assert "made a new replay store" in doomed.portal.settled_log()


@modes
def test_the_epoch_is_told_by_the_document_and_by_each_refusal_for_the_time(
    carol: Carol, mode: Mode
) -> None:
    epoch = carol.portal.epoch
    document = exchange(carol.portal.public, request("GET", PATH, ("Host", carol.portal.host)))
    assert document.json()["epoch"] == base64.b64encode(epoch).decode()
    to = Recipient(carol.portal.id, "wide")
    for told in (
        carol.get(carol.call(mode, recipient=to)),
        carol.get(carol.call(mode, recipient=replace(to, epoch=bytes(16)))),
        carol.get(carol.call(mode, now=time.time() - 3600)),
    ):
        assert (told.status, told.code) == (401, "out_of_time")
        problem = told.json()
        assert problem["epoch"] == base64.b64encode(epoch).decode()
        assert abs(problem["now"] - time.time()) < 30
        assert 0 <= problem["memory"] <= 600_000
        mark = refusal_mark(told.fields)
        assert (mark.now, mark.epoch, mark.memory) == (problem["now"], epoch, problem["memory"])
    assert carol.app.requests == []


@modes
def test_the_caller_learns_the_epoch_once_and_again_when_it_changed(
    tmp_path: Path, mode: Mode
) -> None:
    """Each call is carried out once; a signed first one is sent twice, a sealed one isn't."""
    with ExitStack() as stack:
        portals, apps = [], []
        for name in ("Ann", "Ben"):
            portal = Portal(tmp_path / name.lower(), name)
            stack.callback(portal.release)
            apps.append(stack.enter_context(Recorder()))
            portal.add_app("wide", WIDE, apps[-1].port)
            portals.append(portal)
        ann, ben = portals
        ann.knows(ben.as_contact(mode=mode), apps={"wide": "all"})
        ben.knows(ann.as_contact(), apps={"wide": "all"})
        ann.start()
        ben.start()
        fields = (("Host", "x"), ("Portal-Token", ann.token("wide")))

        def call(number: int) -> None:
            path = f"/internal/call_peer/{ben.id}/{number}"
            got = exchange(ann.apps, request("POST", path, *fields, body=b"once"))
            assert (got.status, got.body) == (200, b"ok")

        call(1)
        call(2)
        assert ben.settled_log().count("out_of_time") == (mode == "signed")
        for path in ben.state.glob("replay.sqlite3*"):
            path.unlink()
        eventually(lambda: "made a new replay store" in ben.log)
        time.sleep(0.2)  # its memory must reach back further than a call takes
        call(3)
        call(4)
        assert ben.settled_log().count("out_of_time") == (mode == "signed") + 1
        assert [raw.target for raw in apps[1].requests] == [b"/1", b"/2", b"/3", b"/4"]


@pytest.mark.more
@pytest.mark.parametrize("is_set_back", [False, True])
def test_a_state_that_was_put_back_carries_nothing_out_again(
    tmp_path: Path, *, is_set_back: bool
) -> None:
    """The whole folder, and the clock set back to when it was copied as well."""
    with ExitStack() as stack:
        app = stack.enter_context(Recorder())
        portal = Drifting(tmp_path / "rolled", "Rolled", settings="accept: [sealed, signed]\n")
        stack.callback(portal.release)
        portal.add_app("wide", WIDE, app.port)
        friend = new_key()
        portal.knows(contact(friend.public.portal_id, "Friend", 9, 9), apps={"wide": "all"})
        carol = Carol(portal.start(), app, friend)
        portal.stop()
        copied = time.time()
        shutil.copytree(portal.state, tmp_path / "copy")
        portal.start()
        calls = [carol.call(mode) for mode in MODES]
        for call in calls:
            assert carol.get(call).status == 200
        portal.stop()
        for path in portal.state.glob("replay.sqlite3*"):
            path.unlink()
        for path in (tmp_path / "copy").glob("replay.sqlite3*"):
            shutil.copy2(path, portal.state)
        eventually(lambda: time.time() - copied > SILENCE)
        portal.set_clock(copied - time.time() if is_set_back else 0)
        portal.start()

        for call in calls:
            assert carol.get(call).code == "out_of_time"
        assert len(app.requests) == len(calls)


def test_a_refused_call_claims_nothing(world: World) -> None:
    call = sign_call(world.cleo, world.bob, "wide", method=b"POST", body=b"whole")
    spoiled = call.raw.replace(b"/ HTTP", b"/x HTTP", 1)

    assert world.bobs(spoiled).code == "signature_invalid"
    assert world.bobs(call.raw).status == 200


def test_a_sealed_call_that_was_refused_claims_nothing(carol: Carol) -> None:
    nonce = bytes(range(32))
    refused = Sender(carol.friend, carol.portal)
    head = refused.head("wide", b"/x", nonce=nonce, seal=bytes(32))
    assert refused.ask(head).code == "wrong_envelope"
    sender = Sender(carol.friend, carol.portal)
    assert sender.ask(sender.head("wide", b"/x", nonce=nonce)).status == 200


def test_time_is_judged_a_minute_each_way(world: World) -> None:
    now = time.time()
    for shift, code in ((75, "out_of_time"), (-3600, "out_of_time"), (3600, "out_of_time")):
        call = sign_call(world.cleo, world.bob, "wide", now=now + shift)
        got = world.bobs(call.raw)
        assert got.code == code
        assert abs(got.json()["now"] - now) < 30
        assert call.believes(got, world.bob.id)
    assert world.bobs(sign_call(world.cleo, world.bob, "wide", now=now + 40).raw).status == 200
    assert len(world.bob_app.requests) == 1


@pytest.mark.parametrize("shift", [3600, -3600])
def test_a_portal_whose_clock_is_wrong_corrects_itself_and_calls_once(
    tmp_path: Path, shift: int
) -> None:
    with ExitStack() as stack:
        late = Portal(tmp_path, "Late", clock_shift=shift)
        stack.callback(late.release)
        app = stack.enter_context(Recorder())
        late.add_app("wide", WIDE, app.port)
        friend = Portal(tmp_path / "friend", "Friend")
        stack.callback(friend.release)
        friend_app = stack.enter_context(Recorder())
        friend.add_app("wide", WIDE, friend_app.port)
        late.knows(friend.as_contact(), apps={"wide": "all"})
        friend.knows(late.as_contact(), apps={"wide": "all"})
        late.start()
        friend.start()
        for caller, callee, heard in ((late, friend, friend_app), (friend, late, app)):
            fields = (("Host", "x"), ("Portal-Token", caller.token("wide")))
            path = f"/internal/call_peer/{callee.id}/x"

            got = exchange(caller.apps, request("POST", path, *fields, body=b"on time"))

            assert (got.status, got.body) == (200, b"ok")
            assert heard.request.body == b"on time"
            assert "out_of_time" in callee.settled_log()

            heard.script(response(200, ("Content-Length", "2"), body=None))
            with RawConnection(caller.apps) as wire:
                wire.send(request("HEAD", path, *fields))
                assert wire.read(to_head=True).status == 200
