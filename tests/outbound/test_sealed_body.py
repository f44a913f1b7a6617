"""What of a call's body goes into which part of its envelope, and what is kept for another try."""

from __future__ import annotations

import pytest

from proxy.core.sealing.message import MessageSealer
from proxy.http.upstream import UpstreamFailed
from proxy.outbound.sealed_body import SealedBody
from proxy.transfer.body import REPLAYABLE, SMALL


class Open:
    """A sealer that shows what it would seal: <> are chunks, [] the final one."""

    header = b"#"

    def seal(self, plaintext: bytes) -> bytes:
        return b"<%s>" % plaintext

    def finish(self, plaintext: bytes = b"") -> bytes:
        return b"[%s]" % plaintext.rstrip(b"\0")


def message() -> MessageSealer:
    return MessageSealer(Open(), b"HEAD")


def begun(size: int | None, *, has_body: bool = True) -> SealedBody:
    body = SealedBody(size, has_body=has_body)
    body.seal_into(message())
    return body


def parts(body: SealedBody) -> list[bytes]:
    found = []
    while (part := body.next_part()) is not None:
        found.append(part[0])
    return found


def test_no_body_is_the_head_alone_in_one_part() -> None:
    assert begun(None, has_body=False).whole_message() == b"#[HEAD]"


def test_where_nothing_waits_there_is_nothing_to_wait_in() -> None:
    for body in (begun(None, has_body=False), begun(3), begun(None)):
        assert body._waiting is None


@pytest.mark.parametrize("ends", [False, True])
def test_a_small_one_goes_with_the_head_once_all_of_it_is_there(*, ends: bool) -> None:
    body = begun(3)
    body.add(b"a", ends=False)
    body.coalesce()
    assert body.is_coalescing
    assert body.whole_message() is None
    body.add(b"bc", ends=ends)
    body.coalesce()
    assert body.whole_message() == b"#[HEAD\3abc]"
    body.add(b"", ends=True)
    assert body.next_part() is None


def test_the_empty_one_is_there_at_once() -> None:
    assert begun(0).whole_message() == b"#[HEAD]"


def test_one_whose_size_isnt_told_goes_as_it_comes() -> None:
    body = begun(None)
    assert parts(body) == [b"#<HEAD>"]
    body.add(b"ab", ends=False)
    assert parts(body) == [b"<\2ab>"]
    body.add(b"c", ends=True)
    assert parts(body) == [b"<\1c>", b"[]"]


def test_a_large_one_takes_its_end_along_with_the_last_piece() -> None:
    body = begun(SMALL + 2)
    body.add(b"a" * (SMALL - 1), ends=False)
    assert parts(body) == []
    assert body.is_coalescing
    body.add(b"b", ends=False)
    (first,) = parts(body)
    assert first.startswith(b"#<HEAD")
    body.add(b"cd", ends=False)
    assert parts(body) == []
    body.add(b"", ends=True)
    assert parts(body) == [b"[\2cd]"]


@pytest.mark.parametrize("size", [3, SMALL + 3])
def test_a_beginning_that_takes_long_is_waited_for_no_longer(size: int) -> None:
    body = begun(size)
    body.add(b"a", ends=False)
    assert parts(body) == []
    body.hurry()
    assert parts(body) == [b"#<HEAD\1a>"]
    body.hurry()
    assert parts(body) == []
    body.add(b"b" * (size - 1), ends=True)
    assert len(parts(body)) == 1


def test_another_try_begins_at_the_beginning_and_takes_what_came_between() -> None:
    body = begun(None)
    body.add(b"ab", ends=False)
    parts(body)
    body.stop()
    body.add(b"c", ends=True)
    assert body.next_part() is None
    body.seal_into(message())
    assert parts(body) == [b"#<HEAD>", b"<\2ab>", b"<\1c>", b"[]"]


@pytest.mark.parametrize("more", [0, 1])
def test_only_a_body_of_which_nothing_is_forgotten_goes_again(more: int) -> None:
    body = begun(None)
    for at in range(0, REPLAYABLE, 1 << 16):
        body.add(bytes(1 << 16), ends=False)
        assert body.is_whole, at
    body.add(bytes(more), ends=True)
    assert body.is_whole is not bool(more)
    body.stop()
    if more:
        with pytest.raises(RuntimeError):
            body.seal_into(message())


def test_what_comes_between_two_tries_is_not_forgotten_before_it_has_gone() -> None:
    body = begun(None)
    body.stop()
    body.add(bytes(2 * REPLAYABLE), ends=True)
    body.seal_into(message())
    assert sum(map(len, parts(body))) > 2 * REPLAYABLE
    assert not body.is_whole


@pytest.mark.parametrize(("size", "sent"), [(3, b"ab"), (3, b"abcd"), (0, b"a")])
def test_one_of_another_length_than_was_told_fails(size: int, sent: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        begun(size).add(sent, ends=True)
