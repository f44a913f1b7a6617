"""Call the same app on other people's Portals, and know who calls.

An app behind a portal-proxy needs no library for it; this one says in Python what
docs/for-app-authors.md says in HTTP.
"""

from portal_peers.async_portal import AsyncPeer, AsyncPortal
from portal_peers.caller import ANONYMOUS, Caller, CallerUnclear, caller
from portal_peers.default import peer, peers, whoareyou
from portal_peers.errors import (
    AppUnavailable,
    Busy,
    CallBrokenOff,
    CallFailed,
    CallNotCarried,
    CallTimedOut,
    NoSuchApp,
    NoSuchPeer,
    NotAllowed,
    NotAPortal,
    NotConfigured,
    OutcomeUnknown,
    PeerUnavailable,
    PortalError,
    PortalInTrouble,
    PortalsDisagree,
    PortalUnreachable,
    RedirectRefused,
    Refused,
    TokenRefused,
)
from portal_peers.portal import Peer, Portal
from portal_peers.settings import Settings, from_environment

__all__ = [
    "ANONYMOUS", "AppUnavailable", "AsyncPeer", "AsyncPortal", "Busy", "CallBrokenOff",
    "CallFailed", "CallNotCarried", "CallTimedOut", "Caller", "CallerUnclear", "NoSuchApp",
    "NoSuchPeer", "NotAPortal", "NotAllowed", "NotConfigured", "OutcomeUnknown", "Peer",
    "PeerUnavailable", "Portal", "PortalError", "PortalInTrouble", "PortalUnreachable",
    "PortalsDisagree", "RedirectRefused", "Refused", "Settings", "TokenRefused", "caller",
    "from_environment", "peer", "peers", "whoareyou",
]  # fmt: skip
