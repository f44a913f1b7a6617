"""The cookie as a possession: who holds it, how a browser gets it, and when it gets it again.

Browsers forget a cookie at the time that they were told when it was set last. So a device that is
in use gets its own anew, once a day.
"""

from proxy.core.http.headers import Field, Fields
from proxy.core.http.origin import Origin
from proxy.core.terminals.cookie import cookie_name, presented, set_cookie
from proxy.core.terminals.terminals import LIFETIME, Terminal, TerminalList


def authenticate(
    fields: Fields, terminals: TerminalList, portal: Origin, now: float
) -> Terminal | None:
    """Return the terminal whose token these fields bring, if it is still good.

    Of several cookies any may be it: another Portal of our domain can set more in the same browser,
    and takes nothing from us by that. ``portal`` is the Portal's own origin.
    """
    held = _held(fields, terminals, portal, now)
    return held[0] if held is not None else None


def brings_token(fields: Fields, portal: Origin) -> bool:
    """Tell whether these fields bring something that could be a terminal's token."""
    return bool(presented(fields, _name(portal)))


def cookie_field(portal: Origin, token: bytes, *, for_apps: bool = True) -> Field:
    """Return the field that gives a browser its token, ``for_apps`` at the hosts below, too."""
    domain = portal.host if for_apps else None
    return (b"set-cookie", set_cookie(_name(portal), token, domain, LIFETIME))


def renewal(
    fields: Fields, terminals: TerminalList, portal: Origin, now: float, renewed: float
) -> Field | None:
    """Return what gives the holder the same cookie anew; None where that isn't due.

    ``renewed``: when this was done last, 0 where nobody remembers.
    """
    held = _held(fields, terminals, portal, now)
    if held is None or not held[0].is_renewal_due(now, renewed):
        return None
    return cookie_field(portal, held[1])


def _held(
    fields: Fields, terminals: TerminalList, portal: Origin, now: float
) -> tuple[Terminal, bytes] | None:
    for token in presented(fields, _name(portal)):
        terminal = terminals.by_token(token)
        if terminal is not None and not terminal.app and terminal.is_valid(now):
            return terminal, token
    return None


def _name(portal: Origin) -> bytes:
    return cookie_name(secure=portal.scheme == "https")
