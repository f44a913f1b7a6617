"""What a worker gets of the sockets that its first process opens later; each has descriptors."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from proxy.config.apps import App
from proxy.config.listen import Address
from proxy.server.entrance_sockets import EntranceSockets, Key
from proxy.server.handed_sockets import HandedSockets, Handing
from proxy.transfer.disk_thread import DiskThread
from tests.server.test_entrance_sockets import _app


def _inode(worker: HandedSockets, key: Key) -> int:
    return os.fstat(worker.current[key].socket.fileno()).st_ino


def _close(handing: Handing, worker: HandedSockets, sockets: EntranceSockets) -> None:
    worker.close()
    handing.close()
    sockets.close_ours()


def _look(worker: HandedSockets) -> None:
    asyncio.run(worker.look({}, DiskThread("none")))


def test_a_worker_has_what_the_first_process_has(tmp_path: Path) -> None:
    one, two = (Address(unix=str(tmp_path / name)) for name in ("one", "two"))
    sockets = EntranceSockets({})
    handing = Handing(sockets, 2)
    handing.follow(_app("one", one))
    # The other side, as the worker would have it; the pair of the first worker is never read.
    worker = HandedSockets(handing._pairs[1][1], EntranceSockets({}))
    _look(worker)
    assert list(worker.current) == [Key("one", one)]
    assert worker.current[Key("one", one)].is_shared
    assert (
        _inode(worker, Key("one", one))
        == os.fstat(sockets.current[Key("one", one)].socket.fileno()).st_ino
    )
    before = worker.current[Key("one", one)]
    lost = Address(unix=str(tmp_path / "none" / "lost"))
    handing.follow(_app("one", one) | _app("two", two) | _app("lost", lost))
    _look(worker)
    assert worker.current[Key("one", one)] is before
    assert set(worker.current) == {Key("one", one), Key("two", two)}
    assert "can't be opened" in worker.problems[Key("lost", lost)]
    handing.follow(_app("two", two))
    _look(worker)
    assert (list(worker.current), worker.problems) == ([Key("two", two)], {})
    assert before.socket.fileno() == -1
    # Another one at the same place is another one.
    handing.follow({})
    handing.follow(_app("two", two))
    seen = _inode(worker, Key("two", two))
    _look(worker)
    assert _inode(worker, Key("two", two)) != seen
    _close(handing, worker, sockets)


def test_one_that_was_forked_later_hears_of_it_again_and_keeps_what_it_has(tmp_path: Path) -> None:
    address = Address(unix=str(tmp_path / "one"))
    sockets = EntranceSockets({})
    handing = Handing(sockets, 1)
    handing.follow(_app("one", address))
    worker = HandedSockets(handing._pairs[0][1], sockets)
    before = worker.current[Key("one", address)]
    _look(worker)
    assert worker.current[Key("one", address)] is before
    _close(handing, worker, sockets)


def test_a_worker_that_doesnt_listen_holds_nobody_up_and_hears_all_later(tmp_path: Path) -> None:
    sockets = EntranceSockets({})
    handing = Handing(sockets, 1)
    lost = Address(unix=str(tmp_path / "none" / ("x" * 40)))
    names = [f"app{number}" for number in range(2000)]
    apps: dict[str, App] = {}
    for name in names:
        apps |= _app(name, lost)
    handing.follow(apps)
    worker = HandedSockets(handing._pairs[0][1], EntranceSockets({}))
    for _ in range(100):
        _look(worker)
        if len(worker.problems) == len(names):
            break
        handing.follow(apps)
    assert len(worker.problems) == len(names)
    _close(handing, worker, sockets)
