"""clients/typescript is held to the pages that it follows, without Node."""

import json
import re
from pathlib import Path

import pytest

from proxy.core.errors import Code

ROOT = Path(__file__).resolve().parents[2]
_FOLDER = ROOT / "clients" / "typescript"
_PAGE = (ROOT / "docs" / "for-app-authors.md").read_text("utf-8")
_REFUSALS = (_FOLDER / "src" / "refusals.ts").read_text("utf-8")
_QUOTED = re.findall(r"^<!-- file: (\S+) -->\n```\w*\n(.*?)^```$", _PAGE, re.DOTALL | re.MULTILINE)

_NEVER_AT_AN_APP = {
    "bad_handshake", "device_token_exposed", "foreign_page", "not_an_envelope",
    "pairing_refused", "pairing_store_down", "sealing_key_unknown", "too_many_attempts",
    "websocket_version",
}  # fmt: skip
"""Refusals of browsers and of the owner's programs, of handshakes, and of envelopes, by which the
calling proxy goes itself."""


def test_the_page_quotes_the_guestbook() -> None:
    assert "clients/typescript/examples/guestbook/server.ts" in dict(_QUOTED)


@pytest.mark.parametrize(("file", "text"), _QUOTED)
def test_what_the_page_quotes_stands_in_the_file(file: str, text: str) -> None:
    assert (ROOT / file).read_text("utf-8") == text


def test_each_code_that_an_app_may_be_told_has_one_class() -> None:
    classes = _REFUSALS.partition("const CODES")[2].partition("BY_CODE")[0]
    known = re.findall(r'"([a-z_]+)"', classes)
    assert len(known) == len(set(known))
    assert {code.public for code in Code} - _NEVER_AT_AN_APP - set(known) == set()
    assert _NEVER_AT_AN_APP & set(known) == set()


def test_whether_a_call_was_perhaps_carried_out_is_said_of_codes_with_a_class() -> None:
    sets = re.findall(r"new Set\(\[(.*?)\]\)", _REFUSALS, re.DOTALL)
    assert len(sets) == 2
    named = set(re.findall(r'"([a-z_]+)"', "".join(sets)))
    classes = _REFUSALS.partition("const CODES")[2]
    assert named - set(re.findall(r'"([a-z_]+)"', classes)) == set()


def test_its_packages_are_pinned_by_their_content_and_by_no_address() -> None:
    lock = (_FOLDER / "package-lock.json").read_text("utf-8")
    assert "resolved" not in lock
    assert "://" not in re.sub(r'"url": "[^"]*"', "", lock)
    packages = json.loads(lock)["packages"]
    assert all("integrity" in entry for name, entry in packages.items() if name)


def test_at_run_time_it_needs_no_other_package() -> None:
    package = json.loads((_FOLDER / "package.json").read_text("utf-8"))
    assert not {"dependencies", "optionalDependencies", "peerDependencies"} & set(package)
