"""How workers get the sockets that their first process opens while they run: over a pair each.

A message is of one entrance: that it is open, with its descriptor; closed; or why it isn't open. A
worker begins with what was open when it was forked. It may hear of that again, and of what was
before: what it heard last holds.
"""

import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from proxy.config.apps import App
from proxy.config.listen import Address
from proxy.server.entrance_sockets import EntranceSockets, Key
from proxy.server.sockets import ListeningSocket
from proxy.transfer.disk_thread import DiskThread

_LONGEST = 1 << 16
_LONGEST_TEXT = 2000


class Handing:
    """The first process's side, and until they are forked the workers'."""

    def __init__(self, sockets: EntranceSockets, workers: int) -> None:
        self._sockets = sockets
        self._pairs = [
            socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(workers)
        ]
        self._told: list[dict[Key, ListeningSocket]] = [{} for _ in range(workers)]
        self._problems: list[dict[Key, str]] = [{} for _ in range(workers)]
        for ours, theirs in self._pairs:
            ours.setblocking(False)  # noqa: FBT003 - the socket API
            theirs.setblocking(False)  # noqa: FBT003 - as above

    def follow(self, apps: Mapping[str, App]) -> None:
        """Open and close what is to be, and tell the workers."""
        self._sockets.follow(apps)
        for number in range(len(self._pairs)):
            # One that doesn't listen just now hears of the rest at the next look.
            with suppress(BlockingIOError):
                self._tell(number)

    def of_worker(self, number: int) -> "HandedSockets":
        """Return the side of one worker; called in that worker, just forked."""
        for other, (ours, theirs) in enumerate(self._pairs):
            ours.close()
            if other != number:
                theirs.close()
        return HandedSockets(self._pairs[number][1], self._sockets)

    def close(self) -> None:
        """Tell nobody any more."""
        for pair in self._pairs:
            for each in pair:
                each.close()

    def _tell(self, number: int) -> None:
        ours, told, problems = self._pairs[number][0], self._told[number], self._problems[number]
        current, why = self._sockets.current, self._sockets.problems
        for key in [key for key in told if current.get(key) is not told[key]]:
            ours.send(_message(key, "close"))
            del told[key]
        for key in current.keys() - told.keys():
            opened = current[key]
            file = [str(opened.file[0]), opened.file[1]] if opened.file else None
            message = _message(key, "open", file)
            socket.send_fds(ours, [message], [opened.socket.fileno()])
            told[key] = opened
        for key in problems.keys() | why.keys():
            if problems.get(key) != why.get(key):
                ours.send(_message(key, "problem", why.get(key, "")[:_LONGEST_TEXT]))
                if key in why:
                    problems[key] = why[key]
                else:
                    del problems[key]


class HandedSockets:
    """The sockets of one worker."""

    def __init__(self, channel: socket.socket, begun: EntranceSockets) -> None:
        self._channel = channel
        self.current: dict[Key, ListeningSocket] = dict(begun.current)
        self.problems: dict[Key, str] = dict(begun.problems)
        for listening in self.current.values():
            listening.is_shared = True

    async def look(self, apps: Mapping[str, App], thread: DiskThread) -> None:
        """Take over what the first process said; nothing here waits."""
        del apps, thread
        with suppress(BlockingIOError):
            while self._take_one():
                pass

    def close(self) -> None:
        """Let go of all of them."""
        self._channel.close()
        for listening in self.current.values():
            listening.close()

    def _take_one(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._channel, _LONGEST, 1)
        if not data:
            return False  # the first process has gone
        said: dict[str, Any] = json.loads(data)
        key = Key(said["app"], Address(**said["address"]))
        what, more = said["what"], said["more"]
        if what == "problem":
            self.problems.pop(key, None)
            if more:
                self.problems[key] = more
            return True
        before = self.current.get(key)
        opened = None
        if what == "open" and descriptors:
            os.set_inheritable(descriptors[0], False)  # noqa: FBT003 - the os API
            file = (Path(more[0]), int(more[1])) if more else None
            opened = ListeningSocket(socket.socket(fileno=descriptors[0]), False, file, True)  # noqa: FBT003
            if before is not None and _is_same(before, opened):
                opened.close()
                return True
        if before is not None:
            del self.current[key]
            before.close()
        if opened is not None:
            self.current[key] = opened
        return True


def _message(key: Key, what: str, more: object = None) -> bytes:
    address = key.address
    where = {"host": address.host, "port": address.port}
    where |= {"unix": address.unix, "mode": address.mode}
    said = {"app": key.app, "address": where, "what": what, "more": more}
    return json.dumps(said).encode("ascii")


def _is_same(one: ListeningSocket, other: ListeningSocket) -> bool:
    return os.fstat(one.socket.fileno()).st_ino == os.fstat(other.socket.fileno()).st_ino
