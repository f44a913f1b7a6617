"""What the owner's own calls are made with: the transports of a running proxy, in this process.

A call by hand is signed with the same key and sealed in the same way as an app's. Whoever has the
state folder is the owner: which app may know the peer isn't asked here. The peer asks on its side.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from proxy.config.limits import DEFAULT_LIMITS, Limits
from proxy.core.access.policy import Mode
from proxy.core.errors import Code
from proxy.core.identity import PrivateKey
from proxy.http.client.engine import Http1Upstream
from proxy.http.tls.verifying import believing
from proxy.http.upstream import Upstream, UpstreamTimeouts, WithTimeouts
from proxy.outbound.call import CallContext, CallTransport
from proxy.outbound.identity_documents import Directory
from proxy.outbound.reachability import Reachability
from proxy.outbound.transports import transports

LONGEST_CODE = 40
"""Characters of a code that is shown, where a newer Portal has one that isn't known here."""

_TITLES = {code.public: code.title for code in Code}
_ADVICE = {
    "not_allowed": (
        "Its owner hasn't added this Portal, hides it from that app, or keeps the path from peers."
    ),
    "mode_not_accepted": "Its owner's portal.yaml says in `accept` what is taken.",
    "out_of_time": "The two clocks differ; ping tells by how much.",
    "misdirected": "Its owner's portal.yaml has another public_url than the address here.",
    "signature_invalid": (
        "The address here must be its public_url exactly, and nothing on the way may change calls."
    ),
    "too_many_requests": "Calls from here are still running there.",
    "app_unreachable": "Its app isn't running, or not where its owner's proxy.yaml says.",
    "app_failed": "Its app broke off; its owner's log, and the app's, say more.",
    "app_timeout": "Its app hangs, or needs a longer app_answer in its owner's proxy.yaml.",
    "no_such_app": "Its owner's apps have other names.",
    "app_busy": "Its app is asked by too many at once; try again in a while.",
    "contacts_unavailable": "Its contact list can't be read just now; its owner's log says why.",
    "app_unavailable": "Its app's files can't be read just now; its owner's log says why.",
    "replay_store_down": "Its owner finds the reason in its log.",
}
"""By the code of a refusal of the peer's proxy: what may be behind it."""


@asynccontextmanager
async def engine(patience: float, authorities: str = "") -> AsyncIterator[Upstream]:
    """Return an engine that gives up after ``patience`` seconds in which nothing moved.

    ``authorities`` (PEM) are believed beside the system's.
    """
    connect = min(patience, UpstreamTimeouts().connect)
    tls = believing(authorities, beside_system=True) if authorities else None
    upstream = WithTimeouts(Http1Upstream(tls), UpstreamTimeouts(connect, patience, patience))
    try:
        yield upstream
    finally:
        await upstream.close()


def transport(
    mode: Mode,
    key: PrivateKey,
    upstream: Upstream,
    directory: Directory,
    clock: Callable[[], float] = time.time,
    limits: Limits = DEFAULT_LIMITS,
) -> CallTransport:
    """Return what carries calls out in ``mode``, and in no other."""
    context = CallContext(key, upstream, Reachability(directory, clock), clock)
    return transports(context, directory, limits)[mode]


def refusal_words(code: str) -> str:
    """Return what the peer's proxy means by refusing with ``code``."""
    title = _TITLES.get(code, "It gives no reason that this version knows.")
    return " ".join(filter(None, (f"{code[:LONGEST_CODE]}: {title}", _ADVICE.get(code))))
