"""What is removed takes with it what runs: at once, visibly, in both directions, and no more.

Every test has twins that run beside what is revoked, and must end well.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from proxy.core.access.policy import Mode
from tests.core.websocket.framing import MASK, TEXT, Frame, close, frames_of
from tests.patience import PATIENCE, soon
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import RawConnection, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.revoking import (
    BROKEN,
    HOME,
    Exchange,
    Refused,
    Stage,
    cookie_of,
    on_stage,
    remove_app,
)
from tests.wire.harness.sealer import around, key_problem
from tests.wire.harness.signer import answer_bytes, sign_call, signed_answer
from tests.wire.harness.sockets import RawSocket, handshake, switched

if TYPE_CHECKING:
    from .harness.sealer import Opened
    from .harness.signer import Asked

SOON = 2.0
"""Seconds: within one, and what a busy machine takes to look."""
HELLO = Frame(TEXT, b"hello")
MODES: tuple[Mode, ...] = ("signed", "sealed")


@pytest.fixture(scope="module")
def stage_(portals: type[Portal], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with on_stage(tmp_path_factory.mktemp("revocation"), portals) as stage:
        yield stage


@pytest.fixture
def stage(stage_: Stage) -> Iterator[Stage]:
    stage_.settle()
    yield stage_
    stage_.clear()


def hold_revoked(lost: dict[str, tuple[Exchange, str]], since: float) -> None:
    """Hold that each of them ends for its caller as it says, and for the app, and soon."""
    assert {name: each.seen() for name, (each, _) in lost.items()} == {
        name: end for name, (_, end) in lost.items()
    }
    assert all(each.visit.is_broken_off() for each, _ in lost.values())
    assert time.monotonic() - since < soon(SOON)


def hold_untouched(*twins: Exchange) -> None:
    assert [twin.goes_on() for twin in twins] == [True] * len(twins)


# At Bob's apps.

REMOVALS_AT_BOB = {
    "a contact": "403 not_allowed",
    "a peer from an app": "403 not_allowed",
    "an app": "404 no_such_app",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("removed", REMOVALS_AT_BOB)
def test_what_a_peer_has_running_ends_with_what_it_lives_on(
    stage: Stage, mode: Mode, removed: str
) -> None:
    caller = stage.caller(mode)
    (other,) = {stage.ada.id, stage.eda.id} - {caller.id}
    bystander = next(each for each in (stage.ada, stage.eda) if each.id == other)
    refusal = REMOVALS_AT_BOB[removed]
    lost = {
        "waits": (stage.call(caller, "waits"), refusal),
        "listens": (stage.call(caller, "listens"), BROKEN if mode == "sealed" else refusal),
    }
    if mode == "sealed":
        lost["uploads"] = stage.call(caller, "uploads"), refusal
    twins = [stage.stranger(deed) for deed in ("listens", "uploads")]
    twins += [stage.call(bystander, deed, "other") for deed in ("listens", "waits")]
    if removed != "an app":
        twins += [stage.call(bystander, "waits"), stage.call(bystander, "listens")]
    if removed != "a contact":
        twins += [stage.call(caller, "waits", "other"), stage.call(caller, "listens", "other")]

    since = time.monotonic()
    if removed == "a contact":
        stage.bob_knows(bystander)
    elif removed == "a peer from an app":
        stage.bob_knows(caller, bystander, hidden=caller)
    else:
        remove_app(stage.bob, "live")

    hold_revoked(lost, since)
    hold_untouched(*twins)
    with pytest.raises(Refused):
        stage.call(caller, "waits")


def test_a_strangers_requests_end_with_the_app(stage: Stage) -> None:
    lost = {
        "waits": (stage.stranger("waits"), "404 no_such_app"),
        "uploads": (stage.stranger("uploads"), "404 no_such_app"),
        "listens": (stage.stranger("listens"), BROKEN),
    }
    twins = [stage.stranger(deed, "yard") for deed in ("waits", "uploads", "listens")]
    since = time.monotonic()
    remove_app(stage.bob, "site")
    hold_revoked(lost, since)
    hold_untouched(*twins, stage.call(stage.ada, "waits"))


def test_what_a_terminal_has_running_ends_with_it(stage: Stage) -> None:
    lost = {
        "waits": (stage.terminal("tablet", "waits"), "401 proof_required"),
        "uploads": (stage.terminal("tablet", "uploads"), "401 proof_required"),
        "listens": (stage.terminal("tablet", "listens"), BROKEN),
    }
    path = "/ws/tablet"
    wire, at_app = open_socket(stage, HOME, path, cookie_of("tablet"))
    twins = [stage.terminal("phone", deed) for deed in ("waits", "uploads", "listens")]
    twins.append(stage.stranger("listens"))
    since = time.monotonic()
    stage.pair("phone")
    hold_revoked(lost, since)
    with wire:
        assert wire.hear_all() == [close(1008)]
        assert frames_of(at_app.visit.wire.rest()) == ([close(1008)], b"")
    assert time.monotonic() - since < soon(SOON)
    hold_untouched(*twins)
    with pytest.raises(Refused):
        stage.terminal("tablet", "waits")


def test_a_connection_that_carries_others_too_goes_on(stage: Stage) -> None:
    """As that of a web server in between, that sends every client's requests on it in turn."""
    with RawConnection(stage.bob.public) as shared:
        assert stage.stranger("waits", "yard", shared).goes_on()
        lost = stage.stranger("waits", "site", shared)
        remove_app(stage.bob, "site")
        assert lost.seen() == "404 no_such_app"
        assert stage.stranger("waits", "yard", shared).goes_on()


def test_a_signed_request_that_is_still_held_never_reaches_the_app(stage: Stage) -> None:
    raw = {name: sign_call(portal.key, stage.bob, "live", method=b"POST", body=b"abcd",
                           target=b"/held/" + name.encode()).raw
           for name, portal in (("ada", stage.ada), ("eda", stage.eda))}  # fmt: skip
    with RawConnection(stage.bob.public) as lost, RawConnection(stage.bob.public) as twin:
        lost.send(raw["ada"][:-2])
        twin.send(raw["eda"][:-2])
        stage.stranger("waits").goes_on()  # by now both heads were read
        stage.bob_knows(stage.eda)
        refused = lost.read()
        assert (refused.status, refused.code) == (403, "not_allowed")
        assert refused.all("signature")
        twin.send(raw["eda"][-2:])
        stage.meet(twin, "/held/eda").response()
        assert twin.read().body == b"whole"
    assert "/held/ada" not in stage.app.visits


def test_a_response_that_is_held_for_one_who_takes_it_slowly_breaks_off(stage: Stage) -> None:
    body = bytes(20 * 1024 * 1024)
    wires: list[RawConnection] = []
    for portal in (stage.ada, stage.eda):
        name = f"/large/{portal.name}"
        wires.append(wire := stage.dial(stage.bob.public))
        wire.send(sign_call(portal.key, stage.bob, "live", target=name.encode()).raw)
        visit = stage.meet(wire, name)
        visit.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        visit.over.set()
        wire.put_back(wire.until(b"\r\n\r\n"))
    before = len(stage.bob.lines(outcome="revoked"))
    stage.bob_knows(stage.eda)
    eventually(lambda: len(stage.bob.lines(outcome="revoked")) > before)
    lost, twin = wires
    with pytest.raises(EOFError):
        lost.read()
    assert twin.read().body == body


# From the callers' apps.

REMOVALS_AT_THE_CALLER = {
    "a contact": "404 no_such_peer",
    "a peer from an app": "404 no_such_peer",
    "an app": "401 token_unknown",
}


def remove_at(stage: Stage, caller: Portal, removed: str) -> None:
    if removed == "a contact":
        stage.knows(caller, bob=False)
    elif removed == "a peer from an app":
        stage.knows(caller, hidden="live")
    else:
        remove_app(caller, "live")


def ask_twin(stage: Stage, caller: Portal) -> tuple[RawConnection, threading.Event]:
    """Ask a caller's other contact, whose response waits for the event."""
    may_answer, asked = threading.Event(), threading.Event()

    def honestly(got: Asked) -> bytes:
        asked.set()
        may_answer.wait(PATIENCE)
        body = b"from the peer"
        key = stage.fake.key
        return answer_bytes(200, signed_answer(key, got.question, body=body), body)

    def sealed(got: Opened) -> bytes:
        asked.set()
        may_answer.wait(PATIENCE)
        return around(got.sealed())

    stage.fake.response, stage.peer.response = honestly, sealed
    wire = stage.dial(caller.apps)
    wire.send(ask_for(stage, caller))
    assert asked.wait(PATIENCE)
    return wire, may_answer


def ask_for(stage: Stage, caller: Portal, method: str = "GET") -> bytes:
    """Return what the app ``other`` sends to call the caller's other contact."""
    fields = (("Host", "portal_core"), ("Portal-Token", caller.token("other")))
    path = f"/internal/call_peer/{stage.others_contact(caller).id}/x"
    return request(method, path, *fields)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("removed", REMOVALS_AT_THE_CALLER)
def test_what_an_app_has_running_at_a_peer_ends_with_what_it_lives_on(
    stage: Stage, mode: Mode, removed: str
) -> None:
    caller = stage.caller(mode)
    refusal = REMOVALS_AT_THE_CALLER[removed]
    lost = {
        "waits": (stage.call(caller, "waits"), refusal),
        "listens": (stage.call(caller, "listens"), BROKEN if mode == "sealed" else refusal),
    }
    if mode == "sealed":  # a signed one is held until it is whole
        lost["uploads"] = stage.call(caller, "uploads"), "502 outcome_unknown"
    twins = [stage.stranger("listens")]
    if removed != "a contact":
        twins += [stage.call(caller, "waits", "other"), stage.call(caller, "listens", "other")]
    wire, may_answer = ask_twin(stage, caller)

    since = time.monotonic()
    remove_at(stage, caller, removed)

    hold_revoked(lost, since)
    hold_untouched(*twins)
    may_answer.set()
    assert wire.read().body == b"from the peer"
    with pytest.raises(Refused):
        stage.call(caller, "waits")


@pytest.mark.parametrize(
    ("removed", "end"), [("a contact", "403 not_a_peer_host"), ("an app", "407 token_unknown")]
)
def test_as_a_forward_proxy_it_gives_that_forms_refusals(
    stage: Stage, removed: str, end: str
) -> None:
    path = f"/proxied/{removed.replace(' ', '-')}"
    with RawConnection(stage.eda.apps) as wire:
        host = stage.bob.app_host("live")
        fields = (("Host", host), ("Portal-Token", stage.eda.token("live")))
        wire.send(request("GET", f"http://{host}{path}", *fields))
        lost = Exchange("waits", wire, stage.meet(wire, path))
        since = time.monotonic()
        remove_at(stage, stage.eda, removed)
        hold_revoked({removed: (lost, end)}, since)


@pytest.mark.parametrize("first", ["a key problem", "out of time"])
def test_a_call_that_was_revoked_is_not_tried_again(stage: Stage, first: str) -> None:
    """What the peer says of the first try, after the removal, brings no second one about."""
    may_answer, over = threading.Event(), threading.Event()

    def response(got: Opened) -> bytes:
        may_answer.wait(PATIENCE)
        over.set()
        if first == "a key problem":
            return key_problem()
        problem = json.dumps({"code": "out_of_time", "now": int(time.time()) + 3000})
        return around(got.sealed(401, ((b"portal-refusal", b"out_of_time"),), problem.encode()))

    stage.peer.clear()
    stage.peer.response = response
    with RawConnection(stage.eda.apps) as wire:
        wire.send(ask_for(stage, stage.eda))
        eventually(lambda: stage.peer.asked)
        stage.eda.knows(stage.bob.as_contact(mode="sealed"), apps={})
        refused = wire.read()
        assert (refused.status, refused.code) == (404, "no_such_peer")
        may_answer.set()
        assert over.wait(PATIENCE)
        wire.send(ask_for(stage, stage.eda))
        assert wire.read().code == "no_such_peer"
    assert len(stage.peer.asked) + len(stage.peer.unopened) == 1
    stage.peer.clear()


# WebSockets.


def open_socket(
    stage: Stage, app: str, path: str, *fields: tuple[str, str]
) -> tuple[RawSocket, Exchange]:
    wire = RawSocket(stage.bob.public)
    wire.send(handshake(stage.bob.app_host(app), path, *fields))
    visit = stage.meet(wire, path)
    visit.wire.send(switched())
    assert b" 101 " in wire.until(b"\r\n\r\n")
    return wire, Exchange("talks", wire, visit)


def test_a_websocket_gets_an_end_that_both_sides_see(stage: Stage) -> None:
    lost, at_app = open_socket(stage, "site", "/ws/lost")
    twin, at_twin = open_socket(stage, "yard", "/ws/twin")
    with lost, twin:
        lost.say(HELLO)
        at_app.visit.wire.until(HELLO.raw(MASK)[-1:])
        since = time.monotonic()
        remove_app(stage.bob, "site")
        assert lost.hear_all() == [close(1008)]
        assert frames_of(at_app.visit.wire.rest()) == ([close(1008)], b"")
        assert time.monotonic() - since < soon(SOON)

        at_twin.visit.wire.send(HELLO.raw())
        twin.hear(HELLO)
        twin.say(HELLO)
        assert frames_of(at_twin.visit.wire.exactly(len(HELLO.raw(MASK)))) == ([HELLO], b"")


def test_in_the_middle_of_a_frame_only_a_broken_connection_tells(stage: Stage) -> None:
    lost, at_app = open_socket(stage, "site", "/ws/middle")
    with lost:
        at_app.visit.wire.send(HELLO.raw()[:-1])
        lost.say(HELLO)
        half = HELLO.raw(MASK)[:-1]
        lost.send(half)
        lost.until(b"hell")
        got = at_app.visit.wire.exactly(len(HELLO.raw(MASK)) + len(half))
        remove_app(stage.bob, "site")
        assert lost.rest() == b""
        assert at_app.visit.wire.rest() == b""
        assert frames_of(got)[0] == [HELLO]


def test_a_handshake_that_the_app_has_not_answered_is_refused(stage: Stage) -> None:
    with RawSocket(stage.bob.public) as wire:
        wire.send(handshake(stage.bob.app_host("site"), "/ws/waits"))
        lost = Exchange("waits", wire, stage.meet(wire, "/ws/waits"))
        since = time.monotonic()
        remove_app(stage.bob, "site")
        hold_revoked({"handshake": (lost, "404 no_such_app")}, since)


# What isn't a removal.


def _renamed(stage: Stage) -> None:
    renamed = stage.bob.as_contact(mode="signed", connect=1)
    stage.eda.knows(renamed, apps={"live": "all"})
    changed = (portal.as_contact(mode="sealed", connect=1) for portal in (stage.ada, stage.eda))
    stage.bob.knows(*changed, apps={"live": "all"})


def _closed(stage: Stage) -> None:
    for name in ("live", "site"):
        file = stage.bob.config / "apps" / name / "app.json"
        manifest = json.loads(file.read_text("utf-8"))
        manifest["paths"] = {"": {"access": "private"}}
        new = file.with_name("new")
        new.write_text(json.dumps(manifest), "utf-8")
        new.replace(file)


@pytest.mark.parametrize("change", [_renamed, _closed])
def test_a_change_that_removes_nothing_ends_nothing(
    stage: Stage, change: Callable[[Stage], None]
) -> None:
    twins = [stage.stranger(deed) for deed in ("waits", "uploads", "listens")]
    twins += [stage.call(stage.eda, deed) for deed in ("waits", "uploads", "listens")]
    twins += [stage.call(stage.ada, deed) for deed in ("waits", "listens")]
    followed = "the apps changed" if change is _closed else "the contact list changed"
    before = stage.bob.log.count(followed)
    change(stage)
    eventually(lambda: stage.bob.log.count(followed) > before)
    if change is _closed:
        eventually(lambda: _is_refused(stage))
    hold_untouched(*twins)
    for name in ("live", "site"):
        remove_app(stage.bob, name)


def _is_refused(stage: Stage) -> bool:
    try:
        stage.stranger("waits").goes_on()
    except Refused:
        return True
    return False


# What the owner reads.


def test_the_log_says_that_it_was_revoked_and_why(stage: Stage) -> None:
    before = len(stage.bob.lines(outcome="revoked"))
    waits, listens = stage.call(stage.eda, "waits"), stage.call(stage.eda, "listens")
    stage.bob_knows(stage.ada)
    assert {waits.seen(), listens.seen()} == {"403 not_allowed", BROKEN}
    eventually(lambda: len(stage.bob.lines(outcome="revoked")) == before + 2)
    lines = stage.bob.lines(outcome="revoked")[before:]
    assert {(line["status"], line.get("code")) for line in lines} == {
        (403, "not_allowed"), (200, None),
    }  # fmt: skip
    for line in lines:
        assert (line["caller_id"], line["app"], line["level"]) == (stage.eda.id, "live", "info")
        assert line["detail"] == f"{stage.eda.id} isn't a contact any more"
