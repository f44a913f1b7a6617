"""``apps token --file``: a token written where its app can read it, and nobody else.

The file has its mode and its group before it has a name, so it is never open to more than was
asked for. In a folder that somebody else could change under our hands nothing is written.
"""

import grp
import os
import stat
from pathlib import Path

from proxy.cli.output import USAGE, Stop
from proxy.core.text_files.text import shown
from proxy.state.files import write_atomically

MODES = {"0400": 0o400, "0440": 0o440, "0600": 0o600, "0640": 0o640}
OWN_MODE, GROUP_MODE = 0o600, 0o640
"""Where no mode is given: ours alone, or readable for the group that is given."""


def read_mode(typed: str | None, *, has_group: bool) -> int:
    """Return the mode that was typed, or the narrowest that makes sense."""
    if typed is None:
        return GROUP_MODE if has_group else OWN_MODE
    mode = MODES.get(typed.rjust(4, "0"))
    if mode is None:
        what = f"expected {', '.join(MODES)}, not {shown(typed)}"
        why = "a token is for one app: for its user, give a group, by --group"
        raise Stop(f"--mode: {what}; {why}", status=USAGE)
    if mode & stat.S_IRGRP and not has_group:
        what = "lets a group read the token, so say which, by --group"
        raise Stop(f"--mode {typed} {what}", status=USAGE)
    return mode


def read_group(typed: str) -> int:
    """Return the number of a group by its name or number."""
    if typed.isascii() and typed.isdecimal() and len(typed) < len(str(1 << 32)):
        return int(typed)
    try:
        return grp.getgrnam(typed).gr_gid
    except (KeyError, ValueError):
        what = "there is no such group on this machine; see: getent group"
        raise Stop(f"--group {shown(typed)}: {what}") from None


def refuse_unsafe_place(path: Path) -> None:
    """Refuse what isn't a file, and a folder that isn't ours; raises ``Stop`` and OSError."""
    if str(path) == "-":
        raise Stop("--file: name a file; without --file the token is printed")
    try:
        there = path.lstat()
    except FileNotFoundError:
        pass
    else:
        if stat.S_ISLNK(there.st_mode):
            raise Stop(f"{path} is a symbolic link: name the file that it leads to")
        if not stat.S_ISREG(there.st_mode):
            raise Stop(f"{path} isn't a file: name another one, or move away what is there")
    _refuse_foreign(path.parent)


def write_token_file(path: Path, token: str, *, mode: int, group: int | None) -> None:
    """Make or replace the file; raises ``Stop`` and OSError, and then nothing has changed."""
    refuse_unsafe_place(path)
    try:
        write_atomically(path, token.encode(), mode=mode, group=group)
    except PermissionError as error:
        if group is None or error.filename not in {None, str(path)}:
            raise
        who = "only a member of the group, or root, can give it a file"
        raise Stop(f"{path} can't be written for group {group}: {who}") from None


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder in which another user could put another file in the place of this one."""
    place = Path(os.path.realpath(folder))
    for each in (place, *place.parents):
        status = each.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise Stop(f"{each} isn't a folder")
        whose = status.st_uid
        if whose not in {0, os.geteuid()}:
            what = f"belongs to user {whose}, who could replace what is in it"
            raise Stop(f"{each} {what}: take a folder of your own, and give --group")
        # Many systems give each user a group of the same number, in which nobody else is.
        is_shared = status.st_gid not in {0, os.geteuid()}
        others = stat.S_IWOTH | (stat.S_IWGRP if is_shared else 0)
        if status.st_mode & others and not status.st_mode & stat.S_ISVTX:
            raise Stop(f"others can write to {each}, and replace what is in it: chmod go-w it")
