"""``health``: whether every listener of this Portal answers."""

import asyncio
import os
from dataclasses import dataclass

import typer

from proxy.cli.files import DEFAULT_FOLDER, AsJson, ConfigFolder, open_portal
from proxy.cli.output import FAILED, remark, say, say_json
from proxy.config import Address

TIMEOUT = 3.0
"""Seconds for all of it: connecting, asking and the first line of the answer."""

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - not bound, mapped
"""What to connect to where a listener takes every address."""


@dataclass(frozen=True)
class Answer:
    """What became of one listener; ``trouble`` is "" where it answered."""

    listener: str
    address: str
    trouble: str


def health(*, config: ConfigFolder = DEFAULT_FOLDER, as_json: AsJson = False) -> None:
    """Ask every listener whether it answers.

    Exit status 0 when each one does: any HTTP answer within three seconds. Made for
    health checks of a running proxy.

    For example:
      portal-proxy health --config config/ada
    """
    listen = open_portal(config).config.listen
    answers = asyncio.run(
        _ask_all({"public": listen.public, "apps": listen.apps, "owner": listen.owner})
    )
    healthy = not any(answer.trouble for answer in answers)
    if as_json:
        listeners = [
            {"name": a.listener, "address": a.address, "ok": not a.trouble, "trouble": a.trouble}
            for a in answers
        ]
        say_json({"ok": healthy, "listeners": listeners})
    for answer in answers:
        if answer.trouble:
            remark(f"The {answer.listener} listener at {answer.address} {answer.trouble}.")
        elif not as_json:
            say(f"The {answer.listener} listener at {answer.address} answers.")
    if not healthy:
        raise typer.Exit(FAILED)


async def _ask_all(listeners: dict[str, Address]) -> list[Answer]:
    """Ask all listeners at once."""
    return await asyncio.gather(*(_ask(name, address) for name, address in listeners.items()))


async def _ask(listener: str, address: Address) -> Answer:
    """Ask one listener; every way of not answering becomes the end of a sentence."""
    trouble = ""
    try:
        async with asyncio.timeout(TIMEOUT):
            trouble = await _trouble_of(address)
    except TimeoutError:
        trouble = f"didn't answer within {TIMEOUT:g} seconds"
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        trouble = "doesn't speak HTTP"
    except (ConnectionRefusedError, FileNotFoundError):
        trouble = "can't be reached: nothing listens there"
    except OSError as error:
        trouble = f"can't be reached: {os.strerror(error.errno) if error.errno else error}"
    return Answer(listener, str(address), trouble)


async def _trouble_of(address: Address) -> str:
    """Send one request and read the first line of what comes back."""
    if address.unix:
        reader, writer = await asyncio.open_unix_connection(address.unix)
    else:
        host = _LOOPBACK.get(address.host, address.host)
        reader, writer = await asyncio.open_connection(host, address.port)
    try:
        writer.write(_REQUEST)
        first_line = await reader.readuntil(b"\n")
    finally:
        writer.close()
    return "" if first_line.startswith(b"HTTP/1.") else "doesn't speak HTTP"
