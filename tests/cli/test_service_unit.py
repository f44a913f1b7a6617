"""The unit file: what it holds for which options, and that systemd would take it."""

import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from proxy.cli.output import Stop
from proxy.cli.service_unit import Unit, unit_text
from proxy.config.limits import DEFAULT_LIMITS

PROGRAM = (Path("/usr/bin/env"),)


def text(*, user: str = "portal", key: Path | None = None, low_ports: bool = False) -> str:
    return unit_text(Unit(PROGRAM, user, key, low_ports=low_ports))


def keys(unit: str) -> dict[str, str]:
    """Return the keys of [Service]; of one that is there twice, the first value."""
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit)
    return dict(parser["Service"])


def test_nothing_is_left_to_be_filled_in() -> None:
    marks = {"@PROGRAM@", "@USER@", "@CREDENTIAL@", "@CAPABILITIES@"}
    assert not [mark for mark in marks if mark in text()]


def test_systemd_hears_how_it_is_and_may_reload_it() -> None:
    found = keys(text())
    assert found["Type"] == "notify"
    assert int(found["WatchdogSec"]) > 0
    assert "-HUP $MAINPID" in found["ExecReload"]
    assert found["StateDirectoryMode"] == "0700"


def test_as_many_descriptors_as_the_limits_need() -> None:
    assert int(keys(text())["LimitNOFILE"]) >= DEFAULT_LIMITS.needed_descriptors


def test_it_has_no_capability_but_that_of_low_ports() -> None:
    assert keys(text())["CapabilityBoundingSet"] == ""
    assert "AmbientCapabilities" not in keys(text())
    assert keys(text(low_ports=True))["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"


def test_systemd_hands_it_the_key_that_is_named() -> None:
    assert "LoadCredential" not in keys(text())
    found = keys(text(key=Path("/etc/credstore/ada")))
    assert found["LoadCredential"] == "identity.key:/etc/credstore/ada"


@pytest.mark.parametrize("user", ["", "a b", "a\nExecStart=/bin/sh", "Ada", "a%n"])
def test_a_user_that_would_write_into_the_unit_is_refused(user: str) -> None:
    with pytest.raises(Stop, match="--user"):
        text(user=user)


@pytest.mark.parametrize("key", ["relative", "/etc/a b", "/etc/a\nX=1", "/etc/%h", "/etc/$HOME"])
def test_a_path_that_would_is_refused(key: str) -> None:
    with pytest.raises(Stop):
        text(key=Path(key))


@pytest.mark.more
@pytest.mark.parametrize("low_ports", [False, True])
def test_systemd_takes_it_and_finds_it_guarded(tmp_path: Path, *, low_ports: bool) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd here")
    unit = tmp_path / "portal-proxy.service"
    unit.write_text(text(user="daemon", key=Path("/etc/hostname"), low_ports=low_ports))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (verified.returncode, _about(unit, verified.stderr)) == (0, [])
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=25", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout[-2000:]


def _about(unit: Path, said: str) -> list[str]:
    return [line for line in said.splitlines() if unit.name in line]
