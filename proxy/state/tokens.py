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
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from proxy.core.errors import Invalid, Problem
from proxy.core.http.origin import is_dns_label
from proxy.state.file_watch import FileWatch, Look, Versions
from proxy.state.files import (
    FileVersion,
    Unsafe,
    file_version,
    locked,
    make_private_folder,
    read_private,
    unreadable,
    version_of,
    write_atomically,
)
from proxy.state.schema import check_version

_TOKEN_BYTES = 32
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{43}\n?")
_NONE: Mapping[str, bytes] = MappingProxyType({})
_log = logging.getLogger("proxy.tokens")


@dataclass(frozen=True)
class Tokens:
    """Every app's token as a digest, and which file it was read from."""

    digests: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    versions: Mapping[str, FileVersion] = field(default_factory=lambda: MappingProxyType({}))
    """Of the files that were read, whatever was in them."""
    problems: tuple[Problem, ...] = ()
    is_complete: bool = True
    """Whether every file could be read."""


class TokenStore(FileWatch[Tokens]):
    """The tokens in ``folder``, held in memory as of the last ``refresh``; made where missing.

    A file that is broken, or has changed and can't be read, is no token.
    """

    _while_stale = "no app is known by its token until it can be read"

    def __init__(self, folder: Path, *, steady: Callable[[], float] = time.monotonic) -> None:
        super().__init__(Tokens(), steady=steady)
        self._folder = folder
        self._listed: Mapping[str, FileVersion] = {}
        self._listing: tuple[FileVersion | None, list[str]] | None = None
        """The version of the folder, and the apps that had a file in it then."""
        self._made: dict[str, tuple[int, bytes]] = {}
        """Tokens that were made or read here, and with which look in progress."""
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
                token = read_token(path)
            except FileNotFoundError:
                token = _write_new(path)
        self._note(app, token)
        return token

    def rotate(self, app: str) -> str:
        """Replace the app's token; the old one ends here now, elsewhere at the next ``refresh``.

        Raises ``ValueError``, ``Invalid`` where the state is of a later version, ``Busy`` and
        OSError.
        """
        path = self._path(app)
        with locked(path):
            token = _write_new(path)
        self._note(app, token)
        return token

    def app_of(self, token: str) -> str | None:
        """Return whose token this is. Compares with every app's, so that time tells nothing."""
        given = _digest(token)
        found = None
        for app, digest in self._held().items():
            if hmac.compare_digest(given, digest):
                found = app
        return found

    def matches(self, app: str, token: str) -> bool:
        """Tell whether ``token`` is the app's."""
        # An unknown app is compared too: with what nothing hashes to in a lifetime.
        return hmac.compare_digest(_digest(token), self._held().get(app, bytes(32)))

    def apply(self, look: Look[Tokens]) -> bool:
        """Take over what a look found; tells whether a token, or what is wrong, changed."""
        before = self.current
        changed = super().apply(look)
        for app, (number, digest) in tuple(self._made.items()):
            if number < look.number:
                self._made.pop(app, None)  # that look has seen its file, or that it is gone
            else:
                self._hold(app, digest)
        for problem in self.current.problems:
            if problem not in before.problems:
                _log.error("a token can't be used, its app is refused: %s", problem)
        return changed

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

    def _held(self) -> Mapping[str, bytes]:
        return _NONE if self.is_stale else self.current.digests

    def _note(self, app: str, token: str) -> None:
        """Hold a token that was made or read here; as a whole, since others may be reading."""
        digest = _digest(token)
        self._made[app] = next(self._numbers), digest
        self._hold(app, digest)

    def _hold(self, app: str, digest: bytes) -> None:
        digests = MappingProxyType({**self._current.digests, app: digest})
        self._current = replace(self._current, digests=digests)

    @property
    def _name(self) -> str:
        return str(self._folder)

    def _look(self) -> Versions:
        """Return the version of each app's file. Other files here have a dot: no label."""
        versions: dict[str, FileVersion] = {}
        for name in self._list():
            with suppress(FileNotFoundError):
                versions[name] = _version(self._folder / name)
        self._listed = versions
        return {self._folder / name: version for name, version in versions.items()}

    def _list(self) -> list[str]:
        """Return the names of the apps that have a file; raises ``Unreadable``.

        A folder that is as it was when it was listed holds what it held: without a descriptor, too.
        """
        version, before = file_version(self._folder), self._listing
        try:
            names = [name for name in os.listdir(self._folder) if is_dns_label(name)]  # noqa: PTH208
        except FileNotFoundError:
            names = []
        except OSError as error:
            if before is None or version is None or before[0] != version:
                raise unreadable(self._folder, error) from None
            return before[1]
        self._listing = version, names
        return names

    def _read(self) -> Tokens:
        before, listed = self.current, self._listed
        same = {app for app, version in listed.items() if before.versions.get(app) == version}
        digests = {app: digest for app, digest in before.digests.items() if app in same}
        versions = {app: listed[app] for app in same}
        # A file that was broken, and is as it was, stays a problem.
        known = {str(self._folder / app) for app in same}
        problems = [problem for problem in before.problems if problem.file in known]
        is_complete = True
        for app in sorted(listed.keys() - same):
            path = self._folder / app
            try:
                digests[app] = _digest(read_token(path))
            except Invalid as invalid:
                problems += invalid.problems
            except FileNotFoundError:
                continue
            except OSError as error:
                problems += unreadable(path, error).problems
                is_complete = False
                continue
            versions[app] = listed[app]
        return Tokens(
            MappingProxyType(digests), MappingProxyType(versions), tuple(problems), is_complete
        )

    def _is_complete(self, value: Tokens) -> bool:
        return value.is_complete

    def _is_news(self, before: Tokens, after: Tokens) -> bool:
        return before.digests != after.digests

    def _log_change(self) -> None:
        """Nothing: whose token is another one is told where it is made."""

    def _log_problems(self, invalid: Invalid) -> None:
        _log.error("the tokens can't be looked at, the last ones stay in use: %s", invalid)


def _version(path: Path) -> FileVersion:
    """Return a file's version; one that can't be told is another one at each look."""
    try:
        return version_of(path.lstat())
    except FileNotFoundError:
        raise
    except OSError:
        return FileVersion(0, 0, 0, 0, time.monotonic_ns())


def _write_new(path: Path) -> str:
    check_version(path.parent.parent)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    write_atomically(path, token.encode())
    return token


def read_token(path: Path) -> str:
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
