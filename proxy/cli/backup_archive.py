"""What a backup holds, as bytes: a tar archive that age encrypts with a passphrase.

Both are formats that other programs read: ``age --decrypt FILE | tar --list`` shows what is in one.
An archive is believed to be nothing but these files: names that aren't on the list are refused, so
that nobody who makes a backup can have a file written anywhere else.
"""

import io
import json
import re
import tarfile
from collections.abc import Mapping

import pyrage

from proxy.config.app_settings import FILE_NAME as SETTINGS_FILE
from proxy.config.apps import APPS_FOLDER, KINDS
from proxy.config.portal_yaml import FILE_NAME
from proxy.core.errors import Invalid, LaterVersion
from proxy.core.text_files.strict_json import parse_json
from proxy.state.schema import VERSION as STATE_VERSION
from proxy.state.schema import refuse_later_file, schema_of

VERSION = 1
"""Of the archive: which files are in it. What is in those of the state has a version of its own."""

_VERSIONS = "version.json"
"""Both versions; the first file of an archive. Before there were any it had none."""
_STATE = "state/"
_TOO_DEAR = "Excessive work"
"""How age's refusal begins to try a passphrase that it takes for too dear."""
_LOOKS = 100
"""How often age looks how fast this machine is, before it is taken for too slow."""
_ABOUT = "README.txt"
_ABOUT_TEXT = b"""\
A backup of a Portal: its identity, contacts, paired devices and settings.

    portal-proxy restore FILE --config DIR

puts all of it in place. By hand: decrypt FILE with age and its passphrase, unpack it with tar; what
is in state/ belongs into the folder that portal.yaml names as `state` (mode 0700, its files 0600).
Sealing keys, tokens and the replay store are no part of it: the proxy makes them anew.
"""
_OF_AN_APP = "|".join(map(re.escape, (*KINDS, SETTINGS_FILE)))
_MEMBER = re.compile(
    rf"{re.escape(FILE_NAME)}"
    rf"|{APPS_FOLDER}/[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?/(?:{_OF_AN_APP})"
    r"|state/(?:identity\.key|contacts\.yaml|terminals\.yaml)"
)


class BadBackup(ValueError):
    """A file that isn't a backup, or not one that can be opened; the message says why."""


def pack(
    files: Mapping[str, bytes], passphrase: str, *, made: int, state: int = STATE_VERSION
) -> bytes:
    """Return the backup of ``files``, by their names in it; ``made`` is the time, in Unix seconds.

    ``state`` is the version of the folder that those of the state are from.
    Takes seconds: age makes each try of a passphrase dear.
    """
    versions = json.dumps({"v": VERSION, "state": state}).encode("ascii")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        first = ((_VERSIONS, versions), (_ABOUT, _ABOUT_TEXT))
        for name, data in (*first, *sorted(files.items())):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o600, made
            archive.addfile(member, io.BytesIO(data))
    sealed: bytes = pyrage.passphrase.encrypt(buffer.getvalue(), passphrase)
    return sealed


def unpack(data: bytes, passphrase: str) -> dict[str, bytes]:
    """Return what is in a backup, by name; raises ``BadBackup``. Takes seconds."""
    if not data.startswith(b"age-encryption.org/v1"):
        raise BadBackup("isn't encrypted by age, as backups are")
    return read_archive(_opened(data, passphrase))


def _opened(data: bytes, passphrase: str) -> bytes:
    """Return the archive; raises ``BadBackup``.

    age measures first how fast this machine is, within milliseconds, and refuses what would take
    it minutes. A machine that is busy seems slow only now and then.
    """
    for _ in range(_LOOKS):
        try:
            plain: bytes = pyrage.passphrase.decrypt(data, passphrase)
        except pyrage.DecryptError as error:
            if not str(error).startswith(_TOO_DEAR):
                what = "doesn't open with this passphrase, or was changed since it was made"
                raise BadBackup(what) from None
        else:
            return plain
    raise BadBackup(
        "was made on a machine that is many times faster than this one, which would take minutes "
        "to open it: try it again when this one is less busy, or restore it on a faster one"
    )


def read_archive(plain: bytes) -> dict[str, bytes]:
    """Return what is in the archive of a backup, by name; raises ``BadBackup``."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for number, member in enumerate(archive):
                content = archive.extractfile(member) if member.isreg() else None
                if content is not None and number == 0 and member.name == _VERSIONS:
                    _refuse_later(content.read())
                    continue
                if content is None or member.name in files or not _is_known(member.name):
                    raise BadBackup(f"holds {member.name!r:.80}, which no backup of ours does")
                files[member.name] = content.read()
                _refuse_later_state(member.name, files[member.name])
    except tarfile.TarError as error:
        raise BadBackup(f"holds no tar archive that can be read: {error}") from None
    files.pop(_ABOUT, None)
    missing = {FILE_NAME, "state/identity.key"} - files.keys()
    if missing:
        raise BadBackup(f"holds no {min(missing)}")
    return files


def _refuse_later(data: bytes) -> None:
    """Raise ``BadBackup`` for an archive of a later program, whatever else is in it."""
    try:
        found = parse_json(_VERSIONS, data)
    except Invalid:
        found = None
    for key, what, newest in (("v", "is", VERSION), ("state", "holds a state", STATE_VERSION)):
        stated = found.get(key) if isinstance(found, dict) else None
        if type(stated) is not int or stated < 1:
            raise BadBackup(
                "doesn't say of which version it is, so a later program may have made it"
            )
        if stated > newest:
            raise BadBackup(_later(what, stated, newest))


def _refuse_later_state(name: str, data: bytes) -> None:
    schema = schema_of(name.removeprefix(_STATE)) if name.startswith(_STATE) else None
    if schema is not None:
        try:
            refuse_later_file(name, schema, data)
        except LaterVersion as later:
            raise BadBackup(f"holds {later}") from None


def _later(what: str, stated: int, newest: int) -> str:
    return (
        f"{what} of version {stated}, and this program knows {newest} at most: restore it with the "
        "later program that made it; or restore one that this program made"
    )


def _is_known(name: str) -> bool:
    return name == _ABOUT or _MEMBER.fullmatch(name) is not None
