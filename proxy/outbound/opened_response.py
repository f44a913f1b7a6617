"""The response to a sealed call, opened as it comes: pieces of the envelope in, of the body out.

What comes out was authenticated. That it is whole is only known once the end was opened.
"""

from proxy.core.binary_http.message import Malformed, ResponseHead
from proxy.core.binary_http.reader import ResponseReader
from proxy.core.http.headers import content_length
from proxy.core.http1.framing import bodiless
from proxy.core.sealing.chunks import CannotOpen
from proxy.core.sealing.message import Event, MessageOpener
from proxy.core.sealing.request import RequestSealer


class OpenedResponse:
    """One response."""

    __slots__ = ("_left", "_method", "_opener", "_pieces", "head", "is_whole")

    def __init__(self, request: RequestSealer, method: bytes) -> None:
        """``request`` sealed what this is the response to, whose method is ``method``."""
        self._opener = MessageOpener(request.response_opener(), ResponseReader(method))
        self._method = method
        self._pieces: list[bytes] = []
        """What was opened of the body and isn't given out yet."""
        self._left: int | None = None
        """Bytes of it that weren't given out yet, where the head says how many there are."""
        self.head: ResponseHead | None = None
        self.is_whole = False
        """Whether everything of it has come, and was opened."""

    def receive(self, piece: bytes, *, ends: bool) -> str:
        """Take a piece; return what is wrong behind all that was opened, "" where nothing is."""
        events: list[Event] = []
        failure = ""
        try:
            if piece:
                events = self._opener.feed(piece)
            if ends:
                events += self._opener.end()
                self.is_whole = True
        except (CannotOpen, Malformed) as error:
            failure = str(error)
        for event in events:
            if isinstance(event, bytes):
                self._pieces.append(event)
            elif isinstance(event, ResponseHead):
                self.head = event
                self._left = content_length(event.fields)
        return failure

    @property
    def has_begun(self) -> bool:
        """Whether its head is there, to be told.

        Of one without a body not before it is whole: there is nothing else to wait for, and a
        refusal can be told until then.
        """
        head = self.head
        return head is not None and (self.is_whole or not bodiless(self._method, head.status))

    @property
    def is_over(self) -> bool:
        """Whether it is whole and nothing of it is left to give out."""
        return self.is_whole and not self._pieces

    def next_piece(self) -> bytes | None:
        """Return the next piece of the body; None until there is more, and behind the last.

        Where its length was told, the last piece is kept back until the message is whole: with it
        whoever counts along would take the body for complete.
        """
        if not self._pieces:
            return None
        if self._left is not None:
            size = len(self._pieces[0])
            if size >= self._left and not self.is_whole:
                return None
            self._left -= size
        return self._pieces.pop(0)
