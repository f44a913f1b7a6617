"""When an app answered twice: noted for ``check``, and nobody waits for that."""

import json
import logging
import threading
import time
from pathlib import Path

import pytest

from proxy.core.errors import Invalid
from proxy.state.files import make_private_folder
from proxy.state.surplus_responses import KEPT, SurplusResponses
from tests.patience import PATIENCE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_private_folder(tmp_path / "state")
    return tmp_path / "state" / "surplus-responses.json"


def test_what_was_noted_is_told_and_what_is_old_isnt(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = SurplusResponses(path)
    assert seen.load() == {}
    monkeypatch.setattr(time, "time", lambda: 1000.5)
    seen.note(["wiki"])
    monkeypatch.setattr(time, "time", lambda: 1000.5 + KEPT - 1)
    seen.note(["notes", "files"])
    later = 1000 + KEPT - 1
    assert SurplusResponses(path).load() == {"wiki": 1000, "notes": later, "files": later}
    monkeypatch.setattr(time, "time", lambda: 1001.5 + KEPT)
    assert SurplusResponses(path).load() == {"notes": later, "files": later}


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{", '{"wiki": "x"}', '{"../up": 9999999999}', '{"wiki": true}',
        '{"v": 1, "seen": {"wiki": 1.5}}', '{"v": 0, "seen": {}}', '{"v": "1", "seen": {}}',
        "[" * 1000, "\0",
    ],
)  # fmt: skip
def test_a_file_that_says_something_else_is_told_and_written_anew(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
    seen = SurplusResponses(path)
    with pytest.raises(Invalid, match="surplus-responses"):
        seen.load()
    seen.note(["wiki"])
    assert seen.load().keys() == {"wiki"}


def test_a_file_of_before_it_had_a_version_is_read(path: Path) -> None:
    path.write_text(json.dumps({"v": 9_999_999_999, "seen": 9_999_999_999}))
    path.chmod(0o600)
    assert SurplusResponses(path).load().keys() == {"v", "seen"}


def test_a_file_of_a_later_version_is_left_as_it_is(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = '{"v": 2, "seen": {"wiki": [1, 2]}}'
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(Invalid, match="is of version 2, and this program"):
        SurplusResponses(path).load()
    SurplusResponses(path).note(["wiki"])
    assert "is of version 2" in caplog.text
    assert path.read_text() == text


def test_a_disk_that_takes_nothing_is_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    SurplusResponses(tmp_path / "gone" / "file").note(["wiki"])
    assert caplog.text.count("can't be noted") == 1
    assert caplog.records[0].levelno == logging.ERROR


def test_who_notes_soon_waits_for_no_disk_and_none_is_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = SurplusResponses(path)
    is_there, real = threading.Event(), SurplusResponses.load

    def load(self: SurplusResponses) -> object:
        assert is_there.wait(PATIENCE)
        return real(self)

    monkeypatch.setattr(SurplusResponses, "load", load)
    for app in ("wiki", "notes", "files"):
        seen.note_soon([app])
    is_there.set()
    for thread in threading.enumerate():
        if thread.name == "note":
            thread.join(PATIENCE)
    assert seen.load().keys() == {"wiki", "notes", "files"}
