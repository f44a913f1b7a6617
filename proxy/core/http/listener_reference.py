"""References by which a peer's app names the very listener that it was called through.

Behind that name are the other peers, and the list of them. Whoever follows such a reference asks
for them as the calling app, which the peer isn't: it could have a third one called in that app's
name. No name of the listener means anything outside of its own Portal, so nothing is lost where it
isn't taken from there. It is read as the freest of its readers would.
Source: WHATWG URL, sections 3.3 and 4.4.
"""

import re
from collections.abc import Collection
from unicodedata import normalize
from urllib.parse import unquote_to_bytes

from proxy.core.http.uri_reference import (
    BLANKS,
    as_browsers_read,
    has_dot_segments,
    read_uri_at_host,
    split_path,
    without_dot_segments,
)
from proxy.core.record import record

_AT_HOST = re.compile(rb"(?:http:)?/{2,}(?:[^/]*@)?([^/:@]*)(?::[0-9]*)?(?=/|\Z)", re.IGNORECASE)
_CALL = re.compile(rb"/internal/call_peer/([^/]*)(?:/[^\\\t]*)?")
_FOR_CALLERS = (b"/internal/call_peer", b"/protected/peers")
_SHORTEST_ID = 6
_NOTHING = re.compile(
    "[\u00ad\u034f\u180b-\u180f\u200b-\u200d\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
"""What browsers leave out of a host (UTS 46, section 4)."""


@record(frozen=True, slots=True)
class CallersListener:
    """Where an app called from, as a reference could name it."""

    names: Collection[str]
    """Hosts that are nothing else."""
    hosts: Collection[str]
    """Hosts that are other servers', too, at other ports: the app's own machine."""
    called: str
    """The full ID of the peer that was called."""

    def path_at(self, reference: bytes) -> bytes | None:
        """Return what stands behind the host, if that is the listener's; None for all others.

        None, too, for what leads to the called peer by path: an app sends its caller back to where
        that wanted to return to.
        """
        written, behind = split_path(reference)
        path = as_browsers_read(written.strip(BLANKS))
        match = _AT_HOST.match(path)
        if match is None:
            return None
        longest = max(map(len, (*self.names, *self.hosts)), default=0)
        host, rest = _as_host(match[1], longest), path[match.end() :] or b"/"
        if host not in self.names and not (host in self.hosts and _is_for_callers(rest)):
            return None
        return None if self._is_to_called(reference) else rest + behind

    def _is_to_called(self, reference: bytes) -> bool:
        uri = read_uri_at_host(reference)
        path = split_path(uri.rest)[0] if uri is not None else b""
        call = _CALL.fullmatch(path)
        if call is None or has_dot_segments(path):
            return False
        peer = call[1].decode("latin-1")
        return len(peer) >= _SHORTEST_ID and self.called.startswith(peer)


def _as_host(written: bytes, longest: int) -> str:
    """Return a host as browsers read it, if it can be one of at most ``longest`` ASCII letters."""
    text = _NOTHING.sub("", unquote_to_bytes(written).decode("utf-8", "replace"))
    if len(text) > longest + len("."):
        return ""  # what is normalized gets no shorter by it, and eighteen times as long perhaps
    return normalize("NFKC", text).lower().removesuffix(".")


def _is_for_callers(path: bytes) -> bool:
    return without_dot_segments(unquote_to_bytes(path)).startswith(_FOR_CALLERS)
