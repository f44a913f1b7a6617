"""The Portal's identity key on disk: made once, never replaced, refused where others could have it.

Whoever reads the key is this Portal, and whoever replaces it makes another Portal of it. So the
file is ours alone (0600), and nobody else can write to the folder that holds it. PKCS#8 PEM,
Ed25519 (RFC 8410), without a passphrase: the proxy starts without a person. From then on nobody
may dump the memory of the process that holds it.

A flipped bit would make another key of it, and so another Portal. So the file says whose key it is:
``Portal ID: <full ID>``, in a line before the PEM block, where RFC 7468 lets text stand. Keys
that openssl made, or an earlier version, have no such line and are taken as they are.
"""

import logging
import re
from pathlib import Path

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from proxy.core.errors import Invalid, Problem
from proxy.core.identity import PrivateKey
from proxy.core.text_files.text import later_than
from proxy.state.dumps import forbid_dumps
from proxy.state.file_watch import FileWatch, Versions
from proxy.state.files import (
    Unsafe,
    check_folder,
    create_atomically,
    file_version,
    make_private_folder,
    read_external,
    read_private,
    unreadable,
)

VERSION = 1

_KEY_FILE_LIMIT = 16_384
_STATED = re.compile(rb"Portal key version: ([1-9][0-9]{0,8})\r?\n")
"""Stands first in the file of a later program."""
_FILE = re.compile(
    rb"(?:Portal ID: (?P<portal_id>[^\n]*?)\r?\n)?(?P<pem>"
    rb"-----BEGIN (?P<label>[A-Z0-9 ]+)-----\r?\n"
    rb"(?:[A-Za-z0-9+/=]+\r?\n)+"
    rb"-----END (?P=label)-----(?:\r?\n)?)"
)
_MISSING = (
    "is missing: `portal-proxy init` makes a new Portal. If there was one before, put the file of "
    "your backup in its place instead: a new key has another ID, which no peer knows"
)
_OTHERWISE = "put the file of your backup in its place"
_log = logging.getLogger("proxy.state")
_DAMAGED = (
    "is damaged, or of two Portals: the key in it isn't that of the Portal ID above it. Put the "
    "file of your backup in its place"
)


class MissingKey(Invalid):
    """There is no key at all."""


def create_identity(path: Path) -> PrivateKey:
    """Make a new identity at ``path``, with its folder where that is missing.

    Raises FileExistsError where anything is at ``path`` (a key is never replaced, not even by
    two that do this at once), ``Invalid`` where others can write to the folder, and OSError.
    """
    forbid_dumps()
    make_private_folder(path.parent)
    _check_folder(path)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made = PrivateKey(key.private_bytes_raw())
    create_atomically(path, id_line(made).encode("ascii") + pem)
    return made


def id_line(key: PrivateKey) -> str:
    """Return the line that says whose key is in the file."""
    return f"Portal ID: {key.public.portal_id}\n"


def load_identity(path: Path, *, external: bool = False) -> PrivateKey:
    """Read the identity; raises ``Invalid`` for anything but an Ed25519 key that is ours alone.

    So it does where the file says that its key is another Portal's; ``MissingKey`` where none is.
    An ``external`` one is kept by another program, as a credential of systemd's is: it may be
    root's, and behind links.
    """
    return _load(path, external=external)[0]


def read_identity(data: bytes) -> PrivateKey:
    """Return the key in the text of such a file; raises ``ValueError``."""
    return _parse(data)[0]


def has_id_line(path: Path, *, external: bool = False) -> bool:
    """Tell whether the file says whose key it is; raises what ``load_identity`` does."""
    return _load(path, external=external)[1]


class IdentityWatch(FileWatch[str]):
    """What is wrong with the key's file while the proxy runs with the key that it read from it.

    ``current`` is the Portal ID. Whoever starts the proxy again must not be the first to notice.
    """

    _while_stale = "the proxy runs on with the key that it has"

    def __init__(self, path: Path, portal_id: str, *, external: bool = False) -> None:
        super().__init__(portal_id)
        self._path = path
        self._external = external

    @property
    def _name(self) -> str:
        return str(self._path)

    def _look(self) -> Versions:
        return {self._path: file_version(self._path, follow_links=self._external)}

    def _read(self) -> str:
        found = load_identity(self._path, external=self._external).public.portal_id
        if found != self.current:
            raise _invalid(self._path, f"is the key of another Portal, {found}: {_OTHERWISE}")
        return found

    def _log_change(self) -> None:
        _log.warning("%s is there again, and in order", self._path)

    def _log_problems(self, invalid: Invalid) -> None:
        _log.error("the proxy runs on with its key, but wouldn't start again with it: %s", invalid)


def _load(path: Path, *, external: bool) -> tuple[PrivateKey, bool]:
    """Return the identity, and whether the file says whose it is."""
    forbid_dumps()
    _check_folder(path)
    read = read_external if external else read_private
    try:
        return _parse(read(path, limit=_KEY_FILE_LIMIT))
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise unreadable(path, error) from None
    except (Unsafe, ValueError) as error:
        raise _invalid(path, str(error)) from None


def _parse(data: bytes) -> tuple[PrivateKey, bool]:
    """Return the key, and whether the file says whose it is.

    Raises ``ValueError`` whose text holds nothing of the file.
    """
    stated_version = _STATED.match(data)
    if stated_version is not None and int(stated_version[1]) > VERSION:
        raise ValueError(later_than(int(stated_version[1]), VERSION))
    match = _FILE.fullmatch(data)
    if match is None:
        raise ValueError(
            "isn't one PEM block and nothing else, but for a line `Portal ID: ...` before it. If "
            "it was one, put the file of your backup in its place"
        )
    if match["label"] == b"ENCRYPTED PRIVATE KEY":
        raise ValueError("is encrypted: the proxy needs a key without a passphrase")
    if match["label"] != b"PRIVATE KEY":
        raise ValueError("isn't a private key in PKCS#8 (BEGIN PRIVATE KEY)")
    try:
        key = load_pem_private_key(match["pem"], password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError):
        raise ValueError("isn't a private key in PKCS#8: what it holds can't be read") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("isn't an Ed25519 key")  # noqa: TRY004 - the file is wrong, not a type
    identity = PrivateKey(key.private_bytes_raw())
    stated = match["portal_id"]
    if stated is not None and stated != identity.public.portal_id.encode("ascii"):
        raise ValueError(_DAMAGED)
    return identity, stated is not None


def _check_folder(path: Path) -> None:
    """Refuse a folder in which others could put another key in this one's place."""
    folder = path.parent
    try:
        check_folder(folder)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise unreadable(path, error) from None
    except Unsafe as error:
        raise _invalid(folder, str(error)) from None


def _missing(path: Path) -> MissingKey:
    return MissingKey([Problem(str(path), "", _MISSING)])


def _invalid(path: Path, what: str) -> Invalid:
    return Invalid([Problem(str(path), "", what)])
