"""The ``Domain`` and ``Path`` of an app's ``Set-Cookie``: who gets it back (RFC 6265bis, 5.6).

With the domain of its Portal, or of several, an app would set a cookie for other apps: another
app's session, or so many cookies that browsers forget ours. Its own host is a host below those.
"""

import re
from collections.abc import Collection

_BLANKS = b" \t"
_PATH = re.compile(
    rb";[ \t\x85\xa0]*+path[ \t\x85\xa0]*+=[ \t\x85\xa0]*+\"?(?=([^;]?))", re.IGNORECASE
)
"""With what Python's ``http.cookiejar`` takes for a blank, where it reads bytes as Latin-1."""
_ODD = b'\x85\xa0"'
"""What makes a path none to browsers, or one that isn't absolute."""
_DOMAIN = re.compile(rb";[ \t]*+domain[ \t]*+=([^;]*)", re.IGNORECASE)


def reaches_beyond(value: bytes, own: Collection[bytes]) -> bool:
    """Tell whether a ``Set-Cookie`` with this value is for more than the hosts in ``own``.

    ``own`` are the hosts by which the app is reached, in lower case. Whatever isn't one of them or
    below one is beyond: another host, or what can't be read.

    Attributes are what stands between semicolons, as for browsers, quotes or not. Of several
    ``Domain`` browsers take the last one, others the first: each of them must be its own. An empty
    one, which leaves the cookie to the one host, takes nothing back of those before it.
    """
    return any(not _is_own(domain, own) for domain in _DOMAIN.findall(value))


def _is_own(domain: bytes, own: Collection[bytes]) -> bool:
    host = domain.strip(_BLANKS).strip(b'"').strip(_BLANKS).lower().removeprefix(b".")
    name, colon, port = host.rpartition(b":")
    if colon and port.isdigit():
        host = name
    return not host or any(host == each or host.endswith(b"." + each) for each in own)


def below_path(value: bytes, prefix: bytes, *, is_beside: bool) -> bytes:
    """Return a ``Set-Cookie`` with ``prefix`` before each ``Path`` in it.

    One without a path, or with one that isn't absolute, is for the folder of what was asked for.
    ``is_beside`` says that this isn't below ``prefix``: then the cookie gets ``prefix`` itself, for
    those that go by the last path, as browsers do, and for those that go by the first.
    """
    is_known = False

    def begun(match: re.Match[bytes]) -> bytes:
        nonlocal is_known
        is_absolute = match[1] == b"/"
        is_known = is_absolute and match[0].translate(None, _ODD) == match[0]
        if is_absolute:
            return match[0] + prefix
        return match[0] + prefix + b";" if is_beside else match[0]

    told = _PATH.sub(begun, value)
    return told if is_known or not is_beside else told + b"; Path=" + prefix
