"""The owner's certificate and its key: read, checked, and made what a listener speaks TLS with.

Whoever has the key can be this Portal to everybody's browser, so no one else may read it. Symbolic
links are followed and root may own it, since that is how certbot and others keep them.
"""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from proxy.core.errors import Invalid, Problem
from proxy.state.file_watch import FileWatch, Versions
from proxy.state.files import Unreadable, Unsafe, file_version, unreadable

SOON = 14 * 86_400
"""Seconds before its end at which a certificate that wasn't renewed is worth a word."""

_UNTRUSTED = "neither browsers nor peers take it there"
_log = logging.getLogger("proxy.certificate")
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key, as they were read together."""

    context: ssl.SSLContext
    """What connections are accepted with."""
    file: str
    names: frozenset[str]
    """The hosts that it is for, in lower case; ``*.`` stands for one label."""
    begins: float
    ends: float
    """Unix seconds."""

    def covers(self, host: str) -> bool:
        """Tell whether it is for ``host``, which may itself begin with ``*.``."""
        plain = host.strip("[]")
        return plain in self.names or f"*.{plain.partition('.')[2]}" in self.names

    def problem(self, now: float) -> Problem | None:
        """Say why nobody can trust it at ``now``."""
        if now >= self.ends:
            return Problem(self.file, "", f"has expired, on {_date(self.ends)}")
        if now < self.begins:
            return Problem(self.file, "", f"isn't valid before {_date(self.begins)}")
        return None

    def why_not_over(self, used: "Certificate", host: str, now: float) -> str:
        """Say why it mustn't take the place of ``used``; "" where it may.

        ``host`` is the Portal's own, "" where nobody knows it. One that nobody can trust now is in
        nobody's way.
        """
        if used.problem(now) is not None:
            return ""
        if problem := self.problem(now):
            return problem.what
        lost = [name for name in (host, f"*.{host}") if host and used.covers(name)]
        lost = [name for name in lost if not self.covers(name)]
        return f"isn't for {' and '.join(lost)}" if lost else ""

    def warning(self, now: float) -> Problem | None:
        """Say that it ends soon and wasn't renewed."""
        if now < self.ends <= now + SOON:
            return Problem(self.file, "", f"expires on {_date(self.ends)} and wasn't renewed yet")
        return None


def load_certificate(certificate: Path, key: Path) -> Certificate:
    """Read the two files (PEM); raises ``Invalid`` with every problem of both."""
    from proxy.config.certificate_pem import (  # noqa: PLC0415 - large; for who speaks TLS alone
        read_leaf,
        read_public_key,
    )

    failures: list[Invalid] = []
    leaf = _read(certificate, read_leaf, failures)
    public = _read(key, read_public_key, failures)
    if leaf is None or public is None:
        kind = Unreadable if any(isinstance(each, Unreadable) for each in failures) else Invalid
        raise kind([problem for each in failures for problem in each.problems])
    if leaf.public_key != public:
        raise Invalid([Problem(str(key), "", f"isn't the key of the certificate in {certificate}")])
    return Certificate(
        _context(certificate, key),
        str(certificate),
        leaf.names,
        leaf.begins,
        leaf.ends,
    )


class CertificateWatch(FileWatch[Certificate]):
    """The certificate in two files; reads them when made, and raises ``Invalid``.

    Connections are accepted with the last good pair. Two files can't be replaced at once: a pair
    that doesn't match is given until the next look before anybody is told. ``current`` is the pair
    in the files, ``in_use`` the better one: a pair that expired, isn't valid yet, or is for other
    names than ``host``, the Portal's own, doesn't take the place of one that others trust. That is
    judged anew at each look.
    """

    told_at_look = 2

    def __init__(self, certificate: Path, key: Path, host: str = "") -> None:
        self._paths = certificate, key
        self._host = host
        self._told: Problem | None = None
        self._refused: Problem | None = None
        versions = self._look()
        super().__init__(self._read(), versions)
        self.in_use = self.current
        """What connections are accepted with."""

    @property
    def context(self) -> ssl.SSLContext:
        """What a connection that comes now is accepted with."""
        return self.in_use.context

    def problems_at(self, now: float) -> tuple[Problem, ...]:
        """Return what is wrong with the files, or with the certificate that is in use."""
        wrong = (self._refused, self.in_use.problem(now), self._other_name())
        return (*self.problems, *(problem for problem in wrong if problem is not None))

    def follow(self, now: float) -> None:
        """Read the files again if one changed, and ``choose``."""
        self.refresh()
        self.choose(now)

    def choose(self, now: float) -> None:
        """Use the better one; say in the log what is new about them."""
        before, self._refused = self._refused, None
        if self.current is not self.in_use:
            why_not = self.current.why_not_over(self.in_use, self._host, now)
            if why_not:
                what = f"the one in there now {why_not}: the one before stays in use"
                self._refused = Problem(str(self._paths[0]), "", what)
            else:
                self.in_use = self.current
                _log.info("the certificate is a new one, from %s", self._paths[0])
        if self._refused is not None and self._refused != before:
            _log.error("the certificate: %s", self._refused)
        told = self.in_use.problem(now) or self._other_name() or self.in_use.warning(now)
        if told is not None and told != self._told:
            _log.error("the certificate: %s", told)
        self._told = told

    def _other_name(self) -> Problem | None:
        if not self._host or self.in_use.covers(self._host):
            return None
        what = f"isn't for {self._host}, the Portal's own host: {_UNTRUSTED}"
        return Problem(self.in_use.file, "", what)

    @property
    def _name(self) -> str:
        return str(self._paths[0])

    def _look(self) -> Versions:
        return {path: file_version(path, follow_links=True) for path in self._paths}

    def _read(self) -> Certificate:
        return load_certificate(*self._paths)

    def _log_change(self) -> None:
        """Nothing yet: ``choose`` tells which one is used."""

    def _log_problems(self, invalid: Invalid) -> None:
        for problem in invalid.problems:
            _log.error("the last good certificate stays in use: %s", problem)


def _read(path: Path, read: Callable[[Path], _Read], failures: list[Invalid]) -> _Read | None:
    try:
        return read(path)
    except Invalid as invalid:
        failures.append(invalid)
    except FileNotFoundError:
        failures.append(Invalid([Problem(str(path), "", "is missing")]))
    except OSError as error:
        failures.append(unreadable(path, error))
    except (Unsafe, ValueError) as error:
        failures.append(Invalid([Problem(str(path), "", str(error))]))
    return None


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a new context: a live one would lose its certificate to a key that doesn't match."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Nobody is at a terminal to be asked for a passphrase.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, FileNotFoundError, ValueError) as error:
        what = f"can't be used together with {key}: {error}"
        raise Invalid([Problem(str(certificate), "", what)]) from None
    except OSError as error:
        raise unreadable(certificate, error) from None
    return context


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
