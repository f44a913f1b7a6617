"""A running proxy follows the contact list, keeps the last good one, and says so once."""

import logging
from pathlib import Path

import pytest

from proxy.core.access.policy import Contact, ContactList
from proxy.state.contacts import ContactStore, ContactWatch, with_contact

BOB = Contact("b" * 103, "Bob", "https://bbbbbb.p.example.org")


@pytest.fixture
def store(tmp_path: Path) -> ContactStore:
    store = ContactStore(tmp_path / "contacts.yaml", "p.example.org")
    store.create()
    return store


def levels(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.levelno for record in caplog.records if record.name == "proxy.contacts"]


def test_a_change_is_followed_once(store: ContactStore) -> None:
    watch = ContactWatch(store)
    assert watch.current == ContactList()
    store.change(lambda contacts: with_contact(contacts, BOB))
    assert watch.refresh()
    assert watch.current.peers == (BOB,)
    assert not watch.refresh()


def test_an_unchanged_file_is_not_read_again(
    store: ContactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = ContactWatch(store)
    monkeypatch.setattr(ContactStore, "load", None)
    assert not watch.refresh()


def test_a_broken_file_keeps_the_last_good_list(
    store: ContactStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "proxy.contacts")
    store.change(lambda contacts: with_contact(contacts, BOB))
    good = store.path.read_bytes()
    watch = ContactWatch(store)
    store.path.write_bytes(b"peers: [")
    assert watch.refresh()
    assert [problem.file for problem in watch.problems] == [str(store.path)]
    for _ in range(3):
        assert not watch.refresh()
    assert watch.current.peers == (BOB,)
    assert levels(caplog) == [logging.ERROR]
    store.path.write_bytes(good)
    assert watch.refresh()
    assert (watch.problems, watch.current.peers) == ((), (BOB,))
    assert levels(caplog) == [logging.ERROR, logging.INFO]


@pytest.mark.parametrize("text", ["", "apps: {}\n"])
def test_an_emptied_file_is_not_an_empty_list(store: ContactStore, text: str) -> None:
    store.change(lambda contacts: with_contact(contacts, BOB))
    watch = ContactWatch(store)
    store.path.write_text(text)
    watch.refresh()
    assert watch.problems
    assert watch.current.peers == (BOB,)


def test_a_removed_file_keeps_the_last_good_list_and_its_return_is_seen(
    store: ContactStore,
) -> None:
    store.change(lambda contacts: with_contact(contacts, BOB))
    watch = ContactWatch(store)
    aside = store.path.with_name("aside")
    store.path.rename(aside)
    assert watch.refresh()
    assert watch.problems
    assert watch.current.peers == (BOB,)
    aside.rename(store.path)
    assert watch.refresh()
    assert not watch.problems


def test_a_mode_that_lets_others_write_is_seen(store: ContactStore) -> None:
    watch = ContactWatch(store)
    store.path.chmod(0o666)
    assert watch.refresh()
    assert "others can change it" in watch.problems[0].what


def test_a_list_that_was_never_good_is_empty_and_told(
    store: ContactStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.path.write_bytes(b"nonsense")
    watch = ContactWatch(store)
    assert watch.current == ContactList()
    assert watch.problems
    assert levels(caplog) == [logging.ERROR]
