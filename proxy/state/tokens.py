"""Apps' tokens: how an app on this Portal proves which app it is. Its address proves nothing.

One file for each app, 0600, named after it. A token is 32 random bytes; it is compared in constant
time and never logged. Running proxies and commands share the folder.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import is_dns_label
from proxy.state.files import (
    FileVersion,
    Unsafe,
    locked,
    make_private_folder,
    read_private,
    version_of,
    write_atomically,
)

_TOKEN_BYTES = 32
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{43}\n?")
_log = logging.getLogger("proxy.tokens")


class TokenStore:
    """The tokens in ``folder``, held in memory as of the last ``refresh``; made where missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: dict[str, bytes] = {}
        self._versions: dict[str, FileVersion] = {}
        make_private_folder(folder)
        self.refresh()

    def token(self, app: str) -> str:
        """Return the app's token, the same each time; made if there is none.

        Raises ``ValueError`` for a name that can't be an app's, ``Invalid`` for a file that isn't a
        token or isn't ours alone, ``Busy`` and OSError.
        """
        path = self._path(app)
        with locked(path):
            try:
                token = _read(path)
            except FileNotFoundError:
                token = _write_new(path)
        self._digests[app] = _digest(token)
        return token

    def rotate(self, app: str) -> str:
        """Replace the app's token; the old one ends here now, elsewhere at the next ``refresh``.

        Raises ``ValueError``, ``Busy`` and OSError.
        """
        path = self._path(app)
        with locked(path):
            token = _write_new(path)
        self._digests[app] = _digest(token)
        return token

    def app_of(self, token: str) -> str | None:
        """Return whose token this is. Compares with every app's, so that time tells nothing."""
        given = _digest(token)
        found = None
        for app, digest in self._digests.items():
            if hmac.compare_digest(given, digest):
                found = app
        return found

    def matches(self, app: str, token: str) -> bool:
        """Tell whether ``token`` is the app's."""
        # An unknown app is compared too: with what nothing hashes to in a lifetime.
        return hmac.compare_digest(_digest(token), self._digests.get(app, bytes(32)))

    def refresh(self) -> bool:
        """Follow the folder; tells whether a token changed. A file that is broken is no token."""
        versions = self._file_versions()
        if versions == self._versions:
            return False
        before = self._digests
        changed = {app for app in versions if versions[app] != self._versions.get(app)}
        self._digests = {app: before[app] for app in before.keys() & versions.keys() - changed}
        for app in sorted(changed):
            try:
                self._digests[app] = _digest(_read(self._folder / app))
            except Invalid as invalid:
                _log.error("a token is broken, its app is refused: %s", invalid)
            except OSError:
                continue
        self._versions = versions
        return self._digests != before

    def deliver(self, app: str, token_file: Path) -> bool:
        """Write the app's token to the file shared with it; tells whether that changed.

        The app may own that folder: what it puts in the file's place is replaced, never followed.
        Raises what ``token`` raises, and OSError where the file can't be written.
        """
        token = self.token(app).encode()
        try:
            if read_private(token_file) == token:
                return False
        except (Unsafe, OSError):
            pass
        write_atomically(token_file, token)
        return True

    def _path(self, app: str) -> Path:
        if not is_dns_label(app):
            raise ValueError(f"{app!r} can't be an app's name: it is a DNS label (a-z, 0-9, -)")
        return self._folder / app

    def _file_versions(self) -> dict[str, FileVersion]:
        """Return the version of each app's file. Other files here have a dot: no label."""
        versions: dict[str, FileVersion] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not is_dns_label(entry.name):
                    continue
                with suppress(FileNotFoundError):
                    versions[entry.name] = version_of(entry.stat(follow_symlinks=False))
        return versions


def _write_new(path: Path) -> str:
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    write_atomically(path, token.encode())
    return token


def _read(path: Path) -> str:
    """Return the token in the file; raises ``Invalid``, which says nothing of it, and OSError."""
    try:
        data = read_private(path)
    except Unsafe as error:
        raise Invalid([Problem(str(path), "", str(error))]) from None
    if _TOKEN.fullmatch(data) is None:
        what = "isn't a token: `portal-proxy apps token --rotate` makes a new one"
        raise Invalid([Problem(str(path), "", what)])
    return data.decode().strip()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
