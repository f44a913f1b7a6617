"""What all requests at the public listener share: the Portal, its limits, the way to its apps."""

import asyncio
from collections.abc import Callable
from functools import partial

from proxy.core.devices import UnknownToken
from proxy.core.epoch import Epoch
from proxy.core.gate import Admission, Rates, Request, Unpaired, admit
from proxy.core.signature.request import is_meant_as_ours
from proxy.core.terminals.session import brings_token
from proxy.http.upstream import AppUpstream
from proxy.inbound.app_request import AppRequests
from proxy.inbound.app_response import AppResponses
from proxy.inbound.dropped_names import DroppedNamesLog
from proxy.inbound.key_look import KeyLook
from proxy.inbound.pairing_page import PairingPage
from proxy.inbound.terminal_session import look_for_terminals
from proxy.portal import Portal
from proxy.state.replay import Later
from proxy.transfer.places import PlaceLimiter
from proxy.transfer.rates import RateLimiter
from proxy.transfer.spool import Spool
from proxy.transfer.websocket import WebSocketLimits


class InboundContext:
    """One Portal's public listener, and the gate as it is asked there."""

    def __init__(self, portal: Portal, upstream: AppUpstream) -> None:
        config = portal.config
        dropped_names = DroppedNamesLog()
        self.portal = portal
        self.upstream = upstream
        self.limits = config.limits
        self.places = PlaceLimiter(config.limits, config.trusted_proxies, portal.counts)
        self.rates = RateLimiter(portal.rates, config.limits, config.trusted_proxies)
        self.requests = AppRequests(portal, dropped_names)
        self.responses = AppResponses(portal, dropped_names)
        self.spool = Spool(config.limits.spooled_body)
        self.websocket_limits = WebSocketLimits(message=config.limits.websocket_message)
        self.key_look = KeyLook(portal.sealing)
        self.pairing = PairingPage(portal)

    def take_settings(self) -> None:
        """Go by the Portal's settings as they are now; what runs keeps what it began with."""
        config = self.portal.config
        self.limits = config.limits
        self.places.take_settings(config.limits, config.trusted_proxies)
        self.rates.take_settings(config.limits, config.trusted_proxies)
        self.spool.limit = config.limits.spooled_body
        self.websocket_limits = WebSocketLimits(message=config.limits.websocket_message)

    def admit(
        self,
        request: Request,
        now: float,
        rates: Rates | None,
        is_confidential: Callable[[], bool],
    ) -> Admission | None:
        """Ask the gate; None where it has to be asked again, behind something that takes time.

        Raises ``Refusal``.
        """
        claim = partial(self.portal.replays.claim_at_once, now=now)
        try:
            return admit(request, self.portal.context, now, claim, rates, is_confidential)
        except (Later, UnknownToken):
            return None
        except Unpaired:
            if not brings_token(request.fields, self.portal.hosts.origin):
                raise
            return None

    async def admit_later(
        self,
        request: Request,
        now: float,
        rates: Rates | None,
        is_confidential: Callable[[], bool],
    ) -> Admission:
        """Ask the gate once more, in a thread, where waiting stops nobody else.

        A claim has to wait, and none was made. Or another process may have paired the device, or
        made its token, a moment ago.
        """
        if not is_meant_as_ours(request.fields):
            await look_for_terminals(self.portal)
        claim = partial(self.portal.replays.claim, now=now)
        context = self.portal.context
        return await asyncio.to_thread(admit, request, context, now, claim, rates, is_confidential)

    async def epoch_looked_for(self) -> Epoch | None:
        """Return the epoch, in a thread: a new one may be due, and nobody has noticed yet.

        As where the clock was set.
        """
        look = self.portal.replays.look_again
        return await asyncio.to_thread(look, self.portal.clock())
