"""Whose device sent a request that no Portal signed: by a token that it shows, or by its cookie.

What is found out here is one step of the gate's, which says when it is asked and what follows.
Source: docs/protocol.md, "The owner's devices".
"""

from collections.abc import Callable, Container
from typing import Protocol

from proxy.core.access.hosts import Hosts
from proxy.core.access.policy import ANONYMOUS, Caller
from proxy.core.errors import CHALLENGE, Code, Refusal
from proxy.core.http.headers import Fields, values_of
from proxy.core.terminals.device_token import (
    challenge,
    shown_device_token,
    shows_device_token,
    without_authorization,
)
from proxy.core.terminals.request_origin import is_same_portal_request
from proxy.core.terminals.session import authenticate
from proxy.core.terminals.terminals import Terminal, TerminalList
from proxy.core.websocket.handshake import asks_for_websocket


class Asked(Protocol):
    """What is looked at of the gate's ``Request``."""

    @property
    def method(self) -> bytes:
        """As it stood on the wire."""

    @property
    def fields(self) -> Fields:
        """All of them, names in lower case."""


class Known(Protocol):
    """What is looked at of the gate's ``AccessContext``."""

    @property
    def hosts(self) -> Hosts:
        """Where this Portal and its apps are."""

    @property
    def apps(self) -> Container[str]:
        """The names of those that can be asked."""

    @property
    def terminals(self) -> TerminalList:
        """The owner's devices."""

    @property
    def device_tokens(self) -> frozenset[str]:
        """Apps to which devices come by a token."""


class Strangers(Protocol):
    """What is counted."""

    def count_stranger(self) -> None:
        """Count a request of somebody unknown; raises ``RATE_LIMITED``."""


class ExposedToken(Refusal):
    """A refusal of a device token that others can have read."""

    def __init__(self, detail: str, terminal_id: str) -> None:
        super().__init__(Code.DEVICE_TOKEN_EXPOSED, detail)
        self.terminal_id = terminal_id
        """Whose token it is; "" for nobody's."""


class UnknownToken(Refusal):
    """A refusal of a device token that no device has, as far as this process knows."""


def identify(
    request: Asked,
    app: str | None,
    context: Known,
    now: float,
    rates: Strangers | None,
    is_confidential: Callable[[], bool],
) -> tuple[Caller, str, Fields]:
    """Return who sends an unsigned request, and its fields without a device token.

    Of a stranger's also whose device sent it for a foreign page, in the owner's words; else "".
    Of a token and a cookie the token counts: who sends one means it.
    """
    fields, portal = request.fields, context.hosts.origin
    if values_of(fields, b"authorization") and shows_device_token(fields):
        terminal = _device(request, app, context, now, rates, is_confidential)
        fields, shown = without_authorization(fields), "token"
    elif values_of(fields, b"cookie"):
        terminal, shown = authenticate(fields, context.terminals, portal, now), "cookie"
    else:
        return ANONYMOUS, "", fields
    if terminal is None:
        return ANONYMOUS, "", fields
    own = portal if app is None else portal.of_app(app)
    is_websocket = asks_for_websocket(1, fields)
    if is_same_portal_request(request.method, is_websocket, fields, own, portal):
        return Caller("terminal", terminal.id, terminal.name), "", fields
    foreign = f"; the {shown} of terminal {terminal.id} came from another site's page"
    return ANONYMOUS, foreign, fields


def refuse_token_of_peer(fields: Fields, terminals: TerminalList) -> None:
    """Refuse a device token that stands in a peer's call; raises ``DEVICE_TOKEN_REFUSED``.

    Whose app has it can't use it: who proves that a Portal calls is that Portal and nobody else.
    The app here could, by coming in where the token is good. So it gets none, whoever sends it.
    """
    if not shows_device_token(fields):
        return
    try:
        found = terminals.by_token(shown_device_token(fields))
    except ValueError:
        found = None
    detail = "a device token in a peer's call"
    if found is not None:
        detail = f"the token of terminal {found.id} in a peer's call: remove it, the peer has it"
    raise Refusal(Code.DEVICE_TOKEN_REFUSED, detail)


def challenge_for(
    request: Asked, app: str | None, context: Known, is_confidential: Callable[[], bool]
) -> bytes:
    """Return what a 401 asks for: a token of ``app``, where it may be sent and would be taken."""
    if app is None or app not in context.device_tokens or not is_confidential():
        return CHALLENGE
    return challenge(request.method, request.fields, app)


def _device(
    request: Asked,
    app: str | None,
    context: Known,
    now: float,
    rates: Strangers | None,
    is_confidential: Callable[[], bool],
) -> Terminal | None:
    """Return the device whose token a request shows; refuse one that isn't good here and now.

    No app hears of it then, whatever its paths ask for: it could use the token where it is good.
    None where there is no app to be asked, of which the gate tells.
    """
    if app is not None and app not in context.apps:
        return None
    kind = Refusal
    try:
        found = context.terminals.by_token(shown_device_token(request.fields))
        wrong = _token_problem(found, app, context, now)
        kind = UnknownToken if found is None else Refusal
    except ValueError as error:
        found, wrong = None, str(error)
    refusal: Refusal
    if not is_confidential():
        whose = f"the token of terminal {found.id}" if found is not None else "a device token"
        what = f"{whose} came over plain http, where others can read it"
        refusal = ExposedToken(what, found.id if found is not None else "")
    elif wrong:
        asked_for = challenge_for(request, app, context, is_confidential)
        refusal = kind(Code.DEVICE_TOKEN_REFUSED, wrong, challenge=asked_for)
    else:
        return found
    if rates is not None:
        rates.count_stranger()
    raise refusal


def _token_problem(found: Terminal | None, app: str | None, context: Known, now: float) -> str:
    """Say for the owner why a device token isn't good at ``app``; "" where it is."""
    if found is None:
        return "the token is no device's, or of one that was removed"
    if found.app != app:
        return f"the token of terminal {found.id} is for {found.app or 'browsers'} alone"
    if app not in context.device_tokens:
        return f"the token of terminal {found.id}: device_tokens isn't true in {app}'s proxy.yaml"
    return "" if found.is_valid(now) else f"terminal {found.id} has expired"
