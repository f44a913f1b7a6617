"""The states of an inbound relay that a test begins from, each with what may be told in it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from proxy.core.binary_http.writer import content
from proxy.core.sealing.envelope import GATEWAY
from proxy.core.signature.digest import content_digest
from proxy.core.terminals.return_address import PAIR
from tests.inbound.relay_stage import Stage, read
from tests.transfer.relay_sides import KEY, SWITCHED
from tests.wire.harness.sealer import OUTER, Sender
from tests.wire.harness.signer import sign_call

if TYPE_CHECKING:
    from proxy.core.http.headers import Field, Fields

TO_CLIENT, TO_APP = b"\x82\x02hi", b"\x82\x82\0\0\0\0hi"
"""A frame in each direction."""
_BODY = b"abcd"
_LENGTH = b"content-length: 4"
_OK: Fields = ((b"content-length", b"2"),)
_CHUNKED = b"transfer-encoding: chunked"


async def turns(count: int = 10) -> None:
    """Let the event loop do all that doesn't wait."""
    for _ in range(count):
        await asyncio.sleep(0)


def answers(stage: Stage, fields: Fields = _OK, status: int = 200) -> None:
    """Have the app begin its response."""
    stage.app.answer(status, fields)


def answers_with(stage: Stage, piece: bytes, *, ends: bool = False) -> None:
    """Have the app go on with it."""
    stage.app.go_on(piece, ends=ends)


# A stranger.


async def asking(stage: Stage) -> None:
    stage.begin(stage.ours.head(b"GET /"))


async def answering(stage: Stage) -> None:
    await asking(stage)
    answers(stage)
    answers_with(stage, b"o")


async def answering_a_client_that_is_slow(stage: Stage) -> None:
    await asking(stage)
    stage.client.block()
    answers(stage)


async def delivering(stage: Stage) -> None:
    stage.client.blocks_at_end = True
    await asking(stage)
    answers(stage)
    answers_with(stage, b"ok", ends=True)


async def awaiting_the_end_of_no_body(stage: Stage) -> None:
    stage.begin(stage.ours.head(b"HEAD /"))
    answers(stage)


async def refused_and_delivering(stage: Stage) -> None:
    stage.client.blocks_at_end = True
    stage.begin(stage.ours.head(b"GET /peer"))


async def delivering_a_page_of_ours(stage: Stage) -> None:
    stage.client.blocks_at_end = True
    stage.begin(stage.ours.head(b"GET /", host=stage.ours.folder.host))


# With a body.


async def sending(stage: Stage) -> None:
    stage.app.is_blocked = True
    stage.begin(stage.ours.head(b"POST /", _LENGTH))
    stage.app.is_blocked = False
    stage.app.tell(lambda receiver: receiver.resume_body())
    stage.client.come(b"a")
    await turns()


async def sending_to_an_app_that_is_slow(stage: Stage) -> None:
    stage.app.is_blocked = True
    stage.begin(stage.ours.head(b"POST /", _LENGTH, b"expect: 100-continue"))
    stage.client.come(b"a")


async def answered_early(stage: Stage) -> None:
    await sending(stage)
    answers(stage)


async def delivering_while_the_body_comes(stage: Stage) -> None:
    stage.client.blocks_at_end = True
    await answered_early(stage)
    answers_with(stage, b"ok", ends=True)


async def asking_which_http(stage: Stage) -> None:
    stage.engine.minor = None
    stage.begin(stage.ours.head(b"POST /", _CHUNKED))


async def sending_chunks(stage: Stage) -> None:
    stage.begin(stage.ours.head(b"POST /", _CHUNKED))
    stage.client.come(b"a")
    await turns()


async def spooling(stage: Stage) -> None:
    stage.engine.minor = 0
    stage.begin(stage.ours.head(b"POST /", _CHUNKED))
    stage.client.come(b"a")
    await turns()


async def sending_what_was_spooled(stage: Stage) -> None:
    stage.app.is_blocked = True
    await spooling(stage)
    stage.client.come(b"b", ends=True)
    await turns()


async def answering_what_was_spooled(stage: Stage) -> None:
    await spooling(stage)
    stage.client.come(b"b", ends=True)
    await turns()
    answers(stage)


# A peer, signed.


def _signed(stage: Stage, *, now: float | None = None) -> None:
    ours = stage.ours
    call = sign_call(
        ours.peer, ours.folder, "site", b"/peer", method=b"POST", body=_BODY, now=now
    )  # fmt: skip
    stage.begin(read(call.raw))


async def claiming(stage: Stage) -> None:
    stage.claims_come_late()
    _signed(stage)


async def looking_for_the_epoch(stage: Stage) -> None:
    stage.claims_come_late()
    _signed(stage, now=1.0)


async def holding(stage: Stage) -> None:
    _signed(stage)
    stage.client.come(_BODY[:1])
    await turns()


async def asking_for_a_peer(stage: Stage) -> None:
    await holding(stage)
    stage.client.come(_BODY[1:], ends=True)
    await turns()


async def holding_the_response(stage: Stage) -> None:
    await asking_for_a_peer(stage)
    answers(stage)
    answers_with(stage, b"o")


async def sending_what_was_held(stage: Stage) -> None:
    await asking_for_a_peer(stage)
    stage.client.block()
    answers(stage)
    answers_with(stage, b"ok", ends=True)


async def delivering_to_a_peer(stage: Stage) -> None:
    stage.client.blocks_at_end = True
    await asking_for_a_peer(stage)
    answers(stage)
    answers_with(stage, b"ok", ends=True)


# A peer, sealed.


def _outer(stage: Stage) -> None:
    fields = (b"%s: %b" % (name.encode(), value) for name, value in OUTER)
    head = stage.ours.head(b"POST " + GATEWAY, *fields, host=stage.ours.folder.host)
    stage.begin(head)


def _sealed(stage: Stage, *fields: Field, ends: bool = False) -> Sender:
    """Have the head of a sealed call come, or all of it."""
    ours, portal = stage.ours, stage.ours.running.portal
    offered = portal.sealing.published(portal.clock())[0].config
    sender = Sender(ours.peer, ours.folder, config=offered)
    _outer(stage)
    head = sender.head("site", b"/peer", method=b"POST", fields=fields)
    if ends:
        stage.client.come(sender.whole(head, _BODY), ends=True)
    else:
        stage.client.come(sender.sealer.header + sender.sealer.seal(head))
    return sender


async def opening(stage: Stage) -> None:
    _outer(stage)
    await turns()


async def waiting_for_a_body_under_seal(stage: Stage) -> None:
    _sealed(stage)
    await turns()


async def claiming_under_seal(stage: Stage) -> None:
    stage.claims_come_late()
    _sealed(stage, ends=True)
    await turns()


async def sending_under_seal(stage: Stage) -> None:
    sender = _sealed(stage, (b"content-length", b"4"))
    stage.client.come(sender.sealer.seal(content(_BODY[:1])))
    await turns()


async def proving_that_nothing_comes(stage: Stage) -> None:
    digest = content_digest(hashlib.sha256().digest())
    _sealed(stage, (b"content-length", b"0"), digest)
    await turns()


async def asking_under_seal(stage: Stage) -> None:
    _sealed(stage, ends=True)
    await turns()


async def collecting_under_seal(stage: Stage) -> None:
    await asking_under_seal(stage)
    answers(stage)
    answers_with(stage, b"o")


async def answering_under_seal(stage: Stage) -> None:
    await asking_under_seal(stage)
    answers(stage, ())
    answers_with(stage, b"o")


async def delivering_under_seal(stage: Stage) -> None:
    stage.client.blocks_at_end = True
    await asking_under_seal(stage)
    answers(stage)
    answers_with(stage, b"ok", ends=True)


# A WebSocket.


async def shaking_hands(stage: Stage) -> None:
    asked = (
        b"upgrade: websocket",
        b"connection: upgrade",
        b"sec-websocket-version: 13",
        b"sec-websocket-key: " + KEY,
    )
    stage.begin(stage.ours.head(b"GET /", *asked))


async def talking(stage: Stage) -> None:
    await shaking_hands(stage)
    answers(stage, SWITCHED, 101)
    await turns()


async def talking_to_a_client_that_is_slow(stage: Stage) -> None:
    await talking(stage)
    stage.client.block()
    answers_with(stage, TO_CLIENT)


async def closing(stage: Stage) -> None:
    await talking(stage)
    stage.relay.stop()


async def behind_the_client_s_end(stage: Stage) -> None:
    await talking(stage)
    stage.client.come(b"", ends=True)
    await turns()


async def behind_the_app_s_end(stage: Stage) -> None:
    await talking(stage)
    stage.app.tell(lambda receiver: receiver.content_received(b"", ends=True))
    await turns()


# The page that pairs devices.


async def waiting_for_a_form(stage: Stage) -> None:
    fields = (
        b"content-type: application/x-www-form-urlencoded",
        _LENGTH,
        b"origin: http://" + stage.ours.folder.host.encode(),
    )
    stage.begin(stage.ours.head(b"POST " + PAIR, *fields, host=stage.ours.folder.host))
    await turns()


async def delivering_the_page(stage: Stage) -> None:
    stage.client.blocks_at_end = True
    stage.begin(stage.ours.head(b"GET " + PAIR, host=stage.ours.folder.host))
    await turns()


State = Callable[[Stage], Awaitable[None]]
BEFORE_THE_APP: tuple[State, ...] = (
    asking_which_http, spooling, claiming, looking_for_the_epoch, holding, opening,
    waiting_for_a_body_under_seal, claiming_under_seal, proving_that_nothing_comes,
    waiting_for_a_form,
)  # fmt: skip
WITH_THE_APP: tuple[State, ...] = (
    asking, answering, answering_a_client_that_is_slow, awaiting_the_end_of_no_body, sending,
    sending_to_an_app_that_is_slow, answered_early, sending_chunks, sending_what_was_spooled,
    answering_what_was_spooled, asking_for_a_peer, holding_the_response, sending_under_seal,
    asking_under_seal, collecting_under_seal, answering_under_seal, shaking_hands,
)  # fmt: skip
BEHIND_THE_APP: tuple[State, ...] = (
    delivering, refused_and_delivering, delivering_a_page_of_ours,
    delivering_while_the_body_comes, sending_what_was_held, delivering_to_a_peer,
    delivering_under_seal, delivering_the_page,
)  # fmt: skip
OF_A_WEBSOCKET: tuple[State, ...] = (
    talking, talking_to_a_client_that_is_slow, closing, behind_the_client_s_end,
    behind_the_app_s_end,
)  # fmt: skip
WAITING: tuple[State, ...] = (
    asking_which_http, claiming, looking_for_the_epoch, claiming_under_seal,
)  # fmt: skip
