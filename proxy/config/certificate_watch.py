"""A running proxy's view of its certificate: follows the files, keeps the last good pair.

Two files can't be replaced at once. A pair that doesn't fit is given until the next look before
anybody is told; connections are accepted with the old one meanwhile.
"""

import logging
import ssl
from pathlib import Path

from proxy.config.certificate import Certificate, load_certificate
from proxy.core.errors import Invalid, Problem

_log = logging.getLogger("proxy.certificate")

_Version = tuple[object, ...]


class CertificateWatch:
    """The certificate in two files; reads them when made, and raises ``Invalid``."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._paths = certificate, key
        self._version = self._files()
        self._failed: _Version | None = None
        self._invalid: tuple[Problem, ...] = ()
        self._told: Problem | None = None
        self.current: Certificate = load_certificate(certificate, key)

    @property
    def context(self) -> ssl.SSLContext:
        """What a connection that comes now is accepted with."""
        return self.current.context

    def problems(self, now: float) -> tuple[Problem, ...]:
        """Return what is wrong with the files, or with the certificate that is in use."""
        problem = self.current.problem(now)
        return (*self._invalid, problem) if problem else self._invalid

    def refresh(self, now: float) -> None:
        """Read the files again if one changed; say in the log what is new about them."""
        # Taken before the files are read: a change in between is seen the next time.
        version = self._files()
        if version == self._version:
            self._invalid = ()
        else:
            self._replace(version)
        news = self.current.problem(now) or self.current.warning(now)
        if news != self._told:
            self._told = news
            if news is not None:
                _log.error("the certificate: %s", news)

    def _replace(self, version: _Version) -> None:
        try:
            self.current = load_certificate(*self._paths)
        except Invalid as invalid:
            problems = tuple(invalid.problems)
            if version == self._failed and problems != self._invalid:
                self._invalid = problems
                for problem in problems:
                    _log.error("the last good certificate stays in use: %s", problem)
            self._failed = version
            return
        self._version = version
        self._failed, self._invalid = None, ()
        _log.info("the certificate is a new one, from %s", self._paths[0])

    def _files(self) -> _Version:
        """Return what changes with every change of one of the files, links followed."""
        return tuple(map(_version_of, self._paths))


def _version_of(path: Path) -> _Version | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev
