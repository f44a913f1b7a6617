"""What an owner is told where no certificate could be got: what happened, and what to do next."""

import importlib.util
from urllib.parse import urlsplit

from proxy.acme.order import Failure, Order
from proxy.core.errors import shown

INSTALL = "pip install 'portal-proxy[acme]', or pipx inject portal-proxy 'acme>=5,<6'"

_ABOUT = {
    "no_library": "the ACME library isn't installed: {install}",
    "unreachable": (
        "{authority} can't be reached: is this machine on the Internet, and is "
        "{directory} its directory (acme.directory)?"
    ),
    "untrusted": (
        "the certificate of {authority} isn't believed: for an authority of your own, name the "
        "file with its certificate (acme.authorities); else look at the machine's clock"
    ),
    "not_acme": "{directory} isn't the directory of an ACME authority: look at acme.directory",
    "timeout": "{authority} took too long: it is tried again",
    "disk": "the certificate can't be kept: make room in the state folder, and let it be writable",
    "account": "the account at {authority} can't be read: delete the file, and a new one is made",
    "no_http_01": "{authority} doesn't offer HTTP-01 for {host}, the one way that the proxy knows",
    "wrong_certificate": "{authority} gave another certificate than was asked for: tell it so",
    "ended": "the process that asks for certificates ended by itself: look at the machine's memory",
    "mistake": "this is a mistake of the proxy's: please report it",
    "connection": (
        "{authority} couldn't connect to http://{host}/: have port 80 of that name lead to "
        "{listen} of this machine (the router's forwarding, the firewall)"
    ),
    "dns": (
        "{authority} finds no address for {host}: set an A or AAAA record, and wait until "
        "everybody sees it"
    ),
    "unauthorized": (
        "at http://{host}/ somebody else answered {authority}: the name leads to another machine "
        "(its A and AAAA records), or another web server has port 80"
    ),
    "rateLimited": (
        "{authority} was asked too often for now: wait as long as it says, and try things out with "
        "its staging directory"
    ),
    "caa": "the domain's CAA record forbids {authority} to certify {host}: change the record",
    "rejectedIdentifier": "{authority} doesn't certify {host}: look at the name, or take another",
    "unsupportedIdentifier": "{authority} doesn't certify {host}: look at the name",
    "invalidContact": "{authority} doesn't take the address in acme.email: correct or leave it out",
    "externalAccountRequired": (
        "{authority} wants an account that was made on its pages first, which isn't supported: "
        "take another acme.directory"
    ),
    "userActionRequired": "{authority} has new terms: read and agree to them, as it says",
    "accountDoesNotExist": "{authority} doesn't know our account any more: it is made anew",
    "serverInternal": "{authority} has trouble of its own: it is tried again",
}
_ALIKE = {
    "incorrectResponse": "unauthorized",
    "tls": "unauthorized",
    "unknownHost": "dns",
    "dnssec": "dns",
    "unsupportedContact": "invalidContact",
    "invalidEmail": "invalidContact",
}
_OTHERWISE = "{authority} refused: do what it says, or try again later"


def is_installed() -> bool:
    """Tell whether the ACME library is there: it is an extra."""
    return importlib.util.find_spec("acme") is not None


def advice(failure: Failure, order: Order, listen: str) -> str:
    """Return a sentence on ``failure``; ``listen`` is where our listener for port 80 is."""
    kind = _ALIKE.get(failure.kind, failure.kind)
    told = _ABOUT.get(kind, _OTHERWISE).format(
        authority=urlsplit(order.directory).hostname or order.directory,
        directory=order.directory,
        host=failure.host or (order.names[0] if order.names else ""),
        listen=listen,
        install=INSTALL,
    )
    # An authority quotes what it was answered, which may be anybody's.
    return shown(f"{told} ({failure.detail})" if failure.detail else told)
