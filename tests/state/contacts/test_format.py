"""contacts.yaml as text, and the changes that commands make to the list."""

import hashlib
import string
from collections.abc import Callable
from contextlib import suppress
from types import MappingProxyType
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.policy import Contact, ContactList
from proxy.core.display_names import name_problem
from proxy.core.errors import Invalid
from proxy.core.identity import ALPHABET, encode_base32
from proxy.state.contacts import (
    changed,
    parse_contacts,
    serialise_contacts,
    with_contact,
    with_visibility,
    without_contact,
)
from proxy.state.contacts.format import MAX_BYTES, derived_address

DOMAIN = "p.example.org"
BOB_ID = "8271dd" + "q" * 97
EVE_ID = "8271dd" + "r" * 97
NUMBER_ID = "1" * 103
BOB = Contact(BOB_ID, "Bob", "https://8271dd.p.example.org")
EVE = Contact(EVE_ID, "Eve", "http://eve.example:8080", "127.0.0.1:9080", "signed")
LIST = ContactList(
    (BOB, EVE), MappingProxyType({"guestbook": "all", "notes": frozenset({EVE_ID}), "x": "none"})
)


def parse(text: str | bytes) -> ContactList:
    data = text if isinstance(text, bytes) else text.encode()
    return parse_contacts("contacts.yaml", data, DOMAIN)


def problems_of(text: str | bytes) -> list[str]:
    with pytest.raises(Invalid) as caught:
        parse(text)
    return [str(problem) for problem in caught.value.problems]


def test_the_short_form_is_filled_in() -> None:
    contacts = parse(f"peers:\n- id: {BOB_ID}\n  name: Bob\n")
    assert contacts == ContactList((BOB,))
    assert contacts.peers[0].mode == "sealed"


def test_every_field_is_read() -> None:
    text = f"""
peers:
- id: {EVE_ID}
  name: Eve
  address: HTTP://Eve.Example:8080/
  connect: 127.0.0.1:9080
  mode: signed
- {{id: {BOB_ID}, name: Bob}}
apps:
  guestbook: all
  notes: [{EVE_ID}]
  x: none
"""
    assert parse(text) == ContactList((EVE, BOB), LIST.apps)


@pytest.mark.parametrize("text", ["peers: []", "peers: []\napps: {}", "peers:\napps:\n"])
def test_an_empty_list_is_a_list(text: str) -> None:
    assert parse(text) == ContactList()


@pytest.mark.parametrize("text", ["", "# only a comment\n", "apps: {}"])
def test_a_file_cut_short_is_not_an_empty_list(text: str) -> None:
    hint = "a list without a peer is `peers: []`"
    assert problems_of(text) == [f"contacts.yaml: peers: is missing; {hint}"]


def test_an_id_of_digits_is_text_in_both_directions() -> None:
    contacts = parse(f"peers: [{{id: {NUMBER_ID}, name: 123456}}]\napps: {{on: [{NUMBER_ID}]}}")
    assert contacts.peers[0].id == NUMBER_ID
    assert contacts.peers[0].name == "123456"
    assert parse(serialise_contacts(contacts)) == contacts


def peer(**fields: str) -> str:
    lines = {"id": BOB_ID, "name": "Bob"} | fields
    return "peers:\n- " + "\n  ".join(f"{key}: {value}" for key, value in lines.items())


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (peer(id="8271dd"), "peers[0].id", "'8271dd' isn't a full ID (103 characters)"),
        (peer(id="123456"), "peers[0].id", "isn't a full ID"),
        (peer(id=""), "peers[0].id", "isn't a full ID"),
        (peer(id=BOB_ID + "a"), "peers[0].id", "isn't a full ID"),
        (peer(id=BOB_ID.upper()), "peers[0].id", "isn't a full ID"),
        (peer(id="'%'"), "peers[0].id", "isn't a full ID"),
        (peer(id="[a]"), "peers[0].id", "is a list, where text is expected"),
        (peer(name=""), "peers[0].name", "at least one character"),
        (peer(name="x" * 65), "peers[0].name", "at most 64"),
        (peer(name='"a\\u202eb"'), "peers[0].name", "U+202E"),
        (peer(address="8271dd.p.example.org"), "peers[0].address", "isn't of the form"),
        (peer(address="https://evil@x"), "peers[0].address", "isn't of the form"),
        (peer(address="https://x/path"), "peers[0].address", "isn't of the form"),
        (peer(connect="127.0.0.1"), "peers[0].connect", "host:port"),
        (peer(connect="host:99999"), "peers[0].connect", "host:port"),
        (peer(connect="host:080"), "peers[0].connect", "host:port"),
        (peer(connect="host:80/"), "peers[0].connect", "host:port"),
        (peer(connect="http://host:80"), "peers[0].connect", "host:port"),
        (peer(connect="a@host:80"), "peers[0].connect", "host:port"),
        (peer(mode="plain"), "peers[0].mode", "neither sealed nor signed"),
        (peer(adress="https://x"), "peers[0].adress", "isn't known"),
        (peer() + "\n- bob", "peers[1]", "where `key: value` lines are expected"),
        (peer() + "\n" + peer().removeprefix("peers:\n"), "peers[1].id", "is that of peers[0]"),
        ("peers: bob", "peers", "where a list is expected"),
        ("peers: {}", "peers", "is a mapping, where a list is expected"),
        ("- a", "", "is a list"),
        ("peers: []\npears: []", "pears", "isn't known; expected v, peers or apps"),
        ("peers: []\napps: [a]", "apps", "is a list"),
        ("peers: []\napps: {Guest_Book: all}", "apps.Guest_Book", "DNS label"),
        ("peers: []\napps: {'../x': all}", "apps.../x", "DNS label"),
        ("peers: []\napps: {a: some}", "apps.a", "expected all, none or a list"),
        ("peers: []\napps: {a: }", "apps.a", "expected all, none or a list"),
        ("peers: []\napps: {a: {all: b}}", "apps.a", "expected all, none or a list"),
        (f"peers: []\napps: {{a: [{BOB_ID}]}}", "apps.a[0]", "isn't the full ID of a contact"),
        (peer() + "\napps: {a: [8271dd]}", "apps.a[0]", "isn't the full ID of a contact"),
        (peer() + f"\napps: {{a: [{BOB_ID}, {BOB_ID}]}}", "apps.a[1]", "twice"),
        ("peers: []\npeers: []", "line 2, column 1", "twice"),
        ("peers: &a []\napps: *a", "line 1, column 8", "anchor"),
        ("peers: !!python/object:os.system []", "line 1, column 8", "tag"),
        ("peers: [\n", "line 2, column 1", "not YAML"),
        (b"peers: []\n# \xff", "line 2", "UTF-8"),
    ],
)
def test_a_wrong_file_is_told_where_and_what(text: str | bytes, place: str, what: str) -> None:
    first = problems_of(text)[0]
    where = f"contacts.yaml: {place}: " if place else "contacts.yaml: "
    assert first.startswith(where)
    assert what in first


def test_every_problem_is_told_at_once() -> None:
    text = peer(id="x", name="", mode="no", connect="here") + "\n- id: y\n  name: z\nother: 1\n"
    assert len(problems_of(text)) == 6


@given(st.binary(max_size=200))
def test_any_bytes_give_a_list_or_problems(data: bytes) -> None:
    with suppress(Invalid):
        contacts = parse(data)
        assert parse(serialise_contacts(contacts)) == contacts


NAMES = st.text(min_size=1, max_size=64).filter(lambda name: name_problem(name) is None)
IDS = st.text(ALPHABET, min_size=103, max_size=103)
LABELS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=10)


MODES: st.SearchStrategy[Literal["sealed", "signed"]] = st.sampled_from(("sealed", "signed"))
ALL_OR_NONE: st.SearchStrategy[Literal["all", "none"]] = st.sampled_from(("all", "none"))


@st.composite
def contact_lists(draw: st.DrawFn) -> ContactList:
    ids = draw(st.lists(IDS, unique=True, max_size=4))
    connect = st.sampled_from(["", "127.0.0.1:1", "[::1]:65535", "host.example:80"])
    address = st.sampled_from(["https://a.example", "http://[::1]:8080", "http://localhost"])
    peers = [
        Contact(portal_id, draw(NAMES), draw(address), draw(connect), draw(MODES))
        for portal_id in ids
    ]
    some = st.frozensets(st.sampled_from(ids)) if ids else st.just(frozenset[str]())
    settings = st.one_of(ALL_OR_NONE, some)
    return ContactList(tuple(peers), MappingProxyType(draw(st.dictionaries(LABELS, settings))))


@given(contact_lists())
def test_what_is_written_is_read_back_the_same(contacts: ContactList) -> None:
    assert parse(serialise_contacts(contacts)) == contacts


def test_the_head_says_that_comments_are_lost_and_names_the_editor() -> None:
    head = serialise_contacts(ContactList()).decode().split("peers:")[0]
    assert "comments in it aren't kept" in head
    assert "portal-proxy peers edit" in head


def test_ids_of_an_app_are_written_in_the_peers_order() -> None:
    contacts = with_visibility(LIST, "notes", [EVE_ID, BOB_ID])
    text = serialise_contacts(contacts).decode()
    assert text.index(f"  - {BOB_ID}") < text.index(f"  - {EVE_ID}")


# Changes


def test_a_peer_is_added_at_the_end_and_known_only_to_apps_that_know_all() -> None:
    contacts = with_contact(LIST, Contact(NUMBER_ID, "Nan", "https://n.example"))
    assert [contact.name for contact in contacts.peers] == ["Bob", "Eve", "Nan"]
    assert contacts.may_know("guestbook", NUMBER_ID)
    assert not contacts.may_know("notes", NUMBER_ID)
    assert not contacts.may_know("unnamed", NUMBER_ID)


def test_a_removed_peer_leaves_every_list() -> None:
    contacts = without_contact(LIST, EVE_ID)
    assert contacts.peers == (BOB,)
    assert contacts.apps == {"guestbook": "all", "notes": frozenset(), "x": "none"}
    assert parse(serialise_contacts(contacts)) == contacts


def test_a_peer_added_again_is_not_known_from_before() -> None:
    contacts = with_contact(without_contact(LIST, EVE_ID), EVE)
    assert not contacts.may_know("notes", EVE_ID)


def test_a_renamed_peer_keeps_everything_else() -> None:
    contacts = changed(LIST, EVE_ID, name="Evelyn")
    assert contacts.peers == (BOB, Contact(EVE_ID, "Evelyn", EVE.address, EVE.connect, EVE.mode))
    assert contacts.apps == LIST.apps


def test_an_app_is_given_all_none_or_some() -> None:
    assert with_visibility(LIST, "new", "all").may_know("new", BOB_ID)
    assert not with_visibility(LIST, "guestbook", "none").may_know("guestbook", BOB_ID)
    some = with_visibility(LIST, "guestbook", [BOB_ID])
    assert some.known_to("guestbook") == (BOB,)


@pytest.mark.parametrize("portal_id", ["", "8271dd", "%", "_", "%25", NUMBER_ID, BOB_ID[:-1]])
def test_an_id_that_is_no_peers_is_refused_in_one_line(portal_id: str) -> None:
    changes: tuple[Callable[[], ContactList], ...] = (
        lambda: without_contact(LIST, portal_id),
        lambda: changed(LIST, portal_id, name="x"),
        lambda: with_visibility(LIST, "guestbook", [BOB_ID, portal_id]),
    )
    for change in changes:
        with pytest.raises(ValueError, match="isn't the full ID of a peer") as caught:
            change()
        assert "\n" not in str(caught.value)


def test_changes_that_make_no_list_are_refused() -> None:
    with pytest.raises(ValueError, match="a peer already, named 'Bob'"):
        with_contact(LIST, BOB)
    with pytest.raises(ValueError, match="isn't a full Portal ID"):
        with_contact(LIST, Contact("8271dd", "x", "https://x"))
    with pytest.raises(ValueError, match="can't be used"):
        with_contact(LIST, Contact(NUMBER_ID, "a\r\nb", "https://x"))
    with pytest.raises(ValueError, match="can't be used"):
        changed(LIST, BOB_ID, name="\u202ebob")
    with pytest.raises(ValueError, match="DNS label"):
        with_visibility(LIST, "../x", "all")
    with pytest.raises(ValueError, match="neither all, none"):
        with_visibility(LIST, "guestbook", BOB_ID)


@pytest.mark.more
def test_ten_thousand_contacts_and_one_app_that_may_know_each_by_name_are_a_list() -> None:
    ids = [encode_base32(hashlib.sha512(b"%d" % number).digest()) for number in range(10_000)]
    peers = tuple(
        Contact(one, f"Peer {at}", derived_address(one, DOMAIN)) for at, one in enumerate(ids)
    )
    contacts = ContactList(peers, MappingProxyType({"guestbook": frozenset(ids)}))
    assert parse(serialise_contacts(contacts)) == contacts
    assert contacts.resolve("guestbook", ids[-1]) == peers[-1]


def test_a_list_of_more_than_its_bound_is_no_list() -> None:
    assert problems_of(b"#" * (MAX_BYTES + 1)) == [
        "contacts.yaml: larger than 8388608 bytes, which is the most"
    ]


# Damage, and other versions


def test_no_flipped_bit_makes_another_list_of_what_was_written() -> None:
    written = serialise_contacts(LIST)
    for at in range(len(written) * 8):
        damaged = bytearray(written)
        damaged[at // 8] ^= 1 << at % 8
        with suppress(Invalid):
            assert parse(bytes(damaged)) == LIST, at


def test_no_part_of_what_was_written_passes_for_the_whole() -> None:
    written = serialise_contacts(LIST)
    for length in range(len(written)):
        with pytest.raises(Invalid):
            parse(written[:length])


def test_an_owner_who_deletes_the_first_line_may_write_anything() -> None:
    text = serialise_contacts(LIST).decode().replace("name: Bob", "name: Robert")
    [told] = problems_of(text)
    assert "delete its first line" in told
    assert "contacts.yaml.before" in told
    assert parse(text.partition("\n")[2]).peers[0].name == "Robert"


@pytest.mark.parametrize("version", ["", "v: 1\n", 'v: "1"\n'])
def test_the_version_may_be_left_out(version: str) -> None:
    assert parse(f"{version}peers: []\n") == ContactList()


def test_a_later_version_is_told_alone() -> None:
    [told] = problems_of("v: 2\npeers: 3\nfriends: []\n")
    assert told.startswith("contacts.yaml: is of version 2, and this program knows 1")


@pytest.mark.parametrize("version", ["0", "01", "x", "-1", "1.0", "", "[]", "{}", "9" * 5000])
def test_what_is_no_version_is_a_problem(version: str) -> None:
    [told] = problems_of(f"v: {version}\npeers: []\n")
    assert told.startswith("contacts.yaml: v: is ")
