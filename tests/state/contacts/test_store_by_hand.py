"""contacts.yaml in the owner's editor: put in place only when it is right, and nothing is lost."""

from pathlib import Path

import pytest

from proxy.core.access.policy import ContactList
from proxy.core.errors import Invalid, Problem
from proxy.state.contacts import ContactStore
from proxy.state.files import Busy, locked
from tests.contact_lists import BOB, DOMAIN, adding, names_in
from tests.state.writing import writing_of


@pytest.fixture
def store(tmp_path: Path) -> ContactStore:
    store = ContactStore(tmp_path / "contacts.yaml", DOMAIN)
    assert store.create()
    return store


def test_the_owner_edits_the_text_and_it_stays_as_typed(store: ContactStore) -> None:
    text = f"# mine\npeers: [{{id: {BOB.id}, name: Bob}}]\n"
    assert store.change_text(lambda _old: text).peers == (BOB,)
    assert store.path.read_text().partition("\n")[2] == text
    assert "checksum: " in store.path.read_text().partition("\n")[0]
    assert store.load().peers == (BOB,)


def test_an_editor_left_without_a_change_writes_nothing(store: ContactStore) -> None:
    before = writing_of(store.path)
    store.change_text(lambda old: old)
    assert writing_of(store.path) == before


def test_a_broken_file_can_be_mended_by_hand(store: ContactStore) -> None:
    store.path.write_bytes(b"peers: [\xff")
    seen: list[str] = []

    def editor(old: str) -> str:
        seen.append(old)
        return "peers: []\n"

    assert store.change_text(editor) == ContactList()
    assert seen == ["peers: [\ufffd"]
    assert store.path.with_name("contacts.yaml.before").read_bytes() == b"peers: [\xff"


def test_text_with_problems_is_kept_beside_and_the_list_stays(store: ContactStore) -> None:
    before = store.path.read_bytes()
    with pytest.raises(Invalid) as caught:
        store.change_text(lambda _old: "peers: bob\n")
    rejected = store.path.with_name("contacts.yaml.rejected")
    assert str(rejected) in str(caught.value)
    assert rejected.read_text() == "peers: bob\n"
    assert store.path.read_bytes() == before


def test_the_owner_can_try_again_from_what_was_typed(store: ContactStore) -> None:
    seen: list[str] = []
    told: list[tuple[Problem, ...]] = []

    def editor(old: str) -> str:
        seen.append(old)
        return "peers: bob\n" if len(seen) == 1 else "peers: []\n"

    def again(problems: tuple[Problem, ...]) -> bool:
        told.append(problems)
        return True

    store.change_text(editor, again)
    assert seen[1] == "peers: bob\n"
    assert [problem.place for problem in told[0]] == ["peers"]
    assert "contacts.yaml.rejected" not in names_in(store.path.parent)


def test_while_the_owner_edits_a_command_is_told_and_loses_nothing(
    store: ContactStore,
) -> None:
    def editor(old: str) -> str:
        with pytest.raises(Busy, match="try again"), locked(store.path, wait=0.0):
            pass
        return old

    store.change_text(editor)
    store.change(adding(BOB))


def test_a_list_that_was_changed_elsewhere_is_refused_until_the_owner_looked_at_it(
    store: ContactStore,
) -> None:
    store.change(adding(BOB))
    changed = store.path.read_bytes().replace(b"name: Bob", b"name: Rob")
    store.path.write_bytes(changed)
    with pytest.raises(Invalid, match="was changed by hand, or is damaged"):
        store.change(lambda contacts: contacts)
    assert store.path.read_bytes() == changed

    seen: list[str] = []

    def editor(old: str) -> str:
        seen.append(old)
        return old

    assert store.change_text(editor).peers[0].name == "Rob"
    assert "checksum" not in seen[0]
    assert store.load().peers[0].name == "Rob"


def test_a_checksum_that_the_owner_pastes_means_nothing(store: ContactStore) -> None:
    pasted = store.path.read_text().replace("peers: []", f"peers: [{{id: {BOB.id}, name: Bob}}]")
    assert store.change_text(lambda _old: pasted).peers == (BOB,)
    assert store.load().peers == (BOB,)
    assert store.path.read_text().count("checksum: ") == 1
