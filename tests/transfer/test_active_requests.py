"""What runs, by what it lives on: how it is revoked, and what is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from proxy.core.access.policy import ANONYMOUS, Caller, ContactList
from proxy.core.errors import Code, Refusal
from proxy.core.log_line import REVOKED, RequestLine
from proxy.core.revocation import Subject, subject_of_call, subject_of_request
from proxy.transfer.active_requests import ActiveRequest, ActiveRequests, Revoked
from tests.core.peering import ADAS, CLEOS, CONTACTS, CONTEXT, NOW

ADA = subject_of_request(Caller("peer", ADAS, "Ada"), "guestbook")
CLEO = subject_of_request(Caller("peer", CLEOS, "Cleo"), "postcards")
STRANGER = subject_of_request(ANONYMOUS, "guestbook")
CALL = subject_of_call("guestbook", ADAS)
WITHOUT_ADA = replace(CONTEXT, contacts=ContactList(CONTACTS.peers[1:], CONTACTS.apps))
WITHOUT_APPS = replace(CONTEXT, apps={})

Serve = Callable[[ActiveRequest], Awaitable[None]]


async def for_ever(_: ActiveRequest) -> None:
    await asyncio.Event().wait()


class Served:
    """An exchange that runs in a task of its own."""

    def __init__(
        self,
        active_requests: ActiveRequests,
        subject: Subject,
        serve: Serve = for_ever,
        *,
        begun: bool = False,
    ) -> None:
        self.line = RequestLine()
        self.line.first = 0.5 if begun else None
        self._exchanges = active_requests
        self._subject = subject
        self._serve = serve
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        with self._exchanges.run(self._subject, self.line) as run:
            await self._serve(run)

    async def end(self) -> BaseException | None:
        """Return what it ended with."""
        (ended,) = await asyncio.gather(self.task, return_exceptions=True)
        return ended


async def test_what_lives_on_what_was_removed_ends_and_nothing_else() -> None:
    active_requests = ActiveRequests()
    lost = [Served(active_requests, subject) for subject in (ADA, ADA, CALL)]
    twins = [Served(active_requests, subject) for subject in (CLEO, STRANGER)]
    await asyncio.sleep(0)
    assert len(active_requests) == 5

    active_requests.revoke_lost(WITHOUT_ADA, NOW)

    ends = [await each.end() for each in lost]
    assert all(isinstance(ended, Refusal) for ended in ends)
    assert [ended.code for ended in ends if isinstance(ended, Refusal)] == [
        Code.NOT_ALLOWED, Code.NOT_ALLOWED, Code.NO_SUCH_PEER,
    ]  # fmt: skip
    assert {each.line.outcome for each in lost} == {REVOKED}
    assert {each.line.outcome for each in twins} == {""}
    assert len(active_requests) == 2
    for twin in twins:
        assert not twin.task.done()
        twin.task.cancel()
        assert isinstance(await twin.end(), asyncio.CancelledError)
    assert len(active_requests) == 0
    assert active_requests._by_subject == {}


async def test_where_a_response_has_begun_only_a_broken_connection_tells() -> None:
    active_requests = ActiveRequests()
    begun = Served(active_requests, ADA, begun=True)
    await asyncio.sleep(0)
    active_requests.revoke_lost(WITHOUT_ADA, NOW)
    ended = await begun.end()
    assert isinstance(ended, Revoked)
    assert ADAS in ended.detail


async def test_one_that_ended_is_not_revoked_and_leaves_nothing() -> None:
    active_requests = ActiveRequests()

    async def at_once(_: ActiveRequest) -> None:
        await asyncio.sleep(0)

    served = Served(active_requests, ADA, at_once)
    assert await served.end() is None
    active_requests.revoke_lost(WITHOUT_ADA, NOW)
    assert served.line.outcome == ""
    assert active_requests._by_subject == {}


async def test_one_that_began_under_the_old_state_is_found_the_next_time() -> None:
    active_requests = ActiveRequests()
    active_requests.revoke_lost(WITHOUT_ADA, NOW)
    late = Served(active_requests, ADA)
    await asyncio.sleep(0)
    active_requests.revoke_lost(WITHOUT_ADA, NOW)
    assert isinstance(await late.end(), Refusal)


async def test_revoking_twice_is_revoking_once() -> None:
    active_requests = ActiveRequests()
    unwound = asyncio.Event()

    async def slowly(_: ActiveRequest) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            unwound.set()

    served = Served(active_requests, ADA, slowly)
    await asyncio.sleep(0)
    active_requests.revoke_lost(WITHOUT_ADA, NOW)
    await asyncio.sleep(0)
    active_requests.revoke_lost(WITHOUT_APPS, NOW)
    assert isinstance(ended := await served.end(), Refusal)
    assert ended.code is Code.NOT_ALLOWED
    assert unwound.is_set()


@pytest.mark.parametrize("revoked_first", [True, False])
async def test_a_client_that_leaves_at_that_moment_has_left(*, revoked_first: bool) -> None:
    active_requests = ActiveRequests()
    served = Served(active_requests, ADA)
    await asyncio.sleep(0)
    if not revoked_first:
        served.task.cancel()
    active_requests.revoke_lost(WITHOUT_ADA, NOW)
    if revoked_first:
        served.task.cancel()
    assert isinstance(await served.end(), asyncio.CancelledError)
    assert active_requests._by_subject == {}


async def test_after_a_revocation_the_task_can_go_on() -> None:
    """The refusal is sent by the same task: nothing of the cancelling may be left in it."""
    active_requests = ActiveRequests()
    told: list[Code] = []

    async def serve() -> int:
        try:
            with active_requests.run(ADA, RequestLine()):
                await asyncio.Event().wait()
        except Refusal as refusal:
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
            told.append(refusal.code)
        task = asyncio.current_task()
        return task.cancelling() if task is not None else -1

    task = asyncio.create_task(serve())
    await asyncio.sleep(0)
    active_requests.revoke_lost(WITHOUT_ADA, NOW)
    assert await task == 0
    assert told == [Code.NOT_ALLOWED]


async def test_what_revoking_makes_fail_is_what_it_fails_with() -> None:
    active_requests = ActiveRequests()

    async def spoiled(_: ActiveRequest) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    served = Served(active_requests, ADA, spoiled)
    await asyncio.sleep(0)
    active_requests.revoke_lost(WITHOUT_ADA, NOW)
    assert isinstance(await served.end(), ZeroDivisionError)
    assert active_requests._by_subject == {}


async def test_who_is_revoked_can_still_say_so_and_end_well() -> None:
    active_requests = ActiveRequests()

    async def politely(run: ActiveRequest) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert run.revoked_for is Code.NOT_ALLOWED

    served = Served(active_requests, ADA, politely, begun=True)
    await asyncio.sleep(0)
    active_requests.revoke_lost(WITHOUT_ADA, NOW)
    assert await served.end() is None
    assert served.line.outcome == REVOKED
    assert served.task.cancelling() == 0


async def test_one_within_another_is_revoked_by_itself() -> None:
    active_requests = ActiveRequests()

    async def within(_: ActiveRequest) -> None:
        with pytest.raises(Refusal), active_requests.run(ADA, RequestLine()):
            await asyncio.Event().wait()

    outer = Served(active_requests, CLEO, within)
    await asyncio.sleep(0)
    active_requests.revoke_lost(WITHOUT_ADA, NOW)
    assert await outer.end() is None
