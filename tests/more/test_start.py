"""docs/start.md, followed by two people on two machines, from the wheel to a call each way."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.more.machines import Machine, skip_without, two_machines
from tests.patience import PATIENCE
from tests.wire.harness.portals import ROOT
from tests.wire.harness.recorder import eventually

PAGE = (ROOT / "docs" / "start.md").read_text("utf-8")
WAY, AFTERWARDS = PAGE.split("\n## If something is wrong\n")
"""What leads to the call, and what comes behind it."""
MOST_COMMANDS = 8
WHEEL = "portal_proxy-{}-py3-none-any.whl"
PYTHON = "/usr/bin/python3"
"""That of the system, which Debian's pipx uses: a service sees no other."""

OTHER = {"Ada": "Bob", "Bob": "Ada", "ada": "bob", "bob": "ada"}
OWN_AUTHORITY = "{\n\tlocal_certs\n\tskip_install_trust\n}\n"


def steps(part: str) -> list[str]:
    """Return the commands of a part of the page; one that writes a file is a whole block."""
    found: list[str] = []
    for block in re.findall(r"^```sh\n(.*?)^```$", part, re.DOTALL | re.MULTILINE):
        found += [block] if "<<" in block else block.splitlines()
    return found


def test_it_takes_at_most_eight_commands_and_one_file() -> None:
    files = [step for step in steps(WAY) if "<<" in step]
    commands = [step for step in steps(WAY) if step not in files]
    assert len(commands) <= MOST_COMMANDS
    assert len(files) == 1
    assert "eight commands\nand one short file" in PAGE
    for step in commands:  # each is one
        assert not re.search(r"[;&|\\]", step), step
    file = re.compile(r"sudo install -D -m 644 /dev/stdin \S+ <<'END'\n.*\nEND\n", re.DOTALL)
    assert [step for step in files if not file.fullmatch(step)] == []


def test_the_web_server_s_file_is_that_of_setup() -> None:
    file = (ROOT / "docs/setup/caddy/one-name.Caddyfile").read_text("utf-8")
    site = file[file.index("portal.ada.example {") :]
    assert f"<<'END'\n{site}" in PAGE


def test_the_wheel_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = set(re.findall(r"portal_proxy-[\w.-]+\.whl", PAGE))
    assert named == {WHEEL.format(project["version"])}


@dataclass
class Side:
    """One of the two people, at their machine."""

    name: str
    machine: Machine
    said: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)
    """What each step of the page printed."""

    @property
    def log_file(self) -> Path:
        return self.machine.home / "serve.log"

    @property
    def card(self) -> str:
        """The line that they send to the other one."""
        printed = self.output("init")
        (card,) = re.findall(r"^Card +(portal:\S+)$", printed, re.MULTILINE)
        return str(card)

    def output(self, word: str) -> str:
        """Return all that the step with this word printed."""
        (done,) = [done for step, done in self.said.items() if f" {word} " in f"{step} "]
        return done.stdout + done.stderr

    def start_caddy(self) -> None:
        """Start the web server as Debian's unit does, with the file that Debian gives it."""
        command = "caddy run --environ --config /etc/caddy/Caddyfile"
        self.machine.start(command, self.machine.home / "caddy.log")
        listens = "exec 3<>/dev/tcp/127.0.0.1/2019"  # where "caddy reload" speaks to it
        eventually(lambda: self.machine.run(listens).returncode == 0)

    def calls_seen(self) -> list[dict[str, object]]:
        """Return the lines of the log of calls to the app."""
        whole = self.log_file.read_text().rpartition("\n")[0].splitlines()
        return [line for line in map(json.loads, whole) if line.get("app") == "hello"]

    def follow(self, step: str, friend: Side) -> None:
        """Do what the page says."""
        command = self._here(step, friend)
        if step.endswith(" serve"):
            self.machine.start(command, self.log_file)
            eventually(lambda: self.machine.run("portal-proxy health").returncode == 0)
            return
        done = self.machine.run(command)
        self.said[step] = done
        log = self.log_file.read_text() if self.log_file.exists() else ""
        assert done.returncode == 0, f"{self.name}: {command}\n{done.stdout}{done.stderr}{log}"

    def _here(self, step: str, friend: Side) -> str:
        """Return a step as it is done here. All that differs from the page stands in this method.

        And in ``world``: names are in /etc/hosts, and packages come from a folder.
        """
        if self.name == "Bob":
            step = swapped(step)
        step = re.sub(r"^sudo ", "", step)  # the test is root
        if "CARD" in step:
            step = step.replace("CARD", friend.card)
        if " ping " in step:
            step += f" --timeout {PATIENCE}"  # this machine may be a busy one
        # The certificate is of an authority of Caddy's own.
        return step.replace("<<'END'\nportal.", f"<<'END'\n{OWN_AUTHORITY}portal.")


def swapped(text: str) -> str:
    """Return what stands on the page for Ada as it is for Bob."""
    return re.sub("|".join(OTHER), lambda name: OTHER[name[0]], text)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    """Give Ada and Bob, each at a machine that has what the page asks for, and nothing more."""
    skip_without("caddy", "pipx", "useradd", "update-ca-certificates")
    if subprocess.run([PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"],
                      check=False).returncode:  # fmt: skip
        pytest.skip("the system's Python is older than 3.11")
    folder = tmp_path_factory.mktemp("start")
    packages = gathered(folder)
    (wheel,) = packages.glob("portal_proxy-*.whl")
    from_there = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages),
                  "PIP_CONFIG_FILE": "/dev/null"}  # fmt: skip
    names = ("portal.ada.example", "portal.bob.example")
    with two_machines(folder, names, from_there) as (first, second):
        sides = (Side("Ada", first), Side("Bob", second))
        for side in sides:
            shutil.copy(wheel, side.machine.home)
            side.start_caddy()
        yield sides


def gathered(folder: Path) -> Path:
    """Return a folder with the wheel, as the page has it made, and all that pipx needs for it."""
    source = folder / "source"  # a build leaves things behind where it is made
    no_bytecode = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "proxy", source / "proxy", ignore=no_bytecode)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([PYTHON, "-m", "venv", folder / "venv"], check=True)
    pip = [str(folder / "venv/bin/python"), "-m", "pip", "-q"]
    packages = folder / "packages"
    for words in (["wheel", "--no-deps", "."], ["wheel", ".", "pip", "setuptools", "wheel"]):
        subprocess.run([*pip, *words, "-w", str(packages)], cwd=source, check=True)
    return packages


def believe_each_other(sides: tuple[Side, Side]) -> None:
    """Have each machine trust the authority that the other's Caddy is, beside its own."""
    for side in sides:
        home = side.machine.home
        root = home / ".local/share/caddy/pki/authorities/local/root.crt"
        eventually(root.exists)
        for other in sides:
            to = f"/usr/local/share/ca-certificates/{side.name}.crt"
            done = other.machine.run(f"cp {root} {to} && update-ca-certificates")
            assert done.returncode == 0, done.stderr


@pytest.mark.more
def test_two_people_who_follow_it_get_a_proven_call_each_way(world: tuple[Side, Side]) -> None:
    ada, bob = world
    both = ((ada, bob), (bob, ada))

    def follow(step: str) -> None:
        """Have both do it, at the same time."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda who: who[0].follow(step, who[1]), both))

    for step in steps(WAY):
        follow(step)
        if "caddy reload" in step:
            believe_each_other(world)

    (printed,) = re.findall(r"^```text\n(.*?)\n```$", WAY, re.DOTALL | re.MULTILINE)
    assert ada.output("call") == printed
    assert bob.output("call") == swapped(printed)
    for side, friend in both:
        eventually(side.calls_seen)
        (proven,) = side.calls_seen()
        told = {name: proven[name] for name in ("outcome", "caller", "caller_name", "mode")}
        assert told == {
            "outcome": "answered", "caller": "peer", "caller_name": friend.name, "mode": "sealed"
        }  # fmt: skip
        assert str(proven["caller_id"]) in friend.card

        # What each step prints leads on to the next one.
        assert "portal-proxy init --name" in side.output("service")
        assert "portal-proxy check; then: portal-proxy serve" in side.output("init")
        assert "portal-proxy check" in side.output("apps")
        assert "portal-proxy ping" in side.output("peers")

    for step in steps(AFTERWARDS):
        follow(step)
    for side in world:
        assert side.output("check").endswith("No problems found.\n")
        assert side.output("ping").endswith("All is well.\n")
