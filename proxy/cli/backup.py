"""``backup`` and ``restore``: what makes this Portal itself, in one encrypted file."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.output import USAGE, Stop, command_line, counted, remark, say
from proxy.cli.owner import acting_as, owner_of
from proxy.cli.portal_files import DEFAULT_FOLDER, ConfigFolder, PortalFiles, open_portal
from proxy.cli.progress import waiting
from proxy.config.app_settings import FILE_NAME as SETTINGS_FILE
from proxy.config.apps import APPS_FOLDER, KINDS
from proxy.config.config_file import expand_home, is_there, plain, read_config_file
from proxy.config.portal_yaml import DEFAULT_STATE, FILE_NAME, NEW
from proxy.core.errors import Invalid
from proxy.core.http.origin import is_dns_label
from proxy.core.identity import short_id
from proxy.core.text_files.strict_yaml import parse_yaml
from proxy.state.backup_note import note_backup
from proxy.state.files import (
    create_atomically,
    make_private_folder,
    read_external,
    read_file,
    write_atomically,
)
from proxy.state.identity_key import read_identity
from proxy.state.layout import State
from proxy.state.schema import mark_version, refuse_later

SHORTEST_PASSPHRASE = 12
"""Characters. Whoever has the file can try passphrases for years."""
LARGEST = 64 << 20
"""Bytes of a backup that is read."""

_STATE = "state/"
_KEY = f"{_STATE}identity.key"
_STDIO = Path("-")

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Its first line is the passphrase. Else you are asked for it.",
    ),
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to write it to; - is stdout.")],
    *,
    passphrase_file: PassphraseFile = None,
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Write what makes this Portal itself to one file, encrypted with a passphrase.

    It holds the identity, the contacts, the terminals and the settings: portal.yaml
    and the files of each app. It holds no sealing key, no nonce and no token: those
    are made anew. Keep the file elsewhere, and the passphrase elsewhere again: who
    has both is this Portal. The format is that of age, around a tar archive.

    For example:
      portal-proxy backup ada.age
      portal-proxy backup - --passphrase-file secret | ssh nas 'cat > ada.age'
    """
    from proxy.cli.backup_archive import pack  # noqa: PLC0415 - only this pays for age

    portal = open_portal(config, as_root=True)  # who may write FILE where the owner may not
    with portal.as_owner():
        portal_id = portal.identity().public.portal_id
    if file != _STDIO and is_there(file):
        raise Stop(f"{file} is there already, and no backup is overwritten: give another name")
    if file == _STDIO and sys.stdout.isatty():
        raise Stop("a backup isn't for a terminal to show: give a file, or a pipe", status=USAGE)
    with portal.as_owner():
        files = _collected(portal)
    passphrase = _passphrase(passphrase_file, confirm=True)
    remark("Encrypting. This takes seconds: so does each guess of somebody who finds the file.")
    now = int(time.time())
    with waiting("encrypting"):
        data = pack(files, passphrase, made=now)
    if file == _STDIO:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        create_atomically(file, data)
    with portal.as_owner():
        note_backup(portal.state.backup_note, portal_id, now)
    remark(f"Backed up {short_id(portal_id)}: {counted(len(files), 'file')}, {len(data)} bytes")
    if file != _STDIO:
        remark(f"To try it: {command_line(Path('ELSEWHERE'), 'restore', str(file))}")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup; - is stdin.")],
    *,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Replace files that differ, but never another identity."),
    ] = False,
    passphrase_file: PassphraseFile = None,
    config: ConfigFolder = DEFAULT_FOLDER,
) -> None:
    """Put a backup in place: the Portal is itself again, to its peers and its owner.

    What is missing is made. A file that is there and differs stays as it is, unless
    --replace is given; then the old one is kept beside it. An identity is never
    replaced by another. The state goes where portal.yaml says.

    For example:
      portal-proxy restore ada.age --config config/ada
    """
    from proxy.cli.backup_archive import BadBackup, unpack  # noqa: PLC0415 - as above

    there = None
    if is_there(config / FILE_NAME):
        there = open_portal(config, as_root=True)  # who may write settings, where these are root's
    data = _read(file)
    if file == _STDIO and passphrase_file is None:
        what = "stdin is the backup, so the passphrase has to come from --passphrase-file"
        raise Stop(what, status=USAGE)
    passphrase = _passphrase(passphrase_file, confirm=False)
    remark("Decrypting. This takes seconds.")
    try:
        with waiting("decrypting"):
            files = unpack(data, passphrase)
    except BadBackup as error:
        raise Stop(f"{file} {error}") from None
    portal_id = _whose(file, files)
    if there is not None:
        with there.as_owner():
            _refuse_another(there, portal_id)
    else:
        _refuse_later(config, files[FILE_NAME])
    _place_settings(config, files, replace=replace)
    portal = open_portal(config)
    _refuse_another(portal, portal_id)
    _place_state(portal, files, replace=replace)
    note_backup(portal.state.backup_note, portal_id, int(time.time()))
    say(f"Portal ID  {portal_id}")
    remark("Devices and contacts are as of the backup: whom you removed since is back.")
    remark(f"Next: {command_line(config, 'init')}, which makes the rest; then: "
           f"{command_line(config, 'check')}")  # fmt: skip


def _collected(portal: PortalFiles) -> dict[str, bytes]:
    """Return all that a backup holds, by its name there; raises ``Invalid``."""
    files = {FILE_NAME: read_config_file(portal.folder / FILE_NAME)}
    apps = portal.folder / APPS_FOLDER
    for folder in sorted(apps.iterdir()) if apps.is_dir() else ():
        for name in (*KINDS, SETTINGS_FILE):
            if is_dns_label(folder.name) and (folder / name).is_file():
                files[f"{APPS_FOLDER}/{folder.name}/{name}"] = read_config_file(folder / name)
    for path in _lasting(portal.state):
        content = read_file(path)
        if content is not None:
            files[f"{_STATE}{path.name}"] = content
    if portal.is_key_elsewhere:
        files[_KEY] = read_external(portal.key_file)
    return files


def _refuse_later(folder: Path, settings: bytes) -> None:
    """Raise ``LaterVersion`` where a later program's state is in the place that ``settings`` name.

    Before the settings are put in place, too. What is wrong with them is told when they are read.
    """
    try:
        found = parse_yaml(FILE_NAME, settings)
        named = os.environ.get("PORTAL_STATE") or (isinstance(found, dict) and found.get("state"))
        place = expand_home(named if isinstance(named, str) else DEFAULT_STATE)
    except (Invalid, ValueError):
        return
    state = State(plain(folder / place))
    with acting_as(owner_of(state.folder)):
        refuse_later(state)


def _place_settings(folder: Path, files: dict[str, bytes], *, replace: bool) -> None:
    for name, data in files.items():
        if not name.startswith(_STATE):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            before = read_config_file(path) if is_there(path) else None
            _place(path, before, data, replace=replace, mode=0o644)


def _place_state(portal: PortalFiles, files: dict[str, bytes], *, replace: bool) -> None:
    make_private_folder(portal.state.folder)
    mark_version(portal.state.folder)
    for path in _lasting(portal.state):
        data = files.get(f"{_STATE}{path.name}")
        if data is not None:
            is_key = path == portal.state.identity_key
            before = read_file(path)
            # The same key may be written in two ways; the file that is there is as good.
            _place(path, before, data, replace=replace and not is_key, mode=0o600)


def _lasting(state: State) -> tuple[Path, ...]:
    """Return the files of the state folder that a backup holds."""
    return state.identity_key, state.contacts, state.terminals


def _whose(file: Path, files: dict[str, bytes]) -> str:
    """Return the ID of the Portal whose backup this is."""
    try:
        return read_identity(files[_KEY]).public.portal_id
    except ValueError as error:
        raise Stop(f"{file} can't be used: the identity in it {error}") from None


def _refuse_another(portal: PortalFiles, portal_id: str) -> None:
    """Refuse to put a backup of one Portal in the place of another."""
    named, key = portal.config.id, portal.state.identity_key
    there = read_file(key)
    others = {None if named == NEW else named, _id_in(there)} - {None, portal_id}
    if others:
        what = f"the backup is of {portal_id}, and here is {others.pop()}"
        raise Stop(f"{what}: no identity is replaced by another; give another --config")


def _id_in(data: bytes | None) -> str | None:
    """Return whose key this is; None where it is nobody's, as a damaged file."""
    try:
        return None if data is None else read_identity(data).public.portal_id
    except ValueError:
        return None


def _place(path: Path, before: bytes | None, data: bytes, *, replace: bool, mode: int) -> None:
    """Put one file in place, unless another is there; tell what was done."""
    if before == data:
        say(f"Same       {path}")
    elif before is None:
        create_atomically(path, data, mode=mode)
        say(f"Made       {path}")
    elif replace:
        write_atomically(path.with_name(f"{path.name}.before"), before, mode=mode)
        write_atomically(path, data, mode=mode)
        say(f"Replaced   {path}, which is {path.name}.before now")
    else:
        say(f"Kept       {path}, which differs from the backup's (--replace would replace it)")


def _read(file: Path) -> bytes:
    source = sys.stdin.buffer if file == _STDIO else file.open("rb")
    with source:
        data = source.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Stop(f"{file} is larger than any backup")
    return data


def _passphrase(file: Path | None, *, confirm: bool) -> str:
    """Return the passphrase: the first line of ``file``, or what somebody types."""
    if file is not None:
        text = file.read_text("utf-8").partition("\n")[0].removesuffix("\r")
    elif not sys.stdin.isatty():
        raise Stop("nobody is here to type a passphrase: use --passphrase-file", status=USAGE)
    else:
        text = typer.prompt(
            "Passphrase", hide_input=True, confirmation_prompt=confirm, err=True, type=str
        )
    if confirm and len(text) < SHORTEST_PASSPHRASE:
        what = f"a passphrase has at least {SHORTEST_PASSPHRASE} characters: four words would do"
        raise Stop(what)
    return text
