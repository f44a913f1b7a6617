"""How long clients, apps and peers may take: ``timeouts`` and ``grace`` of portal.yaml.

The minimum rate of a body isn't among them: it holds only where connections are short, and nobody
could say what to set it to (docs/decisions, 0013).
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import PlainValidator

from proxy.core.text_files.duration import read_duration
from proxy.core.text_files.schema import Section

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@dataclass(frozen=True)
class Timeouts:
    """Seconds for each phase."""

    head: float = 15.0
    """From the first byte of a client's request to the end of its head; also a TLS handshake."""
    idle: float = 75.0
    """Between two requests of a client."""
    client_body: float = 60.0
    """In which a client may send nothing of a body that is due."""
    client_send: float = 60.0
    """In which a client may take nothing of what is sent to it."""
    app_connect: float = 10.0
    app_answer: float = 90.0
    """In which an app may send and take nothing at all."""
    peer_connect: float = 10.0
    peer_answer: float = 105.0
    """The same of a peer: longer, so that its proxy is the first to give up on its app."""


DEFAULT_TIMEOUTS = Timeouts()
GRACE = 7.0
"""Seconds that running requests get to finish; container engines kill after ten."""

Head = Annotated[float, PlainValidator(partial(read_duration, shortest=1, longest=10 * _MINUTE))]
Idle = Annotated[float, PlainValidator(partial(read_duration, shortest=1, longest=_DAY))]
Connecting = Annotated[float, PlainValidator(partial(read_duration, shortest=0.1, longest=_HOUR))]
Silence = Annotated[float, PlainValidator(partial(read_duration, shortest=0.1, longest=7 * _DAY))]
Grace = Annotated[float, PlainValidator(partial(read_duration, shortest=0, longest=_HOUR))]


class TimeoutsFile(Section):
    """How long clients, apps and peers may take."""

    head: Head = DEFAULT_TIMEOUTS.head
    idle: Idle = DEFAULT_TIMEOUTS.idle
    client_body: Silence = DEFAULT_TIMEOUTS.client_body
    client_send: Silence = DEFAULT_TIMEOUTS.client_send
    app_connect: Connecting = DEFAULT_TIMEOUTS.app_connect
    app_answer: Silence = DEFAULT_TIMEOUTS.app_answer
    peer_connect: Connecting = DEFAULT_TIMEOUTS.peer_connect
    peer_answer: Silence = DEFAULT_TIMEOUTS.peer_answer

    def values(self) -> Timeouts:
        return Timeouts(**self.model_dump())
