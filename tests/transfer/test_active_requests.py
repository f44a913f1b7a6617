"""What runs, by what it lives on: who is revoked, and who is left alone."""

from __future__ import annotations

from dataclasses import replace

from proxy.core.access.policy import ANONYMOUS, Caller, ContactList
from proxy.core.errors import Code, Refusal
from proxy.core.revocation import Subject, subject_of_call, subject_of_request
from proxy.transfer.active_requests import ActiveRequests
from tests.core.peering import ADAS, CLEOS, CONTACTS, CONTEXT, NOW

ADA = subject_of_request(Caller("peer", ADAS, "Ada"), "guestbook")
CLEO = subject_of_request(Caller("peer", CLEOS, "Cleo"), "postcards")
STRANGER = subject_of_request(ANONYMOUS, "guestbook")
CALL = subject_of_call("guestbook", ADAS)
WITHOUT_ADA = replace(CONTEXT, contacts=ContactList(CONTACTS.peers[1:], CONTACTS.apps))


class Running:
    """One that runs, and ends as soon as it is revoked, as a request does."""

    def __init__(self, active: ActiveRequests, subject: Subject) -> None:
        self.codes: list[Code] = []
        self._active = active
        self._subject = subject
        active.add(subject, self)

    def revoke(self, reason: Refusal) -> None:
        self.codes.append(reason.code)
        self.end()

    def end(self) -> None:
        self._active.discard(self._subject, self)


def test_what_lives_on_what_was_removed_is_revoked_and_nothing_else() -> None:
    active = ActiveRequests()
    lost = [Running(active, subject) for subject in (ADA, ADA, CALL)]
    twins = [Running(active, subject) for subject in (CLEO, STRANGER)]
    assert len(active) == 5
    active.revoke_lost(WITHOUT_ADA, NOW)
    assert [each.codes for each in lost] == [
        [Code.NOT_ALLOWED], [Code.NOT_ALLOWED], [Code.NO_SUCH_PEER],
    ]  # fmt: skip
    assert [each.codes for each in twins] == [[], []]
    assert len(active) == 2
    for twin in twins:
        twin.end()
    assert len(active) == 0
    assert active._by_subject == {}


def test_one_that_ended_is_not_revoked_and_leaves_nothing() -> None:
    active = ActiveRequests()
    ended = Running(active, ADA)
    ended.end()
    ended.end()
    active.revoke_lost(WITHOUT_ADA, NOW)
    assert ended.codes == []
    assert active._by_subject == {}


def test_one_that_began_under_the_old_state_is_found_the_next_time() -> None:
    active = ActiveRequests()
    active.revoke_lost(WITHOUT_ADA, NOW)
    late = Running(active, ADA)
    active.revoke_lost(WITHOUT_ADA, NOW)
    assert late.codes == [Code.NOT_ALLOWED]


def test_one_that_ends_others_as_it_is_revoked_keeps_nobody_from_it() -> None:
    active = ActiveRequests()
    all_of_them: list[Running] = []

    class Chain(Running):
        def revoke(self, reason: Refusal) -> None:
            super().revoke(reason)
            for other in all_of_them:
                other.end()

    all_of_them += [Chain(active, subject) for subject in (ADA, ADA, CALL)]
    active.revoke_lost(WITHOUT_ADA, NOW)
    assert active._by_subject == {}
