"""What revokes a running request: the removal of its subject, and nothing else."""

from dataclasses import replace

import pytest

from proxy.core.access.decision import RuleMatcher
from proxy.core.access.policy import ANONYMOUS, Access, Caller, Contact, ContactList
from proxy.core.access.rules import Rule, Rules
from proxy.core.errors import Code
from proxy.core.gate import AccessContext
from proxy.core.revocation import Subject, revocation_reason, subject_of_call, subject_of_request
from proxy.core.terminals.terminals import LIFETIME, Terminal, TerminalList, token_digest
from tests.core.peering import ADAS, CLEOS, CONTACTS, CONTEXT, EVES, NOW, Draft, ask

ADA = Caller("peer", ADAS, "Ada")
CLEO = Caller("peer", CLEOS, "Cleo")
TABLET, PHONE = (Terminal(name, name, token_digest(name.encode()), NOW, NOW) for name in "tp")
FULL = replace(CONTEXT, terminals=TerminalList((TABLET, PHONE)))

ANY = {
    "a stranger at an app": subject_of_request(ANONYMOUS, "guestbook"),
    "a stranger at the Portal": subject_of_request(ANONYMOUS, None),
    "Ada at an app": subject_of_request(ADA, "guestbook"),
    "Ada at another": subject_of_request(ADA, "postcards"),
    "Ada at the Portal": subject_of_request(ADA, None),
    "Cleo at the other": subject_of_request(CLEO, "postcards"),
    "the tablet at an app": subject_of_request(Caller("terminal", "t", "t"), "guestbook"),
    "the tablet at the Portal": subject_of_request(Caller("terminal", "t", "t"), None),
    "the phone at the other": subject_of_request(Caller("terminal", "p", "p"), "postcards"),
    "a call to Ada": subject_of_call("guestbook", ADAS),
    "another app's": subject_of_call("postcards", ADAS),
    "a call to Cleo": subject_of_call("postcards", CLEOS),
    "an app's question": subject_of_call("guestbook"),
    "anybody's question": subject_of_call(None),
}


def without_app(app: str) -> AccessContext:
    return replace(FULL, apps={name: matcher for name, matcher in FULL.apps.items() if name != app})


def with_contacts(*peers: Contact, **apps: object) -> AccessContext:
    visible = {**CONTACTS.apps, **apps}
    return replace(FULL, contacts=ContactList(peers, visible))  # type: ignore[arg-type]


ALL = CONTACTS.peers


def lost_in(context: AccessContext) -> dict[str, Code]:
    """Return which of them may not go on in ``context``, each with its refusal."""
    found = {name: revocation_reason(subject, context, NOW) for name, subject in ANY.items()}
    return {name: refusal.code for name, refusal in found.items() if refusal is not None}


def test_all_of_them_stand_where_nothing_was_removed() -> None:
    assert lost_in(FULL) == {}


def test_a_contact_takes_with_it_what_lives_on_it_and_nothing_else() -> None:
    assert lost_in(with_contacts(ALL[1])) == {
        "Ada at an app": Code.NOT_ALLOWED,
        "Ada at another": Code.NOT_ALLOWED,
        "Ada at the Portal": Code.NOT_ALLOWED,
        "a call to Ada": Code.NO_SUCH_PEER,
        "another app's": Code.NO_SUCH_PEER,
    }


@pytest.mark.parametrize("visible", ["none", frozenset[str](), frozenset({CLEOS, EVES})])
def test_a_peer_that_is_hidden_loses_that_app_alone(visible: object) -> None:
    assert lost_in(with_contacts(*ALL, guestbook=visible)) == {
        "Ada at an app": Code.NOT_ALLOWED,
        "a call to Ada": Code.NO_SUCH_PEER,
    }


def test_an_app_takes_with_it_who_is_there_and_whom_it_calls() -> None:
    assert lost_in(without_app("guestbook")) == {
        "a stranger at an app": Code.NO_SUCH_APP,
        "Ada at an app": Code.NO_SUCH_APP,
        "the tablet at an app": Code.NO_SUCH_APP,
        "a call to Ada": Code.TOKEN_UNKNOWN,
        "an app's question": Code.TOKEN_UNKNOWN,
    }


LATER = replace(TABLET, seen=NOW - LIFETIME)
RENAMED = replace(TABLET, name="old tablet", seen=NOW - LIFETIME + 1)


@pytest.mark.parametrize("left", [(PHONE,), (LATER, PHONE)])
def test_a_terminal_that_is_removed_or_expires_takes_its_own_with_it(
    left: tuple[Terminal, ...],
) -> None:
    assert lost_in(replace(FULL, terminals=TerminalList(left))) == {
        "the tablet at an app": Code.PROOF_REQUIRED,
        "the tablet at the Portal": Code.PROOF_REQUIRED,
    }


def test_an_app_that_takes_no_tokens_any_more_takes_with_it_who_came_by_one() -> None:
    dav = Terminal("d", "d", token_digest(b"d"), NOW, NOW, "guestbook")
    taking = replace(
        FULL,
        terminals=TerminalList((dav, PHONE)),
        device_tokens=frozenset({"guestbook", "postcards"}),
    )
    subject = subject_of_request(Caller("terminal", "d", "d"), "guestbook")
    phone = subject_of_request(Caller("terminal", "p", "p"), "guestbook")
    assert revocation_reason(subject, taking, NOW) is None
    off = replace(taking, device_tokens=frozenset({"postcards"}))
    reason = revocation_reason(subject, off, NOW)
    assert reason is not None
    assert reason.code is Code.DEVICE_TOKEN_REFUSED
    assert revocation_reason(phone, off, NOW) is None


def test_a_terminal_that_is_renamed_is_not_removed() -> None:
    assert lost_in(replace(FULL, terminals=TerminalList((RENAMED, PHONE)))) == {}


def test_one_who_is_removed_with_the_app_hears_what_a_new_request_would() -> None:
    context = replace(without_app("guestbook"), contacts=ContactList())
    assert lost_in(context)["Ada at an app"] is Code.NOT_ALLOWED


@pytest.mark.parametrize(
    "changed",
    [{"name": "Adele"}, {"address": "https://new.example"}, {"connect": "a:1"}, {"mode": "signed"}],
)
def test_a_contact_that_changes_is_not_removed(changed: dict[str, str]) -> None:
    ada = replace(ALL[0], **changed)  # type: ignore[arg-type]
    assert lost_in(with_contacts(ada, ALL[1])) == {}


def test_an_app_whose_rules_change_is_not_removed() -> None:
    closed = RuleMatcher(Rules((Rule(b"", Access.PRIVATE),)))
    assert lost_in(replace(FULL, apps=dict.fromkeys(CONTEXT.apps, closed))) == {}


def test_names_make_no_difference_to_what_one_lives_on() -> None:
    renamed = Caller("peer", ADAS, "Adele")
    assert subject_of_request(renamed, "guestbook") == subject_of_request(ADA, "guestbook")
    assert subject_of_request(ADA, "guestbook") != subject_of_call("guestbook", ADAS)


@pytest.mark.parametrize(
    ("subject", "context"),
    [
        (subject_of_request(ADA, "guestbook"), with_contacts(ALL[1])),
        (subject_of_request(ADA, "guestbook"), with_contacts(*ALL, guestbook="none")),
        (subject_of_request(ADA, "guestbook"), without_app("guestbook")),
        (subject_of_request(ADA, "guestbook"), replace(without_app("guestbook"),
                                                      contacts=ContactList())),
    ],
)  # fmt: skip
def test_it_is_the_refusal_that_the_gate_gives(subject: Subject, context: AccessContext) -> None:
    lost = revocation_reason(subject, context, NOW)
    assert lost is not None
    assert ask(Draft().sign(), context) is lost.code


def test_where_nobody_knows_the_contacts_all_that_runs_on_them_is_lost() -> None:
    lost = lost_in(replace(FULL, contacts=None))
    assert lost == dict.fromkeys(
        [
            "Ada at an app", "Ada at another", "Ada at the Portal", "Cleo at the other",
            "a call to Ada", "another app's", "a call to Cleo",
        ],
        Code.CONTACTS_UNAVAILABLE,
    )  # fmt: skip


def test_where_nobody_knows_what_an_app_asks_for_all_of_it_is_lost() -> None:
    unknown = replace(without_app("guestbook"), unavailable=frozenset({"guestbook"}))
    assert lost_in(unknown) == dict.fromkeys(
        [
            "a stranger at an app", "Ada at an app", "the tablet at an app", "a call to Ada",
            "an app's question",
        ],
        Code.APP_UNAVAILABLE,
    )  # fmt: skip


def test_a_call_from_an_entrance_ends_with_it_and_no_other_does() -> None:
    came = subject_of_call("guestbook", ADAS, "10.0.0.2:9001")
    there = replace(FULL, entrances={"guestbook": "10.0.0.2:9001"})
    assert revocation_reason(came, there, NOW) is None
    for entrances in ({}, {"guestbook": "10.0.0.2:9002"}, {"postcards": "10.0.0.2:9001"}):
        reason = revocation_reason(came, replace(FULL, entrances=entrances), NOW)
        assert reason is not None
        assert reason.code is Code.TOKEN_REQUIRED
    assert revocation_reason(subject_of_call("guestbook", ADAS), there, NOW) is None
