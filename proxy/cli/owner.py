"""Whose a Portal's files are: root goes on as their owner, so that none of them becomes root's.

A service has a user of its own, and its files belong to that user alone. Root may read them all;
but what root writes there, the service couldn't read any more.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy.cli.output import Stop

_ROOT = 0
_told: list[str] = []


@dataclass(frozen=True)
class Owner:
    """Another user, whose the state folder is, and as whom root goes on."""

    uid: int
    gid: int
    name: str
    """"" where no user has this number."""
    home: str

    def __str__(self) -> str:
        return self.name or f"user {self.uid}"


def owner_of(state: Path) -> Owner | None:
    """Return as whom this goes on; None where that is who it runs as, or nobody can tell."""
    if os.geteuid() != _ROOT:
        return None
    try:
        status = state.stat()
    except OSError:
        return None  # whatever is wrong with it is told when it is used
    if status.st_uid == _ROOT:
        return None
    try:
        user = pwd.getpwuid(status.st_uid)
    except KeyError:
        return Owner(status.st_uid, status.st_gid, "", "/")
    return Owner(user.pw_uid, user.pw_gid, user.pw_name, user.pw_dir)


def become(owner: Owner) -> None:
    """Be ``owner`` from now on, and root never again."""
    try:
        os.setgroups(_groups(owner))
        os.setresgid(owner.gid, owner.gid, owner.gid)
        os.setresuid(owner.uid, owner.uid, owner.uid)
    except PermissionError:
        user = owner.name or f"#{owner.uid}"
        raise Stop(
            f"the state folder is {owner}'s, and this can't go on as {owner}: run it so: "
            f"sudo -u {user} portal-proxy ..."
        ) from None
    for program in (os.__file__, __file__):
        if not os.access(program, os.R_OK):
            raise Stop(
                f"as root this goes on as {owner}, whose the state folder is, and {owner} can't "
                f"read {Path(program).parent}: install portal-proxy for everybody, as by "
                "pipx install --global portal-proxy"
            )
    os.environ["HOME"] = owner.home
    _told[:] = [str(owner)]


@contextmanager
def acting_as(owner: Owner | None) -> Iterator[None]:
    """Be ``owner`` within the block, for what is done to the state; None changes nothing.

    For commands that also write where only root may. Nothing is started meanwhile.
    """
    if owner is None:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(_groups(owner))
    os.setegid(owner.gid)
    os.seteuid(owner.uid)
    try:
        yield
    finally:
        os.seteuid(_ROOT)
        os.setegid(gid)
        os.setgroups(groups)


def went_on_as() -> str:
    """Return as whom root goes on; "" where nothing changed."""
    return _told[0] if _told else ""


def _groups(owner: Owner) -> list[int]:
    return os.getgrouplist(owner.name, owner.gid) if owner.name else [owner.gid]
