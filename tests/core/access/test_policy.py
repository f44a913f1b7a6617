"""Who may enter and who may know whom: full IDs alone decide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.policy import ANONYMOUS, Access, Caller, Contact, ContactList, may_enter
from tests.core.peering import ADAS, BOBS, CLEOS, EVES

_PEER = Caller("peer", ADAS, "Ada")
_TERMINAL = Caller("terminal")


def _contact(portal_id: str, name: str = "x") -> Contact:
    return Contact(portal_id, name, "https://x.example")


_LIST = ContactList(
    (_contact(ADAS, "Ada"), _contact(BOBS, "Bob"), _contact(CLEOS, "Cleo")),
    {"all": "all", "none": "none", "some": frozenset({ADAS, EVES}), "nobody": frozenset()},
)


@pytest.mark.parametrize(
    ("caller", "knows", "public", "peer", "private"),
    [
        (ANONYMOUS, False, True, False, False),
        (ANONYMOUS, True, True, False, False),
        (_PEER, True, True, True, False),
        (_PEER, False, True, False, False),
        (_TERMINAL, False, True, False, True),
        (_TERMINAL, True, True, False, True),
    ],
)
def test_who_may_come_in(
    caller: Caller, *, knows: bool, public: bool, peer: bool, private: bool
) -> None:
    expected = {Access.PUBLIC: public, Access.PEER: peer, Access.PRIVATE: private}
    for access, entry in expected.items():
        assert may_enter(access, caller, knows_caller=knows) is entry


def test_strictness_is_public_then_peer_then_private_and_what_is_closed_is_nobodys() -> None:
    assert sorted(Access) == [Access.PUBLIC, Access.PEER, Access.PRIVATE, Access.CLOSED]
    callers = (ANONYMOUS, Caller("peer", ADAS, "Ada"), Caller("terminal", "abc234", "Phone"))
    assert not any(may_enter(Access.CLOSED, each, knows_caller=True) for each in callers)


@pytest.mark.parametrize(
    ("app", "known"),
    [
        ("all", [ADAS, BOBS, CLEOS]),
        ("none", []),
        ("some", [ADAS]),
        ("nobody", []),
        ("not named", []),
        ("", []),
    ],
)
def test_an_app_knows_whom_the_owner_lets_it_know(app: str, known: list[str]) -> None:
    assert [contact.id for contact in _LIST.known_to(app)] == known
    for portal_id in (ADAS, BOBS, CLEOS, EVES):
        assert _LIST.may_know(app, portal_id) is (portal_id in known)


def test_only_a_full_id_finds_a_contact() -> None:
    found = _LIST.find(ADAS)
    assert found is not None
    assert found.name == "Ada"
    for other in (ADAS[:6], ADAS[:-1], ADAS.upper(), f"{ADAS} ", EVES, ""):
        assert _LIST.find(other) is None


def test_a_prefix_names_the_one_contact_that_it_fits() -> None:
    for prefix in (ADAS, ADAS[:6], ADAS[:50]):
        found = _LIST.resolve("some", prefix)
        assert found is not None
        assert found.id == ADAS


@pytest.mark.parametrize(
    "prefix",
    ["", ADAS[:5], ADAS + "a", ADAS.upper(), ADAS[:6].upper(), "%" * 6, "_" * 6, "%25" * 2,
    f"{ADAS[:6]}\n",
     "../../", EVES, EVES[:6], BOBS, BOBS[:6]],
)  # fmt: skip
def test_hidden_unknown_and_malformed_ids_look_alike(prefix: str) -> None:
    assert _LIST.resolve("some", prefix) is None


def test_a_hidden_contact_with_the_same_short_id_makes_the_short_one_ambiguous() -> None:
    subject = ADAS[:6] + EVES[6:]
    contacts = ContactList(
        (_contact(ADAS), _contact(subject)), {"guestbook": frozenset({ADAS}), "other": "none"}
    )
    assert contacts.resolve("guestbook", ADAS[:6]) is None
    assert contacts.resolve("guestbook", ADAS[:6] + ADAS[6]) == contacts.find(ADAS)
    assert contacts.resolve("guestbook", ADAS) == contacts.find(ADAS)
    assert contacts.resolve("guestbook", subject) is None
    assert contacts.resolve("other", ADAS) is None


@given(
    app=st.sampled_from(["all", "none", "some", "nobody", "x"]),
    length=st.integers(0, 103),
    who=st.integers(0, 2),
)
def test_what_is_resolved_is_what_the_list_shows(app: str, length: int, who: int) -> None:
    portal_id = (ADAS, BOBS, CLEOS)[who]
    found = _LIST.resolve(app, portal_id[:length])
    expected = length >= 6 and _LIST.may_know(app, portal_id)
    assert (found.id if found else None) == (portal_id if expected else None)


_IDS = st.sampled_from(["abcdef", "abcdeg", "abcdefg", "bcdefg", "zzzzzz"]).map(
    lambda start: start * 2
)


@given(st.lists(_IDS, max_size=6), st.text("abcdefgz", max_size=13))
def test_looking_a_prefix_up_finds_what_comparing_with_each_finds(
    ids: list[str], prefix: str
) -> None:
    contacts = ContactList(tuple(Contact(one, "n", f"https://{one}.example") for one in ids))
    fitting = [one for one in contacts.peers if one.id.startswith(prefix)]
    assert sorted(map(str, contacts.fitting(prefix))) == sorted(map(str, fitting))
    host = f"{prefix}.example"
    assert list(contacts.at_host(host)) == [
        one for one in contacts.peers if one.origin.host == host
    ]
