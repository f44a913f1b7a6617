"""The identity that ``init`` makes, takes up or replaces, and the line that names it.

A key is never made in the place of one that portal.yaml names: that would be another Portal. A key
that is given up is kept beside the new one.
"""

import os
from itertools import count
from pathlib import Path

from proxy.cli.output import Stop, remark, say
from proxy.cli.portal_files import PortalFiles
from proxy.config.config_file import is_there, read_config_file
from proxy.config.own_identity import id_line
from proxy.config.portal_yaml import FILE_NAME, NEW
from proxy.config.portal_yaml_edit import with_id
from proxy.core.errors import Invalid
from proxy.core.identity import PrivateKey, short_id
from proxy.state.files import make_private_folder, sync_folder, write_atomically
from proxy.state.identity_key import create_identity, load_identity
from proxy.state.system_errors import explained


def settle_identity(portal: PortalFiles) -> PrivateKey:
    """Make the key where portal.yaml names none yet, and name it there.

    Raises ``Invalid`` where the file names a Portal whose key isn't there.
    """
    if portal.config.id not in {None, NEW}:
        return portal.identity()
    if portal.is_key_elsewhere:
        key = load_identity(portal.key_file, external=True)
    else:
        key = make_or_read_key(portal.key_file)
    if portal.config.id is None:
        _write_id(portal, key)
    return key


def replace_identity(portal: PortalFiles) -> PrivateKey:
    """Make another Portal of this one: a new key, the old one kept beside it."""
    path = portal.key_file
    if portal.is_key_elsewhere:
        what = "is kept by another program, so another key has to be put there by hand"
        raise Stop(f"{path} {what}; or take identity_key out of {FILE_NAME} first")
    former = _former_id(portal)
    make_private_folder(path.parent)
    if os.path.lexists(path):
        say(f"Kept       {_put_aside(path)}")
    key = create_identity(path)
    say(f"Made       {path}")
    if portal.config.id != NEW:
        _write_id(portal, key)
    if former:
        _say_what_it_costs(portal, former, key.public.portal_id)
    return key


def make_or_read_key(path: Path) -> PrivateKey:
    """Make the identity key, or read the one that is there: a key is never replaced."""
    try:
        key = create_identity(path)
    except FileExistsError:
        return load_identity(path)
    say(f"Made       {path}")
    return key


def _former_id(portal: PortalFiles) -> str:
    """Return whom peers know until now; "" where nobody can tell."""
    if portal.config.id not in {None, NEW}:
        return portal.config.id or ""
    try:
        return load_identity(portal.key_file).public.portal_id
    except Invalid:
        return ""


def _put_aside(path: Path) -> Path:
    """Give the key's file a name that nothing has yet, and return it."""
    for number in count(1):
        aside = path.with_name(f"{path.name}.{number}")
        try:
            os.link(path, aside, follow_symlinks=False)
        except FileExistsError:
            continue
        break
    path.unlink()
    sync_folder(path.parent)
    return aside


def _write_id(portal: PortalFiles, key: PrivateKey) -> None:
    """Have portal.yaml name this key's Portal, or print the line that its owner must add."""
    path, portal_id = portal.folder / FILE_NAME, key.public.portal_id
    if not is_there(path):
        remark("Add this to the environment, which has the settings; without it nothing is served:")
        say(f"PORTAL_ID={portal_id}")
        return
    new = with_id(read_config_file(path), portal_id)
    if new is None:
        why = "is written in a form that only its owner should change"
    elif not path.stat().st_mode & 0o222:
        why = "is read-only"  # root could change it, and isn't meant to either
    else:
        try:
            _replace(path.resolve(), new)
        except OSError as error:
            why = f"can't be changed here: {explained(error)}"
        else:
            say(f"Changed    {path}: it names this Portal")
            return
    verb = "Put into it, in the place of its id," if portal.config.id else "Add to it"
    remark(f"{path} {why}. {verb} this line; without it nothing is served:")
    say(id_line(portal_id))


def _replace(path: Path, data: bytes) -> None:
    """Replace the file; whose it is, and who may read it, stays. Raises ``OSError``."""
    status = path.stat()
    write_atomically(path, data, mode=status.st_mode & 0o777)
    if status.st_uid != os.geteuid():
        os.chown(path, status.st_uid, status.st_gid)


def _say_what_it_costs(portal: PortalFiles, former: str, now: str) -> None:
    moved = portal.config.public_origin(former) != portal.config.public_origin(now)
    address = " Its address and its apps' have changed with it." if moved else ""
    remark(
        f"This was {short_id(former)} and is {short_id(now)} now.{address} No peer knows it: each "
        "has to remove the old ID and add the new one, and is refused until then what it asks of "
        "the old one. Devices have to be paired again."
    )
