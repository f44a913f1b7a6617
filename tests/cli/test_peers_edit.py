"""``peers edit``, with real editors: small scripts that change the file they are given."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from proxy.state.contacts import ContactStore

if TYPE_CHECKING:
    from tests.cli.conftest import Home

ID_A = "8271dd" + "a" * 97
ID_B = "b8rk3f" + "b" * 97


def editor(home: Home, *steps: str) -> str:
    """Return an editor's command that does ``steps`` with the text, one each time it is started."""
    for number, step in enumerate(steps):
        (home.path / f"step{number}").write_text(step)
    script = home.path / "an editor.py"
    script.write_text(
        "import pathlib, sys\n"
        f"here = pathlib.Path({str(home.path)!r})\n"
        "step = min(here.glob('step*'))\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "text = path.read_text()\n"
        "exec(step.read_text())\n"
        "path.write_text(text)\n"
        "step.unlink()\n"
    )
    return shlex.join([sys.executable, str(script)])


RENAME = "text = text.replace('name: Bob', 'name: Robert')"
BREAK = "text = text.replace('mode: sealed', 'mode: plain')"
MEND = "assert 'mode: plain' in text; text = text.replace('mode: plain', 'mode: signed')"


@pytest.fixture
def bobs(ada: Home) -> Home:
    """Ada's Portal with Bob in its list."""
    ada.call("peers", "add", ID_A, "--name", "Bob")
    return ada


def names(home: Home) -> list[tuple[str, str]]:
    contacts = ContactStore(home.state / "contacts.yaml", "x.y").load()
    return [(contact.name, contact.mode) for contact in contacts.peers]


@pytest.mark.parametrize("variable", ["VISUAL", "EDITOR"])
def test_what_the_editor_makes_of_it_is_put_in_place(bobs: Home, variable: str) -> None:
    environment = {"VISUAL": "", "EDITOR": "", variable: editor(bobs, RENAME)}
    outcome = bobs.run("peers", "edit", **environment)
    assert outcome.status == 0, outcome.stderr
    assert names(bobs) == [("Robert", "sealed")]


def test_visual_counts_more_than_editor(bobs: Home) -> None:
    assert bobs.call("peers", "edit", VISUAL=editor(bobs, RENAME), EDITOR="false").status == 0


def test_with_nobody_there_a_mistake_is_refused_and_the_text_kept(bobs: Home) -> None:
    before = bobs.contacts_text()
    outcome = bobs.call("peers", "edit", VISUAL=editor(bobs, BREAK))
    assert outcome.status == 1
    assert "peers[0].mode" in outcome.stderr
    assert "state/contacts.yaml.rejected" in outcome.stderr
    assert bobs.contacts_text() == before
    assert "mode: plain" in (bobs.state / "contacts.yaml.rejected").read_text()


@pytest.mark.parametrize("answer", ["y\n", "\n"])
def test_the_owner_can_mend_a_mistake(bobs: Home, answer: str) -> None:
    visual = editor(bobs, BREAK, MEND)
    outcome = bobs.run_at_terminal("peers", "edit", answer=answer, VISUAL=visual)
    assert outcome.status == 0, outcome.stderr
    assert "peers[0].mode" in outcome.stderr
    assert "Edit it again?" in outcome.stderr
    assert names(bobs) == [("Bob", "signed")]


def test_the_owner_can_give_up_on_a_mistake(bobs: Home) -> None:
    before = bobs.contacts_text()
    visual = editor(bobs, BREAK)
    outcome = bobs.run_at_terminal("peers", "edit", answer="n\n", VISUAL=visual)
    assert outcome.status == 1
    assert outcome.stderr.count("peers[0].mode") == 1
    assert "state/contacts.yaml.rejected" in outcome.stderr
    assert bobs.contacts_text() == before


@pytest.mark.parametrize("visual", ["false", "/nonexistent/editor", "'unbalanced"])
def test_an_editor_that_fails_changes_nothing(bobs: Home, visual: str) -> None:
    before = bobs.contacts_text()
    outcome = bobs.call("peers", "edit", VISUAL=visual)
    assert outcome.status == 1
    assert outcome.reason.startswith("portal-proxy: ")
    assert bobs.contacts_text() == before


def test_a_broken_file_can_be_mended(bobs: Home) -> None:
    path = bobs.state / "contacts.yaml"
    path.write_text(path.read_text().replace("mode: sealed", "mode: plain"))
    assert bobs.call("peers", "edit", VISUAL=editor(bobs, MEND)).status == 0
    assert names(bobs) == [("Bob", "signed")]


def test_a_removed_peer_that_an_app_still_names_is_a_mistake(bobs: Home) -> None:
    bobs.add_app("box", '{"v": "3.1", "port": 1, "paths": {}}')
    bobs.call("apps", "allow", "box", ID_A)
    outcome = bobs.call(
        "peers", "edit", VISUAL=editor(bobs, f"text = text.replace({ID_A!r}, {ID_B!r}, 1)")
    )
    assert outcome.status == 1
    assert "apps.box[0]" in outcome.stderr
