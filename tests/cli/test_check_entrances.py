"""What ``check`` says of the apps' own entrances."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Home

_APP = '{"v": "3.1", "port": 9001, "paths": {"": {"access": "private"}}}'


def _found(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(home.run("check", "--json").stdout)
    return found


def _of(found: dict[str, Any], kind: str) -> dict[str, str]:
    of_entrances = (each for each in found[kind] if each["place"].startswith("entrance"))
    return {each["file"].split("/")[-2]: each["what"] for each in of_entrances}


def test_it_tells_what_keeps_one_from_being_opened(ada: Home, tmp_path: Path) -> None:
    apps = json.loads(ada.run("check", "--json").stdout)
    assert apps["problems"] == []
    listen = "\n".join(
        line
        for line in (ada.config / "portal.yaml").read_text("utf-8").splitlines()
        if "apps:" in line
    )
    port = listen.rpartition(":")[2].strip(" }\"'")
    settings = {
        "fine": f"entrance: unix:{tmp_path}/fine.sock\n",
        "open": f"entrance: unix:{tmp_path}/open.sock\nentrance_mode: '0666'\n",
        "token": f"entrance: unix:{tmp_path}/token.sock\nentrance_mode: '0666'\n"
        "entrance_token: required\n",
        "folder": f"entrance: unix:{tmp_path}/none/x.sock\n",
        "there": f"entrance: unix:{tmp_path}\n",
        "public": "entrance: 8.8.8.8:9001\n",
        "taken": f"entrance: 127.0.0.1:{port}\nentrance_token: required\n",
        "away": "entrance: 10.254.254.254:9001\n",
        "unknown": "entrance: no-such-host.invalid:9001\n",
    }
    for name, text in settings.items():
        ada.add_app(name, _APP, f"upstream: http://127.0.0.1:9\n{text}")
    found = _found(ada)
    problems, warnings = _of(found, "problems"), _of(found, "warnings")
    assert set(problems) == {"folder", "there", "public", "taken"}
    assert "a folder is there, and stays" in problems["there"]
    assert "isn't a folder that can be written to" in problems["folder"]
    assert "is a public address" in problems["public"]
    assert "is the apps listener's; expected an address of its own" in problems["taken"]
    assert set(warnings) == {"open", "away", "unknown"}
    assert "can call as open" in warnings["open"]
    assert "isn't an address of this machine" in warnings["away"]
    assert "can't be looked up" in warnings["unknown"]
