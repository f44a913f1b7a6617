"""What is counted of requests, in one process and in several that share it."""

import os
import signal

from proxy.core.log_line import RequestLine
from proxy.transfer import request_counts
from proxy.transfer.request_counts import SECONDS, RequestCounts, RequestKind
from tests.alone import run_alone


def line(app: str = "notes", **facts: object) -> RequestLine:
    """Return the line of a request that is over."""
    ended = RequestLine()
    ended.listener, ended.outcome, ended.status, ended.app = "public", "answered", 200, app
    for name, value in facts.items():
        setattr(ended, name, value)
    return ended


NOTES = RequestKind("public", "notes", "", "", "answered", "", 2)


def test_requests_of_one_kind_are_counted_together() -> None:
    counter = RequestCounts().of_worker(0)
    counter.count(line(bytes_in=3, bytes_out=5, seconds=0.004, target=b"/a", request_id="x"))
    counter.count(line(bytes_in=4, bytes_out=6, seconds=0.005, target=b"/b", client="192.0.2.1"))
    counter.count(line(status=204, seconds=3600.0))
    counter.count(line("photos", outcome="refused", status=404, code="not_found", access="peer"))
    totals = counter.counts.totals()
    assert set(totals) == {
        NOTES, RequestKind("public", "photos", "peer", "", "refused", "not_found", 4)
    }  # fmt: skip
    notes = totals[NOTES]
    assert notes[:3] == (3, 7, 11)
    assert notes.seconds == 3600.009
    assert notes.by_seconds == (2, *[0] * (len(SECONDS) - 1), 1)


def test_the_numbers_of_all_workers_are_told_by_each() -> None:
    counts = RequestCounts(3)
    for worker in range(3):
        counts.of_worker(worker).count(line(bytes_in=worker))
    counts.of_worker(2).count(line("photos"))
    assert counts.totals()[NOTES][:2] == (3, 3)
    assert len(counts.totals()) == 2


def test_who_takes_a_workers_place_goes_on_from_its_numbers() -> None:
    counts = RequestCounts(2)
    counts.of_worker(1).count(line())
    later = counts.of_worker(1)
    later.count(line())
    later.count(line("photos"))
    assert counts.totals()[NOTES].number == 2
    assert len(counts.totals()) == 2


def count_and_be_killed() -> None:
    counts = RequestCounts(2)
    for _ in range(3):
        process = os.fork()
        if process == 0:
            counter = counts.of_worker(1)
            for _ in range(1000):
                counter.count(line())
            counter.count(line("photos"))
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(process, 0)
    totals = counts.of_worker(0).counts.totals()
    assert totals[NOTES].number == 3000
    assert sum(total.number for total in totals.values()) == 3003


def test_what_a_killed_worker_counted_is_kept() -> None:
    run_alone(count_and_be_killed)


def test_what_there_is_no_room_for_is_counted_as_such() -> None:
    counter = RequestCounts().of_worker(0)
    fit = 0
    while not counter.counts.missed:
        counter.count(line(f"app-{fit}"))
        fit += 1
    counter.count(line("app-1"))
    counter.count(line("one-more"))
    assert fit > 2000
    assert counter.counts.missed == 2
    totals = counter.counts.totals()
    assert len(totals) == fit - 1
    assert sum(total.number for total in totals.values()) == fit


def test_a_row_that_was_begun_when_a_worker_was_killed_is_none() -> None:
    counts = RequestCounts()
    counter = counts.of_worker(0)
    counter.count(line())
    used = counter._numbers[request_counts._USED]
    counter.count(line("photos"))
    counter._numbers[request_counts._USED] = used  # as it is until the row is whole
    later = counts.of_worker(0)
    later.count(line("films"))
    assert {kind.app: total.number for kind, total in counts.totals().items()} == {
        "notes": 1, "films": 1
    }  # fmt: skip
