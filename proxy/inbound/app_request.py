"""Requests as the apps get them: what of each goes on, and what we say of who is calling."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from proxy.config.apps import App
from proxy.core.access.destination_header import FIELD as DESTINATION
from proxy.core.access.destination_header import at_told_origin
from proxy.core.access.policy import Caller
from proxy.core.app_fields import fields_for_app, fields_from_us, identity_fields
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Admission, Request
from proxy.core.http.forwarded import ForwardedChain, Scheme, fields_of_forwarded_chain
from proxy.core.http.headers import Field, values_of
from proxy.core.signature.response import Question
from proxy.core.websocket.handshake import fields_for_app as handshake_for_app
from proxy.http.upstream import BytesBody, UpstreamRequest, UpstreamTimeouts
from proxy.inbound.dropped_names import DroppedNamesLog
from proxy.portal import Portal
from proxy.transfer.body import SMALL
from proxy.transfer.buffered_body import BufferedBody

EMPTY: Field = (b"content-length", b"0")
_LOOP = b"cdn-loop"
"""RFC 8586: through whom a request came that may not come again."""
_DROPPED = "a field %s isn't handed on to this app (its name could change what is asked for)"


class AppRequests:
    """The requests to one Portal's apps."""

    def __init__(self, portal: Portal, dropped_names: DroppedNamesLog) -> None:
        self._portal = portal
        self._dropped_names = dropped_names
        self._loop_marks: dict[str, tuple[bytes, Callable[[bytes], object]]] = {}

    def streamed(
        self,
        request: Request,
        admission: Admission,
        app: App,
        chain: ForwardedChain,
        framing: Field | None,
        *,
        is_upgrade: bool = False,
    ) -> UpstreamRequest:
        """Return the request with a body that is still coming; raises ``Refusal``.

        ``framing`` is the body's, None where there is none.
        """
        streams = framing is not None and framing != EMPTY
        outgoing = self._to_app(request, admission, app, chain, framing, streams=streams)
        if is_upgrade:
            return replace(outgoing, fields=handshake_for_app(outgoing.fields))
        if streams and request.seal is None and values_of(request.fields, b"expect"):
            # The client's body is asked for when the app asks for it, or a second later; where it
            # comes unasked, it is sent along.
            fields = (*outgoing.fields, (b"expect", b"100-continue"))
            outgoing = replace(outgoing, fields=fields)
        return outgoing

    def buffered(
        self,
        request: Request,
        admission: Admission,
        app: App,
        chain: ForwardedChain,
        framing: Field | None,
        body: BufferedBody,
    ) -> UpstreamRequest:
        """Return the request with a body that is here and proven; raises ``Refusal``.

        A small one goes along with it.
        """
        if framing is None:
            return self._to_app(request, admission, app, chain, None)
        length = (b"content-length", b"%d" % body.size)
        if body.size > SMALL:
            return self._to_app(request, admission, app, chain, length, streams=True)
        small = BytesBody(body.read(SMALL))
        return self._to_app(request, admission, app, chain, length, small)

    def _to_app(
        self,
        request: Request,
        admission: Admission,
        app: App,
        chain: ForwardedChain,
        framing: Field | None,
        body: BytesBody | None = None,
        *,
        streams: bool = False,
    ) -> UpstreamRequest:
        """Return the request as the app gets it, with our word on who is calling, and from where.

        What the owner set as the app's Host takes the place of the one that was asked for in the
        request, and not in what is told.
        """
        rule = admission.rule
        if rule is None:
            raise TypeError("only a request for an app can be sent to one")
        mark, names_it = self._loop_mark(app)
        if any(map(names_it, values_of(request.fields, _LOOP))):
            raise Refusal(Code.LOOP_DETECTED, f"the upstream of {app.name} leads back to it")
        caller = admission.caller
        if admission.question is not None:
            host = asked_for = authority_for_peers(admission.question, app)
            scheme: Scheme | None = app.peer_scheme
        else:
            (host, asked_for), scheme = self._hosts(request, app, chain), None
        forwarding = fields_of_forwarded_chain(chain, asked_for, scheme)
        if rule.headers:
            ours = fields_from_us(rule, caller, self._portal.variables(caller), forwarding)
        else:
            ours = [*identity_fields(caller), *forwarding]
        if framing is not None:
            ours.append(framing)
        theirs, dropped = fields_for_app(admission.fields, app.fields)
        if admission.question is not None and values_of(request.fields, DESTINATION):
            told = b"%b://%b" % (app.peer_scheme.encode("ascii"), asked_for)
            theirs = at_told_origin(theirs, app.name, self._portal.hosts, told)
        for name in dropped:
            self._dropped_names.tell(app.name, caller.type, _DROPPED, name)
        times = self._portal.config.timeouts
        silence = times.app_answer if app.answer_timeout is None else app.answer_timeout
        return UpstreamRequest(
            app.upstream,
            request.method,
            admission.target.raw,
            # Host stands first, and once: theirs was taken out with what belongs to one hop.
            ((b"host", app.host or host), *theirs, *ours, (_LOOP, mark)),
            body,
            _timeouts(times.app_connect, silence),
            caller=_named(caller),
            streams=streams,
        )

    def _hosts(self, request: Request, app: App, chain: ForwardedChain) -> tuple[bytes, bytes]:
        """Return the Host that the app gets, and the one that it is told was asked for.

        The latter is what a web server before us was asked for, if that leads to the same app:
        whoever could name any other would have the app write links to it.
        """
        host, told = values_of(request.fields, b"host")[0], chain.host
        return host, told if told and self._portal.hosts.leads_to(told, app.name) else host

    def _loop_mark(self, app: App) -> tuple[bytes, Callable[[bytes], object]]:
        """Return what a request to ``app`` carries, and what finds it in a field: the app's name.

        A name and no secret: who sends it with a request has that one request refused.
        """
        mark = self._loop_marks.get(app.name)
        if mark is None:
            name = self._portal.hosts.origin.of_app(app.name).host.encode("ascii")
            member = rb"(?:\A|,)[ \t]*" + re.escape(name) + rb"[ \t]*(?:[;,]|\Z)"
            mark = self._loop_marks[app.name] = name, re.compile(member, re.IGNORECASE).search
        return mark


def authority_for_peers(question: Question, app: App) -> bytes:
    """Return what an app is told that a peer asked for: what its caller wrote.

    That is without a port, and with ``http``. What the app makes of it, a redirect or a link, leads
    back through the caller's Portal; an https address would lead past it. A peer's request is for
    the authority that it signed, whatever Host it came with.
    """
    signed = question.message.authority
    told = signed if app.peer_scheme == "https" else signed.partition(":")[0]
    return told.encode("ascii")


def _named(caller: Caller) -> str:
    """Return who alone may use a connection again that carried a body of ``caller``'s.

    All strangers are one, and so are the owner's devices.
    """
    return caller.id if caller.type == "peer" else caller.type


@lru_cache
def _timeouts(connect: float, silence: float) -> UpstreamTimeouts:
    return UpstreamTimeouts(connect, silence, silence)
