"""The unit file of the service, and what it needs: a user, folders, a program that it can read."""

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from proxy.cli.output import PROGRAM, SYSTEM_FOLDER, Stop, remark, say
from proxy.config.portal_yaml import CREDENTIAL
from proxy.state.files import create_atomically, write_atomically

UNIT_NAME = "portal-proxy"
STATE_FOLDER = Path("/var/lib/portal-proxy")
UNIT_FILE = Path(f"/etc/systemd/system/{UNIT_NAME}.service")

_TEMPLATE = Path(__file__).with_name("portal-proxy.service")
_HIDDEN = (Path("/home"), Path("/root"), Path("/run/user"), Path("/tmp"), Path("/var/tmp"))  # noqa: S108
"""What a service with ProtectHome and PrivateTmp doesn't see."""
_RUNS = Path("/run/systemd/system")
"""Is there where systemd runs this machine."""
_SAFE_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


@dataclass(frozen=True)
class Unit:
    """What differs from one machine to another."""

    program: tuple[Path, ...]
    """The program, and what its interpreter is."""
    user: str
    identity_key: Path | None
    low_ports: bool


def unit_text(unit: Unit) -> str:
    """Return the text of the unit file; refuses what can't stand in one."""
    if not unit.user or not _SAFE_NAME.issuperset(unit.user):
        raise Stop(f"--user: {unit.user!r} isn't the name of a user")
    credential = f"# LoadCredential={CREDENTIAL}:/etc/credstore/portal-identity.key"
    if unit.identity_key is not None:
        if not unit.identity_key.is_absolute():
            raise Stop("--identity-key: expected a whole path, from / on")
        credential = f"LoadCredential={CREDENTIAL}:{_written(unit.identity_key)}"
    capabilities = ["CapabilityBoundingSet="]
    if unit.low_ports:
        kinds = ("CapabilityBoundingSet", "AmbientCapabilities")
        capabilities = [f"{kind}=CAP_NET_BIND_SERVICE" for kind in kinds]
    replacing = {
        "@PROGRAM@": _written(unit.program[0]),
        "@USER@": unit.user,
        "@CREDENTIAL@": credential,
        "@CAPABILITIES@": "\n".join(capabilities),
    }
    text = _TEMPLATE.read_text("utf-8")
    for mark, value in replacing.items():
        text = text.replace(mark, value)
    return text


def program_of_this() -> tuple[Path, ...]:
    """Return the program that this is, and the folder of its interpreter."""
    program = Path(sys.prefix) / "bin" / PROGRAM
    if not program.exists():
        found = shutil.which(PROGRAM)
        if found is None:
            raise Stop(f"there is no {program}: install portal-proxy, as by pipx or pip")
        program = Path(found)
    return program, Path(sys.base_prefix).resolve()


def why_out_of_reach(paths: tuple[Path, ...]) -> str:
    """Return why a service couldn't run what is there; "" where it could."""
    for path in paths:
        for hidden in _HIDDEN:
            if path.resolve().is_relative_to(hidden) or path.is_relative_to(hidden):
                return (
                    f"a service doesn't see {hidden}, and {path} is there: install portal-proxy "
                    "for everybody, as by pipx install --global portal-proxy"
                )
        for folder in (path, *path.parents):
            if not folder.stat().st_mode & 0o001:
                return f"only some users may enter {folder}: chmod o+x it, or install it elsewhere"
    return ""


def make_user(name: str) -> pwd.struct_passwd:
    """Return the service's user, made where it is missing; it can't log in."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        pass
    home = ("--home-dir", str(STATE_FOLDER), "--no-create-home", "--shell", "/usr/sbin/nologin")
    command = ["useradd", "--system", "--user-group", *home, name]
    if shutil.which(command[0]) is None:
        raise Stop(f"there is no user {name}, and no useradd here: make the user, then try again")
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise Stop(f"the user {name} can't be made: {done.stderr.strip()}")
    say(f"Made       user {name}")
    return pwd.getpwnam(name)


def make_folders(root: Path, owner: pwd.struct_passwd | None) -> None:
    """Make the folders of settings and state, where they are missing."""
    for folder, mode in ((SYSTEM_FOLDER, 0o755), (STATE_FOLDER, 0o700)):
        path = _below(root, folder)
        if path.exists():
            say(f"There      {path}")
            continue
        path.mkdir(parents=True)
        path.chmod(mode)
        if owner is not None and folder == STATE_FOLDER:
            os.chown(path, owner.pw_uid, owner.pw_gid)
        say(f"Made       {path}")


def put_in_place(root: Path, text: str, *, replace: bool) -> None:
    """Write the unit file; one that differs is its owner's, and stays unless ``replace``."""
    path, data = _below(root, UNIT_FILE), text.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        create_atomically(path, data, mode=0o644)
    except FileExistsError:
        before = path.read_bytes()
        if before == data:
            say(f"Same       {path}")
        elif replace:
            write_atomically(path.with_name(f"{path.name}.before"), before, mode=0o644)
            write_atomically(path, data, mode=0o644)
            say(f"Replaced   {path}, which is {path.name}.before now")
        else:
            say(f"Kept       {path}, which differs (--replace would replace it)")
    else:
        say(f"Made       {path}")


def reload_manager() -> None:
    """Have systemd read its units again, where it runs this machine."""
    systemctl = shutil.which("systemctl")
    if systemctl is None or not _RUNS.exists():
        remark("systemd doesn't run here, so it was told nothing.")
        return
    done = subprocess.run(  # noqa: S603 - ours
        [systemctl, "daemon-reload"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Stop(f"systemctl daemon-reload failed: {done.stderr.strip()}")
    say("Told       systemd, which has read it")


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _written(path: Path) -> str:
    """Return a path as it stands in a unit; one with what means something there is refused."""
    text = str(path)
    if any(letter.isspace() or letter in "\"'\\%$;" or not letter.isprintable() for letter in text):
        raise Stop(f"{text!r} can't stand in a unit file: use a path of plain characters")
    return text
