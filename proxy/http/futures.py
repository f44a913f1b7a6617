"""A future that somebody waits for until somebody else has something for it."""

import asyncio


def wake(waiting: asyncio.Future[None] | None) -> None:
    """Let whoever waits go on; do nothing where nobody does any more."""
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
