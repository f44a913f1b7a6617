"""A Portal's folders, and two ways to run a command on them: as a process, and in this one."""

import os
import pty
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.cli.root import with_what_is_needed
from tests.patience import PATIENCE
from tests.wire.harness import preloaded
from tests.wire.harness.portals import environment

GUESTBOOK = (
    '{"v": "3.1", "port": 9001, "paths": {"": {"access": "private"}, "/peer": {"access": "peer"}}}'
)
FILES = '{"v": "3.1", "port": 9002, "paths": {"": {"access": "public"}}}'


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit status."""

    status: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """The one line on stderr that a refusal consists of."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, self.stderr
        return lines[0]


@pytest.fixture(autouse=True)
def _enough_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test see that this machine allows few descriptors, which ``check`` warns of."""
    monkeypatch.setattr("proxy.cli.check.most_descriptors", lambda: sys.maxsize)


@dataclass
class Home:
    """The folder that holds ``config`` and ``state``."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.path / "config"

    @property
    def state(self) -> Path:
        return self.path / "state"

    def run(self, *words: str, stdin: str = "", **environment: str) -> Outcome:
        """Run a command as a process of its own; nobody is at its terminal."""
        variables = self._environment(environment)
        if any(name.startswith("PYTHON") for name in environment):
            done = subprocess.run(
                [sys.executable, "-m", "proxy", *words], cwd=self.path, env=variables,
                input=stdin.encode(), capture_output=True, check=False, timeout=PATIENCE,
            )  # fmt: skip
        else:
            done = preloaded.run(
                *words, environment=variables, folder=self.path, stdin=stdin.encode()
            )
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    def run_at_terminal(self, *words: str, answer: str, **environment: str) -> Outcome:
        """Run a command as a process at whose terminal somebody types ``answer``."""
        ours, theirs = pty.openpty()
        try:
            os.write(ours, answer.encode())
            done = subprocess.run(
                [sys.executable, "-m", "proxy", *words],
                cwd=self.path,
                env=self._environment(environment),
                stdin=theirs,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE,
            )
        finally:
            os.close(ours)
            os.close(theirs)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def call(self, *words: str, **environment: str) -> Outcome:
        """Run a command in this process: quicker, and the same from the arguments on."""
        variables = {"PORTAL_CONFIG": str(self.config), **environment}
        program = with_what_is_needed(words[0] if words else "")
        result = CliRunner().invoke(program, list(words), env=variables)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    def own_id(self) -> str:
        return self.call("id").stdout.strip()

    def contacts_text(self) -> str:
        return (self.state / "contacts.yaml").read_text(encoding="utf-8")

    def add_app(self, name: str, manifest: str, settings: str | None = None) -> None:
        folder = self.config / "apps" / name
        folder.mkdir(parents=True)
        (folder / "app.json").write_text(manifest, encoding="utf-8")
        if settings is not None:
            (folder / "proxy.yaml").write_text(settings, encoding="utf-8")

    def _environment(self, changes: dict[str, str]) -> dict[str, str]:
        return {**environment(), **self.environment, **changes}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder with nothing in it."""
    return Home(tmp_path)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a Portal after ``init``, of which each test gets a copy."""
    made = Home(tmp_path_factory.mktemp("ada"))
    assert made.call("init", "--name", "Ada", "--domain", "p.getportal.org").status == 0
    return made.path


@pytest.fixture
def ada(home: Home, made_once: Path) -> Home:
    """Ada's Portal after ``init``."""
    shutil.copytree(made_once, home.path, dirs_exist_ok=True)
    return home


@pytest.fixture
def ada_with_apps(ada: Home) -> Home:
    """Ada's Portal with an app that has paths for peers, and one that hasn't."""
    ada.add_app("guestbook", GUESTBOOK)
    ada.add_app("files", FILES)
    return ada
