"""References in a peer's response, as the calling app can follow them on the way of its call.

A whole URI of the peer's app would lead its client past the proxy: to the peer's public listener,
as a stranger. So it gets the form in which the call was made. Nothing else is touched, and no byte
of a reference but those of its scheme and host, or those by which it would leave the path form.

In the path form a peer shares a host with the others, and with the Portal's own paths: no relative
reference of its may lead there, however a client reads it, and none of its cookies. In either form
none may that names the listener itself: it is taken for one of the peer's own paths. And no cookie
is for more than the peer's app: its Portal sends none that is, unless it means harm to others.
"""

import re
from typing import Protocol

from proxy.core.http.headers import Fields
from proxy.core.http.link_field import with_references
from proxy.core.http.listener_reference import CallersListener
from proxy.core.http.origin import Origin
from proxy.core.http.set_cookie import below_path, reaches_beyond
from proxy.core.http.uri_reference import (
    BLANKS,
    as_browsers_read,
    has_dot_segments,
    read_uri_at_host,
    split_path,
    without_dot_segments,
)
from proxy.core.record import record

MOST_LINKS = 512
_WITH_REFERENCE = frozenset({b"location", b"content-location"})
_LINK, _SET_COOKIE = b"link", b"set-cookie"
_TOUCHED = _WITH_REFERENCE | {_LINK, _SET_COOKIE}
_ELSEWHERE = re.compile(
    rb"(?!http:)[a-z][a-z0-9+.-]*:|(?:http:)?//(?:[^/\\?#]*@)?+[^/\\?#\t:@]", re.IGNORECASE
)
"""Another scheme, or a host that isn't the app's."""
_WITH_HOST = re.compile(rb"(?:https?:)?//(?:[^/]*@)?+[^/:@]", re.IGNORECASE)
_NO_HOST = re.compile(
    rb"\A(?=:|http:|//)(?:(?:http)?:)*+(?://(?:[^/]*@)?+(?::[^/]*)?(?=/|\Z))?", re.IGNORECASE
)
"""The scheme alone, or an empty one, or slashes with no host behind them, a user or a port perhaps.
Some clients take what follows for a path at the host that they asked, others for a host."""


class CallForm(Protocol):
    """How a call was written."""

    @property
    def app(self) -> Origin:
        """The peer's app, at its public address."""

    def reference(self, value: bytes) -> bytes:
        """Return a reference as it can be followed."""

    def cookie(self, value: bytes) -> bytes:
        """Return a ``Set-Cookie`` as it comes back to the same peer."""


def followable(fields: Fields, form: CallForm) -> Fields:
    """Return the fields of a response to a call that was written in ``form``.

    Without its links, where there are more than ``MOST_LINKS``: a head that is full of them would
    hold everybody up, and come out thirty times as long.
    """
    if not any(name in _TOUCHED for name, _ in fields):
        return fields
    if sum(value.count(b"<") for name, value in fields if name == _LINK) > MOST_LINKS:
        fields = tuple(pair for pair in fields if pair[0] != _LINK)
    own = (form.app.host.encode("ascii"),)
    return tuple(
        (name, _followable(name, value, form))
        for name, value in fields
        if name != _SET_COOKIE or not reaches_beyond(value, own)
    )


def _followable(name: bytes, value: bytes, form: CallForm) -> bytes:
    if name in _WITH_REFERENCE:
        return form.reference(value)
    if name == _LINK:
        return with_references(value, form.reference)
    return form.cookie(value) if name == _SET_COOKIE else value


@record(frozen=True, slots=True)
class ProxyForm:
    """As to a forward proxy, and what looks like it: ``http://<the peer's app>/...``."""

    host: bytes
    """As the caller wrote it: with a port where that leads to us, and no other does."""
    app: Origin
    """The peer's app, at its public address."""
    listener: CallersListener

    def reference(self, value: bytes) -> bytes:
        """Return a whole URI of the app's with ``http`` and the host as it was written.

        One without a scheme loses its port alone: no tunnel leads to any but port 80.
        """
        at_listener = self.listener.path_at(value)
        if at_listener is not None:
            return b"http://" + self.host + at_listener
        uri = read_uri_at_host(value)
        if uri is None or not uri.is_at(self.app):
            return value
        if self._has_port:
            return b"http://" + self.host + uri.rest
        if uri.scheme != "https" and not uri.has_port:
            return value
        return (b"http://" if uri.scheme else b"//") + self.host + uri.rest

    @property
    def _has_port(self) -> bool:
        return b":" in self.host.rpartition(b"]")[2]

    def cookie(self, value: bytes) -> bytes:
        """Return it as it is: the peer's app has a host of its own."""
        return value


@record(frozen=True, slots=True)
class PathForm:
    """By path: ``/internal/call_peer/<id>/...``."""

    prefix: bytes
    """Up to the ID, as the caller wrote it, and no slash behind it."""
    target: bytes
    """What the peer's app was asked for, in origin form."""
    app: Origin
    """The peer's app, at its public address."""
    listener: CallersListener
    is_bare: bool = False
    """Whether nothing stood behind the ID, not even a slash: then relative references, and cookies
    without a path, would be for what stands beside it, which is the other peers."""

    def reference(self, value: bytes) -> bytes:
        """Return a reference to the app as one that stays below ``prefix``.

        A whole URI of anybody else's is as it came. Anything else is taken for a relative one.
        """
        at_listener = self.listener.path_at(value)
        if at_listener is not None:
            return self._below(at_listener)
        value = value.lstrip(BLANKS).rstrip(b" \t")  # \xa0 may end a character of UTF-8
        uri = read_uri_at_host(value)
        if uri is None and _ELSEWHERE.match(value):
            return value
        if uri is not None:
            return self._below(uri.rest) if uri.is_at(self.app) else value
        written, behind = split_path(value)
        path = as_browsers_read(written)
        if path == written and not self._leads_out(path):
            return value
        if _WITH_HOST.match(path):
            return path + behind  # which all read alike
        path = _NO_HOST.sub(b"", path, count=1) or b"/"
        if not path.startswith(b"/"):
            path = self.target.partition(b"?")[0].rpartition(b"/")[0] + b"/" + path
        return self._below(path + behind)

    def _below(self, rest: bytes) -> bytes:
        path, behind = split_path(rest)
        return self.prefix + without_dot_segments(as_browsers_read(path) or b"/") + behind

    def _leads_out(self, path: bytes) -> bool:
        """Tell whether a client that joins ``path`` to what it asked for may leave the form."""
        if path.startswith(b"/") or _NO_HOST.match(path) or has_dot_segments(path):
            return True
        return self.is_bare and bool(path)

    def cookie(self, value: bytes) -> bytes:
        """Return a cookie for a path of the app's as one for that path below ``prefix``."""
        return below_path(value, self.prefix, is_beside=self.is_bare)
