"""What ``check`` says of apps that are the Portal itself, and of apps that answered twice."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Home

_APP = '{"v": "3.1", "port": 9001, "paths": {"": {"access": "public"}}}'
_LISTEN = "listen: {{public: '{}', apps: '127.0.0.1:8091', owner: '127.0.0.1:8092'}}\n"


def _check(home: Home, public: str, upstream: str) -> list[dict[str, str]]:
    path = home.config / "portal.yaml"
    before, _, after = path.read_text("utf-8").partition("listen:\n")
    kept = [line for line in after.splitlines(keepends=True) if not line.startswith("  ")]
    path.write_text(before + _LISTEN.format(public) + "".join(kept), "utf-8")
    home.add_app("box", _APP, f"upstream: {upstream}\n")
    found = json.loads(home.run("check", "--json").stdout)["problems"]
    return [problem for problem in found if problem["place"] == "upstream"]


@pytest.mark.parametrize(
    ("public", "upstream"),
    [
        ("127.0.0.1:8090", "http://127.0.0.1:8090"),
        ("127.0.0.1:8090", "http://localhost:8090"),
        ("127.0.0.1:8090", "http://0.0.0.0:8090"),
        ("127.0.0.1:8090", "https://127.0.0.1:8090"),
        ("127.0.0.1:8090", "http://[::ffff:127.0.0.1]:8090"),
        ("0.0.0.0:8090", "http://127.0.0.1:8090"),
        ("0.0.0.0:8090", "http://127.0.0.2:8090"),
        ("localhost:8090", "http://127.0.0.1:8090"),
        ("127.0.0.1:8090", "http://127.0.0.1:8091"),
        ("127.0.0.1:8090", "http://localhost:8092"),
        ("unix:public.sock", "unix:../../public.sock"),
    ],
)
def test_an_app_that_is_a_listener_of_ours_is_a_problem(
    ada: Home, public: str, upstream: str
) -> None:
    (problem,) = _check(ada, public, upstream)
    assert problem["file"] == "apps/box/proxy.yaml"
    assert "own" in problem["what"]


@pytest.mark.parametrize(
    ("public", "upstream"),
    [
        ("127.0.0.1:8090", "http://127.0.0.1:8089"),
        ("127.0.0.1:8090", "http://127.0.0.2:8090"),
        ("0.0.0.0:8090", "http://192.0.2.1:8090"),
        ("0.0.0.0:8090", "http://no-such-host.invalid:8090"),
        ("unix:public.sock", "unix:../../app.sock"),
        ("unix:public.sock", "http://127.0.0.1:8090"),
    ],
)
def test_an_app_beside_a_listener_is_none(ada: Home, public: str, upstream: str) -> None:
    assert _check(ada, public, upstream) == []


@pytest.mark.parametrize("app", ["", "box.", "other."])
def test_an_app_that_is_our_public_address_is_a_problem(ada: Home, app: str) -> None:
    host = f"{ada.own_id()[:6]}.p.getportal.org"
    (problem,) = _check(ada, "127.0.0.1:8090", f"https://{app}{host}")
    assert "public address" in problem["what"]


def test_an_app_that_answered_twice_is_told_for_a_month(ada: Home) -> None:
    ada.add_app("box", _APP)
    seen = ada.state / "surplus-responses.json"
    now = int(time.time())
    for at, expected in ((now, 1), (now - 40 * 86_400, 0)):
        seen.write_text(json.dumps({"box": at, "gone": now}))
        seen.chmod(0o600)
        outcome = ada.run("check")
        assert outcome.stdout.count("answered twice") == expected
        assert outcome.status == 0


@pytest.mark.parametrize("text", ["", "[]", "{", '{"box": "x"}', '{"box": true}', "[" * 100_000])
def test_sightings_that_cant_be_read_are_none(ada: Home, text: str) -> None:
    ada.add_app("box", _APP)
    (ada.state / "surplus-responses.json").write_text(text)
    (ada.state / "surplus-responses.json").chmod(0o600)
    outcome = ada.run("check")
    assert outcome.status == 0
    assert "answered twice" not in outcome.stdout


OPEN, CLOSED, MIXED = (
    json.dumps({"v": "3.1", "port": 1, "paths": {p: {"access": a} for p, a in paths.items()}})
    for paths in (
        {"": "public"}, {"": "private", "/public": "public"}, {"": "public", "/admin": "private"}
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("app", "upstream", "is_warned_of"),
    [
        (OPEN, "http://127.0.0.1:9091", True),
        (OPEN, "http://localhost:9091", True),
        (OPEN, "http://[::1]:9091", True),
        (OPEN, "http://127.8.0.1:9091", True),
        (OPEN, "unix:app.sock", True),
        (MIXED, "http://127.0.0.1:9091", True),
        (CLOSED, "http://127.0.0.1:9091", False),
        (OPEN, "http://transmission:9091", False),
        (OPEN, "http://192.0.2.7:9091", False),
    ],
)
def test_an_open_app_that_takes_us_for_its_own_machine_is_a_warning(
    ada: Home, app: str, upstream: str, *, is_warned_of: bool
) -> None:
    ada.add_app("box", app, f"upstream: {upstream}\n")
    outcome = ada.run("check", "--json")
    found = json.loads(outcome.stdout)
    told = [each for each in found["warnings"] if "open to the world" in each["what"]]
    assert [each["file"] for each in told] == (["apps/box"] if is_warned_of else [])
    assert outcome.status == 0
