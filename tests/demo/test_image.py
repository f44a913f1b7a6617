"""The Dockerfile: what everybody who runs the image relies on."""

import json
import re
from pathlib import Path

DOCKERFILE = (Path(__file__).resolve().parents[2] / "Dockerfile").read_text("utf-8")
LAST = DOCKERFILE.rpartition("\nFROM ")[2].replace("\\\n", " ")


def instruction(name: str) -> str:
    (found,) = re.findall(rf"^{name} +(.*)$", LAST, re.MULTILINE)
    return str(found)


def test_its_program_is_the_proxy_and_serves_unless_something_else_is_asked() -> None:
    assert json.loads(instruction("ENTRYPOINT")) == ["portal-proxy"]
    assert json.loads(instruction("CMD")) == ["serve", "--init"]


def test_it_is_asked_how_it_is() -> None:
    assert re.search(r'CMD \["portal-proxy", "health"\]', instruction("HEALTHCHECK"))


def test_its_state_is_a_volume_whatever_the_settings_say() -> None:
    assert instruction("VOLUME") == "/var/lib/portal-proxy"
    assert "PORTAL_STATE=/var/lib/portal-proxy" in instruction("ENV")
    assert "PORTAL_ID" not in instruction("ENV")


def test_it_is_not_root() -> None:
    user, _, group = instruction("USER").partition(":")
    assert min(int(user), int(group)) > 0
