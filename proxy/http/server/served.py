"""What a connection gets from whoever runs it, in uvicorn's form: its app, and what is open.

``proxy.server.listener`` has these. uvicorn's own ``Config`` and ``ServerState`` are the same to a
connection, so it runs under uvicorn as well; importing that for the two would cost every Portal
two megabytes.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Protocol


class HasApp(Protocol):
    """Holds an app, once it is loaded."""

    loaded: bool
    loaded_app: Any

    def load(self) -> None:
        """Find the app."""


class HasOpen(Protocol):
    """Counts what is open."""

    total_requests: int

    @property
    def connections(self) -> set[Any]:
        """The connections that are there."""

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """What runs for their requests."""


@dataclass(eq=False)
class ServedApp:
    """An app that is there from the beginning."""

    loaded_app: Any
    loaded: bool = True

    def load(self) -> None:
        """Do nothing."""


@dataclass(eq=False)
class Open:
    """What is open at one listener."""

    connections: set[Any] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    total_requests: int = 0
