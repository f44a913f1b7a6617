"""Mixed load: strangers, signed and sealed calls, uploads and downloads, and somebody who replays.

Whatever happens to the Portals meanwhile, what was acknowledged was carried out, nothing was
carried out twice, and no part passed for a whole.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tests.wire.harness.raw import Raw, RawConnection, exchange, request
from tests.wire.harness.recorder import eventually
from tests.wire.harness.signer import sign_call

from .ledger import is_whole, marked

if TYPE_CHECKING:
    from .fault import Seen
    from .stage import Placed, Stage

NOT_DONE = frozenset({
    "peer_unreachable", "app_unreachable", "replayed", "replay_store_down", "out_of_time",
    "no_sealing_key", "contacts_unavailable", "app_busy", "too_many_requests",
})  # fmt: skip
"""Codes that say: this wasn't carried out."""
_REFUSED = (409, "replayed"), (401, "out_of_time")
_LARGE = 300_000
_SMALL = 500


@dataclass(frozen=True)
class Kind:
    """One kind of request: who sends it, and how."""

    name: str
    caller: Callable[[Stage], Placed | None]
    """Whose app calls; None for a stranger."""
    length: int
    is_read: bool = False


KINDS = (
    Kind("plain", lambda _: None, _SMALL),
    Kind("uploads", lambda _: None, _LARGE),
    Kind("downloads", lambda _: None, _LARGE, is_read=True),
    Kind("signed", lambda stage: stage.ada, _SMALL),
    Kind("signed downloads", lambda stage: stage.ada, _LARGE, is_read=True),
    Kind("sealed", lambda stage: stage.eda, _SMALL),
    Kind("sealed uploads", lambda stage: stage.eda, _LARGE),
    Kind("sealed downloads", lambda stage: stage.eda, _LARGE, is_read=True),
)


@dataclass
class Load:
    """The clients, each in a thread, until they are stopped."""

    stage: Stage
    acknowledged: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    """What came of the others."""
    wrong: Counter[str] = field(default_factory=Counter)
    _whole: list[int] = field(default_factory=list)
    _sent: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=40))
    """What somebody on the way has recorded."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _failures: list[BaseException] = field(default_factory=list)

    @contextmanager
    def at_work(self) -> Iterator[Load]:
        works = [*(partial(self._client, kind) for kind in KINDS), self._friend]
        threads = [threading.Thread(target=self._work, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        if self._failures:
            raise self._failures[0]

    def wait_for_all(self, times: int) -> None:
        """Wait until each kind was answered so often from now on."""
        before = Counter(self.acknowledged)
        kinds = [*(kind.name for kind in KINDS), "direct"]

        def all_were() -> bool:
            done = all(self.acknowledged[kind] - before[kind] >= times for kind in kinds)
            return done or bool(self._failures)

        eventually(all_were)

    def wait_a_moment(self, dice: random.Random) -> None:
        """Wait for some more requests, whichever: nothing may depend on the moment."""
        before, more = self.acknowledged.total(), dice.randrange(25)
        eventually(lambda: self.acknowledged.total() >= before + more or self._failures)

    def replay(self) -> None:
        """Send again what was recorded; nothing of it may be carried out once more."""
        for number, raw in list(self._sent):
            if not self.stage.app.done[number]:
                continue
            with suppress(OSError, EOFError):
                got = exchange(self.stage.bob.public, raw)
                self.answers[f"again: {got.status}"] += 1
                if (got.status, got.code if got.status != 200 else "") not in _REFUSED:
                    self.wrong[f"a replay got {got.status}"] += 1

    def judge(self, seen: Seen) -> None:
        """Note what must not have been."""
        app = self.stage.app
        for what, count in self.wrong.items():
            seen.otherwise[what] += count
        twice = [number for number, times in app.done.items() if times > 1]
        lost = [number for number in self._whole if not app.done[number]]
        seen.expect(not twice, f"{len(twice)} carried out twice")
        seen.expect(not lost, f"{len(lost)} acknowledged and lost")
        seen.expect(not app.parts, f"{len(app.parts)} parts of a body taken for the whole")
        seen.counts["acknowledged"] += self.acknowledged.total()
        seen.counts["lost"] += len(lost)
        seen.counts["carried out twice"] += len(twice)
        seen.counts["parts taken for the whole"] += len(app.parts)
        again = [count for what, count in self.answers.items() if what.startswith("again")]
        seen.counts["recorded calls sent again"] += sum(again)

    def _work(self, work: Callable[[], None]) -> None:
        try:
            while not self._stop.is_set():
                try:
                    work()
                except (OSError, EOFError) as error:
                    self.answers[type(error).__name__] += 1
                    time.sleep(0.02)  # nobody is there, or nobody any more
        except BaseException as error:  # noqa: BLE001 - a thread's, raised in the test's
            self._failures.append(error)

    def _client(self, kind: Kind) -> None:
        """Ask on one connection until it breaks."""
        caller = kind.caller(self.stage)
        port = caller.apps if caller else self.stage.bob.public
        with RawConnection(port) as wire:
            while not self._stop.is_set():
                number = self.stage.app.next()
                wire.send(self._request(kind, caller, number))
                got = wire.read()
                self._judge(kind.name, kind.is_read, number, got)
                if b"close" in got.all("connection"):
                    return

    def _request(self, kind: Kind, caller: Placed | None, number: int) -> bytes:
        target = f"/get/{number}/{kind.length}" if kind.is_read else f"/do/{number}"
        body = None if kind.is_read else marked(number, kind.length)
        method = "GET" if kind.is_read else "POST"
        if caller is None:
            host = ("Host", self.stage.bob.app_host("open"))
            return request(method, target, host, body=body)
        fields = (("Host", "portal_core"), ("Portal-Token", caller.token("peers")))
        path = f"/internal/call_peer/{self.stage.bob.id}{target}"
        return request(method, path, *fields, body=body)

    def _friend(self) -> None:
        """Call Bob signed, by hand; what was sent is recorded."""
        number, body = self.stage.app.next_body()
        target = b"/do/%d" % number
        call = sign_call(
            self.stage.friend, self.stage.bob, "peers", target, method=b"POST", body=body
        )
        self._sent.append((number, call.raw))
        self._judge("direct", False, number, exchange(self.stage.bob.public, call.raw))  # noqa: FBT003

    def _judge(self, kind: str, is_read: bool, number: int, got: Raw) -> None:  # noqa: FBT001
        if got.status == 200:
            expected = is_whole(got.body) if is_read else got.body == b"done %d" % number
            if not expected:
                self.wrong[f"{kind}: a part of a response taken for the whole"] += 1
            self.acknowledged[kind] += 1
            if not is_read:
                self._whole.append(number)
            return
        code = got.code
        self.answers[f"{got.status} {code}"] += 1
        if code in NOT_DONE and self.stage.app.done[number]:
            self.wrong[f"{kind}: {code}, and it was carried out"] += 1
