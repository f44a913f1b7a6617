"""One request and its response over one connection, both ways at once, by callbacks.

    state       what happens                told to the receiver                   next state
    CONNECTING  a connection is there       resume_body (of a body that streams)   HEAD
    HEAD        an interim response         interim_received, or body_invited      HEAD
    HEAD        the final head              head_received                          CONTENT
    HEAD        a 101 that was asked for    head_received                          RAW
    CONTENT     content                     content_received                       CONTENT
    CONTENT     the response's end          content_received(..., ends=True)       WHOLE
    RAW         bytes                       content_received                       RAW
    RAW         the other side's end        content_received(b"", ends=True)       SENDING, or WHOLE
    RAW         our end                     -                                      RAW, then WHOLE
    SENDING     our end                     -                                      WHOLE
    but WHOLE   a failure                   exchange_failed                        FAILED
    any         ``finish``                  -                                      (no receiver)

What a pause left untold waits in ``_held``, which belongs to one read; behind it waits the failure.
While something is told ``_held`` is a list too, so that whatever comes meanwhile stands behind it.

The response may begin, and end, before the request's body does: then the rest of the body stays
unsent and the connection is given up. A body that isn't what its framing says is never passed on.
"""

import asyncio
from enum import Enum, auto
from typing import cast

from proxy.core.http1.framing import Persistence, persistence
from proxy.core.http1.grammar import ResponseHead
from proxy.core.http1.reader import END, SWITCHING_PROTOCOLS, Interim
from proxy.core.http1.writer import request_head
from proxy.http.client.connection import Connection
from proxy.http.client.pool import Place, Pool
from proxy.http.client.request_body import RequestBody
from proxy.http.client.server_history import SILENT_SECONDS
from proxy.http.upstream import ResponseReceiver, UpstreamFailed, UpstreamRequest

_CONTINUE = 100
_AT_ONCE = 32 * 1024
"""Bytes of a body that are copied behind the head, to go out in one write."""
_INTERIMS = 16
"""Interim responses that are told in one turn: an endless row of them must not starve others."""
_ENDS = Persistence(keeps=False, options=frozenset())


class At(Enum):
    """Where an exchange is; see above."""

    CONNECTING = auto()
    HEAD = auto()
    CONTENT = auto()
    RAW = auto()
    SENDING = auto()
    WHOLE = auto()
    FAILED = auto()


_CONNECTING, _HEAD, _CONTENT, _RAW = At.CONNECTING, At.HEAD, At.CONTENT, At.RAW
_SENDING, _WHOLE, _FAILED = At.SENDING, At.WHOLE, At.FAILED


class Exchange:
    """The life of one request: made, begun, finished.

    After ``finish`` the connection may be another's: nothing is read from it or written to it
    through here any more.
    """

    __slots__ = (
        "__weakref__", "_at", "_body", "_connecting", "_connection", "_failure",
        "_has_ended_early", "_has_said_end", "_held", "_is_due", "_is_paused", "_is_raw", "_loop",
        "_persistence", "_place", "_pool", "_receiver",
    )  # fmt: skip

    def __init__(
        self, pool: Pool, place: Place, receiver: ResponseReceiver, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._pool = pool
        self._place = place
        self._receiver: ResponseReceiver | None = receiver
        self._loop = loop
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._at = _CONNECTING
        self._persistence = _ENDS
        self._held: list[object] | None = None
        self._failure: UpstreamFailed | None = None
        self._is_paused = False
        self._is_due = False
        """Whether what is held is told in the loop's next turn."""
        self._is_raw = self._has_said_end = False
        self._body: RequestBody | None = None
        self._has_ended_early = False
        """Whether the response was whole before the request's body was."""

    # How it begins.

    def begin(self, request: UpstreamRequest) -> None:
        """Send ``request``, once there is a connection; nothing is told before this returns.

        Raises ``ValueError`` for a head that can't be sent, our bug: nothing has begun then.
        """
        head = request_head(request.method, request.target, request.fields)
        if request.streams or request.body is not None:
            self._body = body = RequestBody(request)
            if body.own is not None and not body.waits:
                self.send(body.take_own(), ends=True)
                if self._failure is not None:
                    return
        now = self._loop.time()
        connection = self._pool.take(self._place, request.caller, now)
        if connection is not None:
            self._start(connection, request, head, now)
        else:
            self._connecting = self._loop.create_task(self._connect(request, head))

    async def _connect(self, request: UpstreamRequest, head: bytes) -> None:
        try:
            connection = await self._pool.connect(self._place.server, request.timeouts.connect)
        except UpstreamFailed as failed:
            self._connecting = None
            # Not the one that was raised: its traceback refers to this exchange.
            self.take([], UpstreamFailed(failed.detail, timeout=failed.timeout, sent=failed.sent))
            return
        except BaseException as error:  # our bug, or the loop's end
            self._connecting = None
            self.take([], UpstreamFailed(f"no connection: {error}", sent=False))
            raise
        self._connecting = None
        self._start(connection, request, head, self._loop.time())
        if self._receiver is not None and self._may_send and not connection.is_blocked:
            self._receiver.resume_body()

    def _start(
        self, connection: Connection, request: UpstreamRequest, head: bytes, now: float
    ) -> None:
        self._connection, self._at = connection, _HEAD
        upgrade = b"\nupgrade: " in head  # as a line begins: no value has a line's end
        body, rest = self._body, None
        if body is not None:
            rest = body.take_unsent()
            if rest and len(rest[0]) <= _AT_ONCE:
                head += rest.pop(0)
        connection.begin(self, request.method, head, request.timeouts, now, upgrade=upgrade)
        for piece in rest or ():
            connection.write(piece)
        if body is not None and body.waits:
            body.wait(self._loop, self._invite, comes=self._place.server.invites(now))

    # What the receiver calls.

    @property
    def is_blocked(self) -> bool:
        """Whether to send of the body only behind ``resume_body``: at first, until connected."""
        connection = self._connection
        return connection is None or connection.is_blocked or not connection.is_open

    def send(self, piece: bytes, *, ends: bool = False) -> None:
        """Send a piece of the request's body, or behind a 101 of the raw stream."""
        if self._receiver is None or self._failure is not None:
            return
        if self._is_raw:
            self._send_raw(piece, ends=ends)
            return
        body = self._body
        if body is None:
            mistake = "no body was announced" if piece else ""
        else:
            mistake = body.mistake_of(piece, ends=ends)
        if mistake:
            self._fail(UpstreamFailed(mistake, sent=self._connection is not None))
            self._tell_soon()
        elif body is not None and not body.is_whole:
            body.wait_no_more()
            out = body.framed(piece, ends=ends)
            if self._connection is None:
                body.unsent.append(out)
            elif out:
                self._connection.write(out)

    def _send_raw(self, piece: bytes, *, ends: bool) -> None:
        connection = self._connection
        if connection is None or self._has_said_end:
            return
        connection.write(piece)
        if ends:
            self._has_said_end = True
            connection.write_end()
            if self._at is _SENDING:
                self._at = _WHOLE

    def pause(self) -> None:
        """Take no more of the response; what has come waits, and so does a failure behind it."""
        self._is_paused = True

    def resume(self) -> None:
        """Take the response again."""
        if self._is_paused:
            self._is_paused = False
            if self._held is not None:
                self._tell_soon()
            elif self._connection is not None:
                self._connection.resume()

    def finish(self) -> None:
        """End it, and give the connection back or up. A second call does nothing."""
        if self._at is _WHOLE:
            self._end(is_whole=True)
        else:
            is_all_held = self._held is not None and self._held[:1] == [END]
            self._end(is_whole=is_all_held and not self._is_raw)

    def give_up(self) -> None:
        """End it, and give the connection up: what was told of the response wasn't taken."""
        self._end(is_whole=False)

    def _end(self, *, is_whole: bool) -> None:
        self._receiver = self._held = None
        body, connection = self._body, self._connection
        if body is not None:
            body.wait_no_more()
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if connection is None:
            return
        self._connection = None
        connection.leave()
        if not is_whole or self._has_ended_early or not (body is None or body.is_whole):
            connection.break_off(UpstreamFailed("the exchange was given up"))
        elif self._is_raw:
            connection.close()
        else:
            self._pool.give_back(self._place, connection, body, self._persistence)

    # What the connection tells.

    @property
    def is_waiting(self) -> bool:
        """Whether the other side is the one to say something now."""
        return not self._is_paused and self._held is None and self._at in (_HEAD, _CONTENT, _RAW)

    def take(self, events: list[object], failure: UpstreamFailed | None) -> None:
        """Take the reader's next events, and the failure behind them, if there is one."""
        if failure is not None and self._failure is None:
            self._failure = failure
        body = self._body
        if body is not None and events and events[-1] is END and not self._is_raw:
            connection = cast(Connection, self._connection)
            self._has_ended_early = not body.is_whole or connection.unsent > 0
        if self._held is None:
            self._held = events
            self._tell(events)
        else:
            self._held += events

    def body_blocked(self) -> None:
        """Take note that the other side takes nothing more for now."""
        if self._receiver is not None and self._may_send:
            self._receiver.pause_body()

    def body_unblocked(self) -> None:
        """Take note that it does again."""
        if self._receiver is not None and self._may_send:
            self._receiver.resume_body()

    @property
    def _may_send(self) -> bool:
        """Whether the receiver may have something more to send."""
        if self._at is _WHOLE or self._failure is not None:
            return False
        if self._is_raw:
            return not self._has_said_end
        body = self._body
        return body is not None and body.streams and not body.is_whole

    # What is told.

    def _tell(self, events: list[object]) -> None:
        """Tell what is held, as far as the receiver takes it, and the failure behind it."""
        at = interims = 0
        while at < len(events):
            receiver, connection = self._receiver, self._connection
            if receiver is None or connection is None:
                break
            if self._is_paused or interims == _INTERIMS:
                self._hold_back(events, at, connection)
                return
            event = events[at]
            at += 1
            if type(event) is bytes:
                if at < len(events) and events[at] is END and self._at is _CONTENT:
                    at += 1
                    self._at = _WHOLE
                    receiver.content_received(event, ends=True)
                else:
                    receiver.content_received(event, ends=False)
            elif type(event) is ResponseHead:
                if not self._take_head(event, connection, receiver):
                    break
            elif event is END:
                self._take_end(receiver)
            else:
                interims += 1
                self._take_interim(cast(Interim, event).head)
        self._held = None
        if self._failure is not None:
            self._tell_failure()

    def _hold_back(self, events: list[object], at: int, connection: Connection) -> None:
        """Tell no more for now; what was told makes room."""
        del events[:at]
        connection.pause()
        if not self._is_paused:
            self._tell_soon()

    def _take_head(
        self, head: ResponseHead, connection: Connection, receiver: ResponseReceiver
    ) -> bool:
        """Tell of the final head, unless it can't be one."""
        server, status, body = self._place.server, head.status, self._body
        server.note_response(head.minor, status, connection.moved_at)
        if body is not None and body.is_uninvited:
            server.silent_until = connection.moved_at + SILENT_SECONDS
        if status != SWITCHING_PROTOCOLS:
            self._at = _CONTENT
            self._persistence = persistence(head.fields, head.minor)
        elif body is None or body.is_whole:
            self._at, self._is_raw = _RAW, True
            connection.disable_timeouts()
        else:
            self._at = _CONTENT  # its server answered: nothing is learned from this failure
            self._fail(UpstreamFailed("an upgrade in the middle of the request's body"))
            return False
        receiver.head_received(status, head.fields)
        return True

    def _take_end(self, receiver: ResponseReceiver) -> None:
        """Tell of the end by itself."""
        self._at = _SENDING if self._is_raw and not self._has_said_end else _WHOLE
        receiver.content_received(b"", ends=True)

    def _take_interim(self, head: ResponseHead) -> None:
        if head.status == _CONTINUE:
            if self._body is not None and self._body.waits:
                self._invite()
        elif self._receiver is not None:
            self._receiver.interim_received(head.status, head.fields)

    def _invite(self) -> None:
        """Send the body that waits for its invitation, or have it sent."""
        body = self._body
        if body is None or self._receiver is None or self._failure or self._at is _WHOLE:
            return
        body.wait_no_more()
        if body.own is not None:
            self.send(body.take_own(), ends=True)
        else:
            self._receiver.body_invited()

    def _tell_soon(self) -> None:
        if self._held is None:
            self._held = []
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._tell_held)

    def _tell_held(self) -> None:
        self._is_due = False
        held = self._held
        if self._receiver is None or self._is_paused or held is None:
            return
        self._tell(held)
        if self._connection is not None and self.is_waiting:
            self._connection.resume()

    def _fail(self, failure: UpstreamFailed) -> None:
        """Note that it failed, by us; whoever calls this sees to it that it is told."""
        if self._failure is None:
            self._failure = failure
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        if self._connection is not None:
            self._connection.break_off(failure)

    def _tell_failure(self) -> None:
        """Tell of the failure, unless the end was told before."""
        receiver, failure, connection = self._receiver, self._failure, self._connection
        if receiver is None or failure is None or self._at is _WHOLE or self._at is _FAILED:
            return
        if self._is_paused:
            self._held = []
            return
        is_kept = connection is not None and connection.idle_since > 0
        if is_kept and self._at is _HEAD and not failure.timeout:
            self._place.server.disable_keep_alive(self._loop.time())
        self._at = _FAILED
        receiver.exchange_failed(failure)
