"""Root at the files of a service: goes on as their owner, and leaves none of its own there."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.cli import output
from proxy.cli.output import DEFAULT_FOLDER, command_line, default_folder
from proxy.cli.owner import Owner, acting_as, owner_of
from tests.cli.conftest import Home, Outcome
from tests.patience import PATIENCE

NOBODY = 65534
ROOT = Path(__file__).resolve().parents[2]
SYSTEM = Path(f"/usr/bin/python3.{sys.version_info.minor}")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def is_for_all(program: str) -> bool:
    """Tell whether everybody can read what is there."""
    path = Path(program).resolve()
    return all(each.stat().st_mode & 0o005 == 0o005 for each in path.parents)


@dataclass
class Machine(Home):
    """A Portal whose commands are run by an interpreter that everybody can read."""

    def run(self, *words: str, stdin: str = "", **environment: str) -> Outcome:
        del stdin
        variables = {**self._environment(environment)}
        python = sys.executable
        if not is_for_all(os.__file__):
            if not SYSTEM.exists():
                pytest.skip("no interpreter here that everybody can read")
            python = str(SYSTEM)
            variables["PYTHONPATH"] = os.pathsep.join((str(ROOT), *map(str, _packages())))
        done = subprocess.run(
            [python, "-m", "proxy", *words], cwd=self.path, env=variables,
            capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)


def _packages() -> list[str]:
    return [each for each in sys.path if each.endswith("site-packages")]


@pytest.fixture
def served() -> Iterator[Home]:
    """A Portal whose settings are root's, and whose state is a service's user's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    home = Machine(folder)
    assert home.run("init", "--name", "Ada", "--domain", "a.example").status == 0
    for path in (home.state, *home.state.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    yield home
    shutil.rmtree(folder)


def owners(home: Home) -> set[int]:
    return {path.stat().st_uid for path in (home.state, *home.state.rglob("*"))}


@as_root
@pytest.mark.parametrize(
    "words", [["id"], ["card"], ["peers", "list"], ["terminals", "list"], ["init"],
              ["apps", "list"]],
)  # fmt: skip
def test_every_command_works_for_root(served: Home, words: list[str]) -> None:
    done = served.run(*words)
    assert (done.status, "run it as the owner" in done.stderr) == (0, False), done.stderr
    assert owners(served) == {NOBODY}


@as_root
def test_check_finds_nothing_wrong_and_changes_are_the_owner_s(served: Home) -> None:
    assert served.run("check").status == 0
    other = served.run("id").stdout.strip()
    assert (
        served.run("peers", "add", other, "--name", "Me", "--address", "https://b.example").status
        == 1
    )
    (served.config / "apps").mkdir()
    assert served.run("terminals", "pair").status == 0
    assert owners(served) == {NOBODY}


@as_root
def test_a_backup_goes_where_root_may_write(served: Home) -> None:
    elsewhere = served.path / "roots"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "secret").write_text("four words would do\n")
    file = elsewhere / "ada.age"
    words = ("--passphrase-file", str(elsewhere / "secret"))
    done = served.run("backup", str(file), *words)
    assert done.status == 0, done.stderr
    assert owners(served) == {NOBODY}
    shutil.rmtree(served.config)
    kept = (served.state / "identity.key").read_bytes()
    (served.state / "identity.key").unlink()
    assert served.run("restore", str(file), *words).status == 0
    assert (served.state / "identity.key").read_bytes() == kept
    assert owners(served) == {NOBODY}


@as_root
def test_what_the_owner_may_not_write_says_as_whom_root_went_on(served: Home) -> None:
    served.path.chmod(0o755)
    done = served.run(
        "serve", PORTAL_LISTEN_APPS="unix:apps.sock", PORTAL_LISTEN_PUBLIC="127.0.0.1:0"
    )
    assert done.status == 1
    assert "ermission denied" in done.stderr


@as_root
def test_a_program_that_the_owner_can_not_read_is_told(served: Home) -> None:
    if is_for_all(os.__file__):
        pytest.skip("everybody can read it here")
    assert "install portal-proxy for everybody" in Home(served.path).run("id").reason


@as_root
def test_settings_that_init_writes_are_root_s_and_the_key_is_the_owner_s(served: Home) -> None:
    shutil.rmtree(served.config)
    for path in served.state.iterdir():
        path.unlink() if path.is_file() else shutil.rmtree(path)
    assert served.run("init", "--name", "Ada", "--domain", "a.example").status == 0
    assert (served.config / "portal.yaml").stat().st_uid == 0
    assert owners(served) == {NOBODY}


def test_who_is_not_root_stays_who_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert owner_of(tmp_path) is None


@as_root
def test_a_state_that_is_root_s_or_is_not_there_changes_nothing(tmp_path: Path) -> None:
    assert owner_of(tmp_path) is None
    assert owner_of(tmp_path / "nowhere") is None


@as_root
def test_within_a_block_root_is_the_owner_and_root_again_behind_it() -> None:
    with acting_as(Owner(NOBODY, NOBODY, "", "/")):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (NOBODY, NOBODY, [NOBODY])
    assert (os.geteuid(), os.getegid()) == (0, 0)


def test_the_machine_s_folder_is_meant_where_none_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    machine = tmp_path / "etc"
    monkeypatch.setattr(output, "SYSTEM_FOLDER", machine)
    assert default_folder() == DEFAULT_FOLDER
    machine.mkdir()
    (machine / "portal.yaml").touch()
    assert default_folder() == machine
    assert command_line(machine, "check") == "portal-proxy check"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "portal.yaml").touch()
    assert default_folder() == DEFAULT_FOLDER
    assert command_line(machine, "check") == f"portal-proxy check --config {machine}"
