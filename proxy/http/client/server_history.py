"""What was seen of one server: how it ends its connections, what it speaks, what it answers twice.

Nothing of it lasts: another server may stand at the same address tomorrow.
"""

import asyncio
import logging
import math
from collections.abc import Callable

from proxy.core.http1.reader import Surplus
from proxy.http.upstream import Destination

NO_KEEP_ALIVE_SECONDS = 30.0
"""How long no connection is kept to a server that closed one it had promised to keep."""
KNOWN_SECONDS = 60.0
"""How long a response tells what its server speaks."""
SILENT_SECONDS = 600.0
"""How long a server counts as one that invites no body, after it let one wait."""
_LOG_SECONDS = 60.0

_NOT_THE_APPS = frozenset({400, 408, 414, 417, 431, 501, 505})
"""Statuses that servers answer by themselves, before they look for what is behind them."""

log = logging.getLogger("proxy.upstream")


class ServerHistory:
    """What was seen of the server at one destination; times are those of the event loop."""

    __slots__ = (
        "_assumed_until",
        "_logged_at",
        "_new_until",
        "_old_until",
        "_on_surplus_response",
        "asking",
        "no_keep_alive_until",
        "sends_bodies_behind_heads",
        "silent_until",
        "to",
    )

    def __init__(
        self, to: Destination, on_surplus_response: Callable[[Destination], None] | None = None
    ) -> None:
        self.to = to
        self._on_surplus_response = on_surplus_response
        self.no_keep_alive_until = 0.0
        """Until when no connection is kept."""
        self._old_until = 0.0
        self._new_until = 0.0
        self._assumed_until = 0.0
        self._logged_at = -math.inf
        self.asking: asyncio.Task[int] | None = None
        """The question that is running what it speaks."""
        self.silent_until = 0.0
        """Until when it isn't waited for to invite a body."""
        self.sends_bodies_behind_heads = False
        """Whether it was seen to send a body with HEAD, 204 or 304."""

    def disable_keep_alive(self, now: float) -> None:
        """Keep no connections for a while."""
        self.no_keep_alive_until = now + NO_KEEP_ALIVE_SECONDS

    def minor(self, now: float) -> int | None:
        """Return the minor version of HTTP that it speaks; None where nothing tells.

        HTTP/1.0, if any response was so: some pass on what is behind them, as some CGI servers do.
        """
        if now < self._old_until:
            return 0
        if now < self._new_until:
            return 1
        return 0 if now < self._assumed_until else None

    def invites(self, now: float) -> bool:
        """Tell whether a body that asks for an invitation may get one."""
        return now >= self.silent_until and now >= self._old_until

    def note_response(self, minor: int, status: int, now: float) -> None:
        """Take note of a response's version."""
        if not minor:
            self._old_until = now + KNOWN_SECONDS
        elif status not in _NOT_THE_APPS:
            self._new_until = now + KNOWN_SECONDS

    def assume_old(self, until: float) -> None:
        """Take it for one of HTTP/1.0 until then, unless a response tells."""
        self._assumed_until = until

    def forget(self) -> None:
        """Forget what it speaks."""
        self._old_until = self._new_until = self._assumed_until = self.silent_until = 0.0
        self.sends_bodies_behind_heads = False

    def is_forgotten(self, now: float) -> bool:
        """Tell whether nothing is known of it any more."""
        until = max(self.no_keep_alive_until, self._old_until, self._new_until, self.silent_until)
        return now >= until and not self.sends_bodies_behind_heads and self.asking is None

    def note_surplus(self, surplus: Surplus) -> None:
        """Take note of what came behind a response's end."""
        if surplus.is_behind_head and not surplus.is_response:
            self.sends_bodies_behind_heads = True
        if not surplus.is_response:
            return
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            log.warning(
                "%s answered twice on one connection, which was closed: it may take a request's "
                "body for the next request",
                self.to,
            )
            if self._on_surplus_response is not None:
                self._on_surplus_response(self.to)
