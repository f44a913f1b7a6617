"""What of an app's response goes on: its cookies stay its own, caches keep nobody's page."""

from collections.abc import Collection
from functools import lru_cache

from proxy.config.apps import App
from proxy.core.access.policy import ANONYMOUS
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, Request
from proxy.core.http.caching import is_for_shared_caches, kept_from_shared_caches
from proxy.core.http.forwarded import ForwardedChain
from proxy.core.http.headers import (
    RENAMED_IN_RESPONSES,
    Field,
    Fields,
    response_for_travel,
    values_of,
)
from proxy.core.http.redirect_to_itself import find_redirect_to_itself
from proxy.core.http.set_cookie import reaches_beyond
from proxy.inbound.app_request import authority_for_peers
from proxy.inbound.dropped_names import DroppedNamesLog
from proxy.portal import Portal
from proxy.transfer.response import passing_fields

_DROPPED_COOKIE = "its cookie %s isn't handed on: its Domain is more than the app's own host"


class AppResponses:
    """The responses of one Portal's apps."""

    def __init__(self, portal: Portal, dropped_names: DroppedNamesLog) -> None:
        self._portal = portal
        self._dropped_names = dropped_names

    def own_hosts(self, request: Request, app: str, chain: ForwardedChain) -> tuple[bytes, ...]:
        """Return the hosts by which the client may know the app, in lower case.

        Its public one; the one that was asked for, by an alias perhaps; and the one that a web
        server in front was asked for.
        """
        hosts = self._portal.hosts
        asked, told = values_of(request.fields, b"host")[0], chain.host
        own = _host(hosts.origin.of_app(app).host.encode("ascii")), _host(asked)
        return (*own, _host(told)) if told and hosts.leads_to(told, app) else own

    @staticmethod
    def refuse_redirect_to_itself(
        request: Request, admission: Admission, app: App, status: int, fields: Fields
    ) -> None:
        """Refuse a redirect that sends a peer off the way of its call, to ask the same again."""
        if admission.question is None or not 300 <= status <= 399:  # noqa: PLR2004 - redirects
            return
        told = authority_for_peers(admission.question, app)
        location = find_redirect_to_itself(
            request.method,
            admission.target.raw,
            status,
            fields,
            scheme=app.peer_scheme,
            authorities=(told,) if app.host is None else (told, app.host),
        )
        if location is None:
            return
        other = "http" if app.peer_scheme == "https" else "https"
        raise Refusal(
            Code.REDIRECTS_TO_ITSELF,
            f"{app.name} was told that a peer asked for {app.peer_scheme}://{told.decode()}, and "
            f"redirects to the same at {location.partition(b'?')[0][:200]!r}; if it insists on "
            f"{other}, set peer_scheme: {other} in its proxy.yaml",
        )

    def passing(
        self,
        request: Request,
        admission: Admission,
        status: int,
        their_fields: Fields,
        own: Collection[bytes],
    ) -> list[Field]:
        """Return the fields that go on to a client, or into an envelope."""
        self.tell_of_cookies(admission, their_fields, own)
        fields = passing_fields(request.method, status, their_fields, streams=True, own=own)
        if request.seal is not None:
            return response_for_travel(fields)
        return fields if admission.caller is ANONYMOUS else kept_from_shared_caches(fields)

    def to_sign(
        self,
        request: Request,
        admission: Admission,
        status: int,
        their_fields: Fields,
        own: Collection[bytes],
    ) -> tuple[Field, ...]:
        """Return the fields that are signed, under their travelling names."""
        self.tell_of_cookies(admission, their_fields, own)
        passing = passing_fields(request.method, status, their_fields, own=own)
        return tuple(
            response_for_travel(
                [
                    pair
                    for pair in passing
                    if pair[0] in RENAMED_IN_RESPONSES or not is_for_shared_caches(pair[0])
                ]
            )
        )

    @staticmethod
    def interim(status: int, fields: Fields, own: Collection[bytes]) -> list[Field]:
        """Return the fields of an interim response that go on."""
        return passing_fields(b"GET", status, fields, own=own)

    def tell_of_cookies(self, admission: Admission, fields: Fields, own: Collection[bytes]) -> None:
        """Tell the owner which cookies of an app don't go on."""
        for value in values_of(fields, b"set-cookie"):
            if reaches_beyond(value, own):
                name = value.partition(b"=")[0].strip()
                self._dropped_names.tell(
                    admission.app or "", admission.caller.type, _DROPPED_COOKIE, name
                )


@lru_cache
def _host(authority: bytes) -> bytes:
    """Return the host of a ``Host`` that leads to an app, without its port and its last dot."""
    return authority.lower().partition(b":")[0].removesuffix(b".")
