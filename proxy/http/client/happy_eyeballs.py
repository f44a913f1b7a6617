"""Connecting to one of a name's addresses: the first that answers (RFC 8305, section 5)."""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Iterable
from itertools import chain, zip_longest

from proxy.http.client.resolver import Address, Addresses

NEXT_ADDRESS = 0.25
"""Seconds until the next address of a name is tried beside the first."""
OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
"""That this process, or the machine, can open no more."""


async def dial(addresses: Addresses, delay: float | None) -> socket.socket:
    """Return a connected socket; raises ``OSError`` where no address takes a connection.

    The next address is tried where one fails, and beside those that are silent after each ``delay``
    in seconds. None waits for each of them.
    """
    waiting = deque(_by_turns(addresses))
    trying: set[asyncio.Task[socket.socket]] = set()
    errors: list[str] = []
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.create_task(_connect(waiting.popleft())))
            timeout = delay if waiting else None
            await asyncio.wait(trying, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for attempt in [attempt for attempt in trying if attempt.done()]:
                trying.remove(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                if isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS:
                    raise error  # no other address would help
                errors.append(str(error))
    finally:
        _give_up(trying)
    raise OSError("; ".join(errors) or "the name has no address")


async def _connect(address: Address) -> socket.socket:
    opened = socket.socket(address.family, socket.SOCK_STREAM, address.protocol)
    try:
        opened.settimeout(0)
        await asyncio.get_running_loop().sock_connect(opened, address.where)
    except BaseException:
        opened.close()
        raise
    return opened


def _give_up(attempts: Iterable[asyncio.Task[socket.socket]]) -> None:
    for attempt in attempts:
        if not attempt.cancel() and not attempt.cancelled() and attempt.exception() is None:
            attempt.result().close()


def _by_turns(addresses: Addresses) -> list[Address]:
    """Return the addresses with those of each family by turns, the first one's first."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    return [each for each in chain(*zip_longest(*families.values())) if each is not None]
