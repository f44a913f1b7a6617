"""Has a certificate issued, by a process of its own that ends with it.

The library waits for the network, and takes memory that nobody needs for another two months; a
process does neither to who serves. It is killed where it takes too long, and with us.
"""

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import replace

from proxy.acme.advice import advice
from proxy.acme.challenges import Challenges
from proxy.acme.order import GO, LONGEST_LINE, Failure, NoMessage, Order, Said, read_said

PATIENCE = 600.0
"""Seconds for all of it: an authority looks from several places, and more than once."""

_CLIENT = ("-P", "-m", "proxy.acme.client")
"""-P: a file of the current folder is never taken for a module."""
_NOT_PASSED_ON = frozenset({"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC"})


class NotIssued(Exception):
    """No certificate; the message says why, and what to do next."""


async def issue(
    order: Order, challenges: Challenges, listen: str = "port 80", patience: float = PATIENCE
) -> None:
    """Have ``order`` carried out, ``challenges`` answering meanwhile; raises ``NotIssued``."""
    await _carry_out(order, challenges, listen, patience)


async def terms_of(order: Order, patience: float = PATIENCE) -> str:
    """Return the URL of the authority's terms, "" where it has none; raises ``NotIssued``."""
    said = await _carry_out(replace(order, terms_only=True), Challenges(), "", patience)
    return said.terms or ""


async def _carry_out(order: Order, challenges: Challenges, listen: str, patience: float) -> Said:
    try:
        async with asyncio.timeout(patience):
            said = await _converse(order, challenges)
    except TimeoutError:
        said = Said(failure=Failure("timeout"))
    except OSError as error:
        said = Said(failure=Failure("ended", str(error)))
    except NoMessage as error:
        said = Said(failure=Failure("mistake", str(error)))
    if said.failure is not None:
        raise NotIssued(advice(said.failure, order, listen))
    return said


async def _converse(order: Order, challenges: Challenges) -> Said:
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_PASSED_ON}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *_CLIENT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, env=environment, limit=LONGEST_LINE,
        start_new_session=True,  # else Ctrl-C would reach it before us
    )  # fmt: skip
    try:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process that was started with pipes has none")
        process.stdin.write(order.line())
        await process.stdin.drain()
        said = await _next(process.stdout)
        if said.expect is not None:
            challenges.expect(said.expect)
            process.stdin.write(GO)
            await process.stdin.drain()
            said = await _next(process.stdout)
        return said
    finally:
        challenges.forget()
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _next(lines: asyncio.StreamReader) -> Said:
    try:
        line = await lines.readline()
    except ValueError:
        raise NoMessage("a line without an end") from None
    return read_said(line) if line else Said(failure=Failure("ended"))
