"""Looks at the sealing keys on disk, for envelopes whose key nobody here knows.

Another process may have just made it. One look at a time, however many bring such envelopes, and
none that anybody waits for without an end.
"""

import asyncio
from collections.abc import Callable

from proxy.state.sealing_keys import SealingKeyStore
from proxy.transfer.disk_thread import DiskThread

LOOK_WAIT = 1.0
"""Seconds that an envelope waits for a look at the sealing keys."""


class KeyLook:
    """The keys of ``store``, and the one look at them that may be under way."""

    __slots__ = ("_disk", "_running", "_store")

    def __init__(self, store: SealingKeyStore) -> None:
        self._store = store
        self._disk = DiskThread("sealing keys of others")
        self._running: asyncio.Task[None] | None = None

    def begin(self, on_over: Callable[[], None]) -> "AwaitedLook":
        """Look once more; ``on_over`` is called behind it, or when it takes too long."""
        if self._running is None or self._running.done():
            look = self._disk.run(self._store.look_again)
            self._running = asyncio.get_running_loop().create_task(look)
        return AwaitedLook(self._running, on_over)


class AwaitedLook:
    """A look that somebody waits for; ``on_over`` is called once, unless it was cancelled."""

    __slots__ = ("_look", "_on_over", "_timer")

    def __init__(self, look: asyncio.Task[None], on_over: Callable[[], None]) -> None:
        self._look = look
        self._on_over: Callable[[], None] | None = on_over
        self._timer = look.get_loop().call_later(LOOK_WAIT, self._end)
        look.add_done_callback(self._end)

    def cancel(self) -> None:
        """Wait no more. The look goes on, for others."""
        self._on_over = None
        self._timer.cancel()
        self._look.remove_done_callback(self._end)

    def _end(self, _: object = None) -> None:
        on_over = self._on_over
        self.cancel()
        if on_over is not None:
            on_over()
