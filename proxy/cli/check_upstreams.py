"""What ``check`` says of the places that requests go to.

Loops, surplus responses, and apps that trust whoever comes from their own machine.
"""

import ipaddress
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

from proxy.config.app_settings import FILE_NAME
from proxy.config.apps import App, Catalogue
from proxy.config.listen import Address, Listen
from proxy.core.access.hosts import Hosts
from proxy.core.access.policy import Access
from proxy.core.errors import Problem, Refusal
from proxy.http.upstream import Destination
from proxy.state.surplus_responses import SurplusResponses

_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


def about_loops(catalogue: Catalogue, listen: Listen, hosts: Hosts | None) -> Iterator[Problem]:
    """Tell of apps that are this Portal itself: a request would come back to where it began.

    ``hosts`` are our names; None where nobody knows them.
    """
    listeners = {"public": listen.public, "apps": listen.apps, "owner": listen.owner}
    for app in catalogue.apps.values():
        for name, address in listeners.items():
            if _leads_to(app.upstream, address):
                what = f"is this Portal's own {name} listener, not the app"
                yield Problem(_file(app), "upstream", what)
                break
        else:
            if hosts is not None and not app.upstream.unix and _is_ours(app.upstream, hosts):
                what = "is this Portal's own public address, not the app"
                yield Problem(_file(app), "upstream", what)


def about_surplus_responses(seen: SurplusResponses, catalogue: Catalogue) -> Iterator[Problem]:
    """Tell of apps that answered what nobody had asked, as a running proxy saw."""
    for app, at in sorted(seen.load().items()):
        if app in catalogue.apps:
            day = time.strftime("%Y-%m-%d", time.gmtime(at))
            what = (
                f"its server answered twice on one connection (last on {day}): it may take the "
                "body of a request for another request, which no rule has judged. Put a server "
                "before it that reads bodies, or replace it"
            )
            yield Problem(_file(catalogue.apps[app]), "upstream", what)


def about_trusting_apps(catalogue: Catalogue) -> Iterator[Problem]:
    """Warn of apps that let everybody in at all their paths, and see our connections as local ones.

    Some take every client of their own machine for its owner, unless they are told of a proxy.
    Where what no rule names is private, the author has thought about who may enter which.
    """
    for app in catalogue.apps.values():
        if _is_open(app) and _is_local(app.upstream):
            what = (
                "what no rule names is public, and it gets every request from "
                f"{_from(app.upstream)}. An app that asks nobody there for a password "
                "(Transmission, Syncthing and others do so) is open to the world. Make its paths "
                "private, or have it ask for one whoever comes"
            )
            yield Problem(f"apps/{app.name}", "", what)


def _is_open(app: App) -> bool:
    return any(not rule.prefix and rule.access is Access.PUBLIC for rule in app.rules.rules)


def _is_local(to: Destination) -> bool:
    """Tell whether an app sees our connections come from its own machine; nothing is looked up."""
    host = (to.connect[0] if to.connect else to.origin.host).strip("[]")
    if to.unix or host == "localhost":
        return True
    try:
        return _is_loopback(_plain(host))
    except ValueError:
        return False


def _from(to: Destination) -> str:
    return "a unix socket" if to.unix else "127.0.0.1, as from its own machine"


def _file(app: App) -> str:
    return f"apps/{app.name}/{FILE_NAME}"


def _leads_to(to: Destination, listener: Address) -> bool:
    if to.unix or listener.unix:
        return _same_file(to.unix, listener.unix)
    host, port = to.connect or (to.origin.host, to.origin.port)
    if not listener.port or port != listener.port:
        return False
    # Only now is a name looked up: nearly all are told apart by their ports.
    ours, theirs = _addresses(listener.host), _addresses(host)
    if not _ANY.isdisjoint(ours):
        return any(address in _ANY or _is_of_this_machine(address) for address in theirs)
    # To connect to "any address" is to connect to this machine's loopback.
    return bool(ours & theirs) or (not _ANY.isdisjoint(theirs) and any(map(_is_loopback, ours)))


def _same_file(one: str, other: str) -> bool:
    return bool(one and other) and os.path.realpath(one) == os.path.realpath(other)


def _is_ours(to: Destination, hosts: Hosts) -> bool:
    with suppress(Refusal):
        hosts.locate(to.origin.authority.encode("ascii"))
        return True
    return False


def _addresses(host: str) -> set[str]:
    """Return the addresses of a name, or the one that it is; none where it can't be looked up."""
    with suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        return {_plain(str(each[4][0])) for each in found}
    return set()


def _plain(address: str) -> str:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def _is_of_this_machine(address: str) -> bool:
    """Tell whether a socket could have this address: then it is one of ours."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as own:
        own.bind((address, 0))
        return True
    return False
