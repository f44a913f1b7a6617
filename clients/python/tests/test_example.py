"""The guestbook that docs/for-app-authors.md begins with, and the README's lines: both run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from portal_peers import settings
from portal_peers.fake import FakePortal, RecordedCall
from portal_peers.testing import Portals

PACKAGE = Path(__file__).resolve().parents[1]
GUESTBOOK = PACKAGE / "examples" / "guestbook"
PAGE = PACKAGE.parents[1] / "docs" / "for-app-authors.md"
COMMAND = [sys.executable, "-m", "uvicorn", "app:app", "--port", "{port}", "--app-dir"]


@pytest.mark.parametrize("name", ["app.py", "app.json"])
def test_the_page_shows_each_file_of_the_example_as_it_is(name: str) -> None:
    marked = rf"<!-- file: clients/python/examples/guestbook/{re.escape(name)} -->"
    shown = _blocks(rf"{marked}\n```\w+", PAGE.read_text("utf-8"))
    assert shown == [(GUESTBOOK / name).read_text("utf-8")]


@pytest.mark.more
def test_friends_write_into_each_others_guestbooks(portals: Portals) -> None:
    ada, bob, cleo = portals(
        [*COMMAND, str(GUESTBOOK)],
        names=["Ada", "Bob", "Cleo"],
        app_json=GUESTBOOK / "app.json",
        app_name="guestbook",
    )
    assert ada.visitor.post("/write", content="Hello!").status_code == 401
    cleo.allow("none")
    told = sorted(ada.owner.post("/write", content="Hello!").text.split("\n"))
    assert told[:2] == ["", "Bob: 201"]
    assert "not_allowed" in told[2]
    assert bob.visitor.get("/public/").text == "1 entries\nAda wrote: Hello!\n"
    assert ada.visitor.get("/public/").text == "0 entries\n"
    assert ada.visitor.post("/peer/entries", json={"text": "x"}).status_code == 401
    (line,) = bob.log(path="/peer/entries")
    assert (line["mode"], line["caller_name"]) == ("sealed", "Ada")


def test_the_readme_s_lines_run(capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakePortal()
    bob, cleo = fake.add_peer("Bob"), fake.add_peer("Cleo")

    def answered(call: RecordedCall) -> httpx.Response:
        return httpx.Response(201, json={"thanks": call.json()["text"]})

    bob.handle(answered, "/peer/entries")
    cleo.refuse("app_unreachable")
    page = (PACKAGE / "README.md").read_text("utf-8")
    (code,) = _blocks(r"<!-- example: call -->\n```python", page)
    names: dict[str, Any] = {}
    with settings.settings_everywhere(fake.settings):
        exec(code, names)
    assert capsys.readouterr().out == (
        "Bob answered 201: {'thanks': 'Hello!'}\n"
        "Cleo can't be called just now: app_unreachable\n"
    )  # fmt: skip


USERS_APP = """
import portal_peers

def write_to_all(text):
    for peer in portal_peers.peers():
        try:
            peer.post("/peer/entries", json={"text": text})
        except portal_peers.PortalError:
            pass
"""


@pytest.mark.more
def test_the_readme_s_tests_run(tmp_path: Path) -> None:
    """With the fixtures as a user's own pytest finds them."""
    page = (PACKAGE / "README.md").read_text("utf-8")
    for kind in ("unit", "portals"):
        (test,) = _blocks(rf"<!-- example: {kind} -->\n```python", page)
        (tmp_path / f"test_{kind}.py").write_text(test, "utf-8")
    (tmp_path / "guestbook.py").write_text(USERS_APP, "utf-8")
    shutil.copy(GUESTBOOK / "app.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def _blocks(beginning: str, page: str) -> list[str]:
    return re.findall(rf"{beginning}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
