"""An app's own entrance: as the apps listener, but whoever comes is that app, token or none."""

from proxy.config.apps import App
from proxy.core.access.call_routes import Route, TunnelCall, is_absolute
from proxy.core.access.entrance import entrance_route, refuse_browsers
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Request
from proxy.outbound.app import Outbound
from proxy.outbound.context import OutboundContext


class EntranceContext(OutboundContext):
    """One app's. What is limited is limited for all ways by which its calls come."""

    listener = "entrance"

    def __init__(self, shared: OutboundContext, app: App) -> None:
        super().__init__(shared.portal, shared.transports, shared.tokens, shared.service)
        self.concurrency, self.rates = shared.concurrency, shared.rates
        self.own_app = app.name
        self.entrance = str(app.entrance)
        # As it was opened: where no token is asked for any more, it may be on loopback until it is
        # opened anew.
        self._asks_token = app.entrance is not None and app.entrance.asks_token

    @property
    def way(self) -> str:
        """By which calls come just now: where, and whether a token is asked for."""
        app = self.portal.apps.get(self.own_app)
        return app.entrance.way if app is not None and app.entrance is not None else self.entrance

    def app_of(self, request: Request) -> str | None:
        """Return the app; None where it has to show its token, and shows none.

        Raises ``Refusal``: ``FROM_A_BROWSER``, ``TOKEN_UNKNOWN`` also for the token of another app,
        ``TOKEN_REQUIRED`` where the entrance isn't the app's any more, and ``APP_UNAVAILABLE``.
        """
        refuse_browsers(request.fields)
        name = self.own_app
        if name in self.portal.catalogue.unavailable:
            raise Refusal(Code.APP_UNAVAILABLE, f"the files of {name} can't be read")
        app = self.portal.apps.get(name)
        if app is None or app.entrance is None or str(app.entrance) != self.entrance:
            # A connection that was there before.
            raise Refusal(Code.TOKEN_REQUIRED, f"{name} has no entrance at {self.entrance}")
        shown = super().app_of(request)
        if shown is not None and shown != name:
            proxied = is_absolute(request.target)
            code = Code.PROXY_TOKEN_UNKNOWN if proxied else Code.TOKEN_UNKNOWN
            raise Refusal(code, f"the token of {shown} at the entrance of {name}")
        return shown if self._asks_token or app.entrance.asks_token else name

    def route(self, request: Request) -> Route | TunnelCall:
        """Return where the request leads to; raises ``Refusal``."""
        return entrance_route(request.method, request.target, request.fields)


class EntranceApp(Outbound):
    """What is behind one app's entrance; ``of`` is what is behind the apps listener."""

    def __init__(self, of: Outbound, app: App) -> None:
        self._context = EntranceContext(of.context, app)
