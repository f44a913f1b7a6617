"""Who calls an app that fails: a stranger, and apps at other Portals; and what they see of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.wire.harness.raw import RawConnection, request

if TYPE_CHECKING:
    from .harness.faulty import FaultyApp
    from .harness.portals import Portal

BROKEN = "broken off"
CALLERS = ("a stranger", "a signed call", "a sealed call")


@dataclass(frozen=True)
class Cast:
    """Bob, whose app fails, and who calls it: strangers, Ada's app and Eda's."""

    bob: Portal
    app: FaultyApp
    ada: Portal
    eda: Portal

    def call(self, caller: str, deed: str, method: str = "GET") -> tuple[int, bytes]:
        """Return the port to send to, and the request."""
        body = b"asked" if method == "POST" else None
        if caller == "a stranger":
            host = ("Host", self.bob.app_host("site"))
            return self.bob.public, request(method, f"/{deed}", host, body=body)
        portal = self.ada if caller == "a signed call" else self.eda
        fields = (("Host", "portal_core"), ("Portal-Token", portal.token("wide")))
        path = f"/internal/call_peer/{self.bob.id}/{deed}"
        return portal.apps, request(method, path, *fields, body=body)

    def see(self, caller: str, deed: str, method: str = "GET") -> str:
        """Return what the caller sees."""
        with RawConnection((call := self.call(caller, deed, method))[0]) as wire:
            wire.send(call[1])
            return seen(wire)

    def both_ways(self) -> tuple[str, ...]:
        """Return what each caller sees of an app that is well."""
        return tuple(self.see(caller, "whole") for caller in CALLERS)


def meaning(expected: str, caller: str, method: str = "GET") -> tuple[str, ...]:
    """Return what may be seen.

    Where a sealed response broke off before any of it was sent, the peer's proxy says so, and where
    it did before any of it could be opened, the caller's own.
    """
    if expected is BROKEN and caller == "a sealed call":
        unknown = "peer_unreachable" if method == "GET" else "outcome_unknown"
        return BROKEN, "502 app_failed", f"502 {unknown}"
    return (expected,)


def seen(wire: RawConnection) -> str:
    """Return what a client makes of a response: its body, its refusal, or that it broke off."""
    try:
        got = wire.read()
    except EOFError:
        return BROKEN
    if got.status == 200:
        return got.body.decode() or "nothing"
    return f"{got.status} {got.code}"
