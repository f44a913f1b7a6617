"""One more try for a key that is gone, one for a wrong clock, and never anything but sealed."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.http.problem import refusal_response
from proxy.core.identity_document import PATH
from proxy.core.sealing.envelope import GATEWAY
from proxy.outbound.identity_documents import RENEWAL_PAUSE
from tests.patience import soon
from tests.wire.conftest import WIDE
from tests.wire.harness.meddler import HungUp, Meddler, Passing
from tests.wire.harness.portals import Portal
from tests.wire.harness.raw import Raw, RawConnection, exchange, request, response
from tests.wire.harness.recorder import Recorder, eventually
from tests.wire.harness.sealer import Opened, around, key_problem, offered_by
from tests.wire.harness.signer import answer_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import World

SAFE = {"GET": "peer_untrusted", "POST": "outcome_unknown"}


def renew_bobs_key(world: World) -> None:
    """Delete Bob's sealing key; he makes another one at once."""
    before = offered_by(world.bob)
    (world.bob.state / "sealing" / f"{before.key_id}.key").unlink()
    host = ("Host", world.bob.host)

    def has_another() -> bool:
        got = exchange(world.bob.public, request("GET", GATEWAY, host))
        return got.status == 200 and got.body[2:] != before.serialise()

    eventually(has_another)


# --- keys ----------------------------------------------------------------------------------


def test_a_key_that_is_gone_is_asked_for_anew_and_the_call_is_made_once_more(
    sealed: World,
) -> None:
    assert sealed.ask_sealed("/before").status == 200
    renew_bobs_key(sealed)
    sealed.meddler.clear()
    sealed.bob_app.clear()

    got = sealed.ask_sealed("/after", method="POST", body=b"body")

    assert (got.status, got.body) == (200, b"ok")
    assert (len(sealed.meddler.calls), sealed.meddler.documents) == (2, 1)
    assert sealed.bob_app.request.body == b"body"
    assert sealed.ask_sealed("/again").status == 200
    assert (len(sealed.meddler.calls), sealed.meddler.documents) == (3, 1)


def test_many_calls_to_a_key_that_is_gone_ask_for_the_new_one_once(sealed: World) -> None:
    assert sealed.ask_peer().status == 200
    sealed.peer.rotate()
    sealed.peer.clear()
    found: list[int] = []

    def ask() -> None:
        found.append(sealed.ask_peer("POST", b"body").status)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 8
    assert sealed.peer.documents <= 2


def test_a_large_body_is_not_sent_twice(sealed: World) -> None:
    assert sealed.ask_peer().status == 200
    sealed.peer.rotate()
    sealed.peer.clear()

    got = sealed.ask_peer("POST", bytes(129 * 1024))

    assert (got.status, got.code) == (502, "outcome_unknown")
    assert len(sealed.peer.unopened) == 1
    assert sealed.ask_peer("POST", bytes(129 * 1024)).status == 200
    sealed.peer.rotate()
    assert sealed.ask_peer("POST", bytes(127 * 1024)).status == 200


def test_a_further_try_has_the_nonce_of_the_first_and_an_envelope_of_its_own(
    sealed: World,
) -> None:
    def refusing_first(passing: Passing) -> None:
        if len(sealed.meddler.calls) == 1:
            passing.say(key_problem())
        else:
            passing.back(passing.on())

    sealed.meddler.on_call = refusing_first
    assert sealed.ask_sealed(method="POST", body=b"body").status == 200
    one, two = sealed.meddler.calls
    assert one.body[7:39] != two.body[7:39]
    assert len(sealed.bob_app.requests) == 1


# --- a web server in front that has error pages of its own ----------------------------------


def with_pages_of_its_own(passing: Passing) -> None:
    """Be a web server that keeps an error's status, and puts a page in the place of its body."""
    got = passing.on()
    if got.status < 400:
        passing.back(got)
    else:
        page = b"<h1>Something went wrong</h1>"
        passing.say(response(got.status, ("Content-Type", "text/html"), body=page))


def as_if_all_were_well(passing: Passing) -> None:
    """Be one that answers with a page and 200 wherever there was an error."""
    got = passing.on()
    passing.back(got) if got.status < 400 else passing.say(response(200, body=b"<h1>Oh</h1>"))


def until_renewed(world: World, ask: Callable[[], Raw]) -> Raw:
    """Ask until it made the document be fetched: that is done once in ten seconds for a contact."""

    def has_renewed() -> bool:
        world.meddler.requests.clear()
        world.bob_app.clear()
        found.append(ask())
        return world.meddler.documents == 1

    found: list[Raw] = []
    eventually(has_renewed)
    return found[-1]


@pytest.mark.parametrize(
    ("method", "front"), [("GET", with_pages_of_its_own), ("POST", as_if_all_were_well)]
)
def test_an_error_page_does_not_hide_that_the_key_is_gone(
    sealed: World, method: str, front: Callable[[Passing], None]
) -> None:
    assert sealed.ask_sealed("/before").status == 200
    renew_bobs_key(sealed)
    sealed.meddler.clear()
    sealed.meddler.on_call = front

    got = until_renewed(sealed, lambda: sealed.ask_sealed("/after", method=method, body=b"body"))

    assert (got.status, got.body) == (200, b"ok")
    assert len(sealed.meddler.calls) == 2
    assert len(sealed.bob_app.requests) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_error_pages_for_ever_ask_for_the_document_once_in_ten_seconds(
    sealed: World, method: str
) -> None:
    """Also where the first was carried out: without another key nothing is sent twice."""
    sealed.ask_sealed("/before")
    sealed.meddler.clear()
    sealed.bob_app.clear()

    def hiding(passing: Passing) -> None:
        passing.on()
        passing.say(response(404, ("Content-Type", "text/html"), body=b"<h1>Gone</h1>"))

    sealed.meddler.on_call = hiding
    for _ in range(5):
        got = sealed.ask_sealed(method=method)
        assert (got.status, got.code) == (502, SAFE[method])
    assert len(sealed.meddler.calls) == len(sealed.bob_app.requests) == 5
    assert sealed.meddler.documents <= 2


@pytest.mark.more
def test_an_error_page_in_the_place_of_a_response_has_the_call_carried_out_once(
    sealed: World,
) -> None:
    """The relay delivers the call, hides the response, and has a newer key to show."""
    assert sealed.ask_sealed("/before").status == 200
    sealed.meddler.clear()

    def hiding(passing: Passing) -> None:
        if len(sealed.meddler.calls) == 1:
            passing.on()
            renew_bobs_key(sealed)
            passing.say(response(404, body=b"<h1>Gone</h1>"))
        else:
            passing.back(passing.on())

    time.sleep(RENEWAL_PAUSE)  # or the document of an earlier test's is still taken for new
    sealed.bob_app.clear()
    sealed.meddler.on_call = hiding
    got = sealed.ask_sealed(method="POST", body=b"pay")
    assert (got.status, got.code) == (502, "outcome_unknown")
    assert len(sealed.meddler.calls) == 2
    assert len(sealed.bob_app.requests) == 1


# --- a relay that withholds and forges -----------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_call_whose_response_is_withheld_for_a_forged_problem_is_carried_out_once(
    sealed: World, method: str
) -> None:
    def forging(passing: Passing) -> None:
        got = passing.on()
        if len(sealed.meddler.calls) == 1:
            passing.say(key_problem())
        else:
            passing.back(got)

    sealed.meddler.on_call = forging

    got = sealed.ask_sealed(method=method)

    assert (got.status, got.code) == (502, "outcome_unknown")
    assert len(sealed.meddler.calls) == 2
    assert len(sealed.bob_app.requests) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_problems_that_are_forged_for_ever_end_after_two_tries(sealed: World, method: str) -> None:
    for forge_after in (False, True):
        sealed.meddler.clear()
        sealed.bob_app.clear()

        def forging(passing: Passing, *, after: bool = forge_after) -> None:
            if after:
                passing.on()
            passing.say(key_problem())

        sealed.meddler.on_call = forging
        got = sealed.ask_sealed(method=method)

        assert (got.status, got.code) == (502, SAFE[method])
        assert len(sealed.meddler.calls) == 2
        assert sealed.meddler.documents <= 2
        assert len(sealed.bob_app.requests) == (1 if forge_after else 0)


def test_a_first_try_of_which_nobody_knows_leaves_the_outcome_unknown(sealed: World) -> None:
    """The first was carried out and its response withheld; the second is refused a connection."""

    def forging(passing: Passing) -> None:
        if len(sealed.meddler.calls) == 1:
            passing.on()
            passing.say(key_problem())
        else:
            raise HungUp(reset=False)

    def no_document(passing: Passing) -> None:
        passing.say(response(503))

    sealed.ask_sealed("/first")
    for on_document in (sealed.meddler.on_document, no_document):
        sealed.meddler.clear()
        sealed.bob_app.clear()
        sealed.meddler.on_call = forging
        sealed.meddler.on_document = on_document
        assert sealed.ask_sealed(method="POST").code == "outcome_unknown"
        assert len(sealed.bob_app.requests) == 1


def test_a_refusal_of_the_second_try_does_not_tell_what_became_of_the_first(
    sealed: World,
) -> None:
    """As when the second is held back until it is out of time: the first may have been done."""
    refusal = refusal_response(Refusal(Code.OUT_OF_TIME))

    def response(opened: Opened) -> bytes:
        if len(sealed.peer.asked) == 1:
            return key_problem()
        return around(opened.sealed(refusal.status, refusal.fields, refusal.body))

    sealed.peer.response = response
    assert sealed.ask_peer("POST", b"pay").code == "outcome_unknown"
    assert len(sealed.peer.asked) == 2
    sealed.peer.clear()
    sealed.peer.response = response
    assert sealed.ask_peer("GET").json()["code"] == "out_of_time"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_time_that_nobody_sealed_is_not_believed(sealed: World, method: str) -> None:
    forged = refusal_response(Refusal(Code.OUT_OF_TIME, now=int(time.time()) - 7200))

    def forging(passing: Passing) -> None:
        passing.say(answer_bytes(forged.status, list(forged.fields), forged.body))

    sealed.meddler.on_call = forging
    got = sealed.ask_sealed(method=method)
    assert (got.status, got.code) == (502, SAFE[method])
    assert len(sealed.meddler.calls) == 1


def test_a_time_that_the_peer_tells_for_ever_is_believed_once(sealed: World) -> None:
    refusal = refusal_response(Refusal(Code.OUT_OF_TIME, now=int(time.time()) + 7200))
    sealed.peer.response = lambda opened: around(
        opened.sealed(refusal.status, refusal.fields, refusal.body)
    )

    got = sealed.ask_peer("POST", b"body")

    assert (got.status, got.json()["code"]) == (401, "out_of_time")
    assert len(sealed.peer.asked) == 2
    first, second = (opened.request.one("signature-input") for opened in sealed.peer.asked)
    assert first.split(b"nonce=")[1] == second.split(b"nonce=")[1]
    assert b"created=%d;" % (int(refusal.fields[0][1].split(b"=")[1])) in second


def test_each_of_the_two_reasons_has_one_more_try(sealed: World) -> None:
    refusal = refusal_response(Refusal(Code.OUT_OF_TIME, now=int(time.time())))

    def response(opened: Opened) -> bytes:
        if len(sealed.peer.asked) == 2:
            return key_problem()
        if len(sealed.peer.asked) == 1:
            return around(opened.sealed(refusal.status, refusal.fields, refusal.body))
        return around(opened.sealed())

    sealed.peer.response = response
    assert sealed.ask_peer("POST", b"body").status == 200
    assert len(sealed.peer.asked) == 3


@pytest.mark.parametrize("shift", [600, -600])
def test_a_portal_whose_clock_is_wrong_is_set_right_under_seal(tmp_path: Path, shift: int) -> None:
    with ExitStack() as stack:
        late = Portal(tmp_path, "Late", clock_shift=shift)
        friend = Portal(tmp_path / "friend", "Friend")
        relays = {}
        for portal in (late, friend):
            stack.callback(portal.release)
            relays[portal.id] = stack.enter_context(Meddler(portal.public))
        app, friend_app = (stack.enter_context(Recorder()) for _ in range(2))
        late.add_app("wide", WIDE, app.port)
        friend.add_app("wide", WIDE, friend_app.port)
        for portal, other in ((late, friend), (friend, late)):
            known = other.as_contact(connect=relays[other.id].port, mode="sealed")
            portal.knows(known, apps={"wide": "all"})
        late.start()
        friend.start()
        for caller, callee, heard in ((late, friend, friend_app), (friend, late, app)):
            fields = (("Host", "x"), ("Portal-Token", caller.token("wide")))
            path = f"/internal/call_peer/{callee.id}/x"

            got = exchange(caller.apps, request("POST", path, *fields, body=b"on time"))

            assert (got.status, got.body) == (200, b"ok"), (caller.log, callee.log)
            assert heard.request.body == b"on time"
            assert "out_of_time" in callee.settled_log()
            assert len(relays[callee.id].calls) == 2

            heard.script(response(200, ("Content-Length", "2"), body=None))
            with RawConnection(caller.apps) as wire:
                wire.send(request("HEAD", path, *fields))
                assert wire.read(to_head=True).status == 200
            assert len(relays[callee.id].calls) == 4


# --- never anything but sealed -------------------------------------------------------------


def unsealed() -> dict[str, bytes]:
    """Return responses that nobody sealed, by name."""
    responses = {}
    for code in Code:
        refusal = refusal_response(Refusal(code, now=1))
        responses[f"{code.status} {code.public}"] = answer_bytes(
            code.status, list(refusal.fields), refusal.body
        )
    problem = (("Content-Type", "application/problem+json"),)
    for status in (200, 201, 204, 301, 307, 404, 405, 426, 501, 503):
        body = None if status == 204 else b"whatever"
        responses[f"{status} from a web server"] = response(
            status, ("Location", "http://evil.example/"), body=body
        )
    for kind in ("message/ohttp-chunked-res", "message/ohttp-res", "message/bhttp", "text/html"):
        for body in (b"", b"x" * 16, b"x" * 500):
            responses[f"200 {kind} {len(body)}"] = response(200, ("Content-Type", kind), body=body)
        responses[f"400 {kind}"] = response(400, ("Content-Type", kind), body=b"x" * 500)
    for body in (b"", b"[]", b"{", b'{"type": "about:blank"}', b"\xff", b"[" * 9999, b" " * 99_999):
        responses[f"a problem {body[:20]!r}"] = response(400, *problem, body=body)
    return responses


def test_whatever_is_answered_nothing_but_envelopes_is_sent(sealed: World) -> None:
    for name, raw in unsealed().items():
        sealed.meddler.clear()
        sealed.meddler.on_call = partial(Passing.say, raw=raw)
        for method, code in SAFE.items():
            got = sealed.ask_sealed("/secret-path", ("X-A", "secret-field"), method=method,
                                    body=b"secret body")  # fmt: skip
            assert (got.status, got.code) == (502, code), name
        for raw_request in sealed.meddler.requests:
            assert raw_request.target in {PATH, GATEWAY}
            whole = (raw_request.head + raw_request.body).lower()
            for word in (b"portal-", b"signature", b"secret", sealed.eda.id.encode(), b"wide"):
                assert word not in whole.replace(PATH, b"")
        assert len(sealed.meddler.calls) <= (4 if "sealing_key" in name else 2)
    assert sealed.bob_app.received == sealed.relay.sent == b""


def test_an_endless_problem_document_is_not_waited_for(sealed: World) -> None:
    def endless(passing: Passing) -> None:
        passing.say(
            b"HTTP/1.1 400 Bad\r\nContent-Type: application/problem+json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        while True:
            passing.say(b"400\r\n" + b" " * 1024 + b"\r\n")

    sealed.meddler.on_call = endless
    start = time.monotonic()
    assert sealed.ask_sealed().code == "peer_untrusted"
    assert time.monotonic() - start < soon(5)


def documents(world: World) -> dict[str, bytes | None]:
    """Return what may stand in the place of the peer's document; None is the document itself."""
    return {
        "not found": response(404),
        "nothing": response(200),
        "a page": response(200, ("Content-Type", "text/html"), body=b"<html>"),
        "another Portal's": raw_document(world.bob),
        "a redirect": response(302, ("Location", f"http://{world.bob.host}{PATH.decode()}")),
    }


def raw_document(portal: Portal) -> bytes:
    got = exchange(portal.public, request("GET", PATH, ("Host", portal.host)))
    return got.head + got.body


def test_without_a_document_that_can_be_believed_nothing_is_sent(sealed: World) -> None:
    for name, raw in documents(sealed).items():
        sealed.forget_peer()
        sealed.peer.instead = raw
        for method in SAFE:
            got = sealed.ask_peer(method)
            assert (got.status, got.code) == (502, "peer_untrusted"), name
        assert not sealed.peer.asked
        assert not sealed.peer.unopened
        sealed.peer.instead = None
        assert sealed.ask_peer("POST").status == 200


def test_without_a_key_that_can_be_used_nothing_is_sent(sealed: World) -> None:
    def signed_alone() -> None:
        sealed.peer.modes = ("signed",)

    def no_key() -> None:
        sealed.peer.keys = {}

    def too_late() -> None:
        sealed.peer.until = int(time.time()) - 1

    for spoil in (signed_alone, no_key, too_late):
        sealed.forget_peer()
        keys = sealed.peer.keys
        spoil()
        for method in SAFE:
            got = sealed.ask_peer(method)
            assert (got.status, got.code) == (502, "no_sealing_key"), spoil
        assert not sealed.peer.asked
        assert not sealed.peer.unopened
        sealed.peer.clear()
        sealed.peer.keys = keys
        assert sealed.ask_peer("POST").status == 200  # as soon as there is one


def test_a_peer_that_is_down_was_never_called(sealed: World) -> None:
    raw = sealed.sealed_request(sealed.gone, method="POST", body=b"body")
    got = exchange(sealed.eda.apps, raw)
    assert (got.status, got.code) == (502, "peer_unreachable")
