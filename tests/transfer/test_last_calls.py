"""When each peer last called and was called: kept by each worker, told of all."""

import os

from proxy.transfer.last_calls import ROWS, LastCall, LastCalls


def test_of_a_peer_that_nothing_is_known_of_nothing_is_told() -> None:
    assert LastCalls().of(["ada"]) == {"ada": (None, None)}


def test_the_last_one_each_way_is_told_and_whether_it_was_answered() -> None:
    calls = LastCalls()
    notes = calls.of_worker(0)
    notes.came("ada", 10.0, answered=True)
    notes.came("ada", 11.0, answered=False)
    notes.went("ada", 12.0, answered=True)
    notes.went("bob", 13.0, answered=False)
    assert calls.of(["ada", "bob"]) == {
        "ada": (LastCall(11.0, answered=False), LastCall(12.0, answered=True)),
        "bob": (None, LastCall(13.0, answered=False)),
    }


def test_of_several_workers_the_latest_counts() -> None:
    calls = LastCalls(3)
    calls.of_worker(0).came("ada", 30.0, answered=False)
    calls.of_worker(1).came("ada", 20.0, answered=True)
    calls.of_worker(2).went("ada", 5.0, answered=True)
    expected = (LastCall(30.0, answered=False), LastCall(5.0, answered=True))
    assert calls.of(["ada"]) == {"ada": expected}


def test_a_worker_in_another_process_is_heard() -> None:
    calls = LastCalls(2)
    child = os.fork()
    if child == 0:
        calls.of_worker(1).came("ada", 7.0, answered=True)
        os._exit(0)
    os.waitpid(child, 0)
    assert calls.of(["ada"])["ada"][0] == LastCall(7.0, answered=True)


def test_more_peers_than_rows_take_no_more_and_are_never_taken_for_another() -> None:
    calls = LastCalls()
    notes = calls.of_worker(0)
    peers = [f"peer {number}" for number in range(3 * ROWS)]
    for number, peer in enumerate(peers, 1):
        notes.came(peer, float(number), answered=True)
    found = calls.of(peers)
    for number, peer in enumerate(peers, 1):
        assert found[peer][0] in (None, LastCall(float(number), answered=True))
    assert found[peers[-1]][0] is not None
    assert sum(came is not None for came, _ in found.values()) <= ROWS + 8
