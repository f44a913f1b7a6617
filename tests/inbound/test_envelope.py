"""An envelope that opens: what is told of the request inside, in every split of its bytes."""

from __future__ import annotations

from functools import partial

import pytest

from proxy.core.binary_http.writer import END, content
from proxy.core.errors import Code, Refusal
from proxy.core.http1.framing import IN_CHUNKS
from proxy.core.sealing.envelope import CHUNKED_REQUEST

from .envelope_sides import BODY_LIMIT, Sides, sealed, some_turns, until, whole


def length(size: int) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"content-length", b"%d" % size),)


async def opened(*pieces: bytes, takes: bool = True) -> Sides:
    """Return the sides of an envelope that came in these pieces."""
    sides = Sides(takes=takes)
    sides.begin()
    await some_turns()
    sides.outer.come(*pieces, ends=True)
    await some_turns()
    return sides


async def test_a_small_request_is_there_at_once() -> None:
    sides = Sides()
    sides.begin()
    await some_turns()
    assert sides.outer.is_invited
    _, envelope = whole(b"body", fields=((b"x-a", b"1"),))
    sides.outer.come(envelope, ends=True)
    ((request, framing),) = sides.opened
    assert (request.method, request.target) == (b"POST", b"/x?y")
    assert tuple(request.fields) == ((b"host", b"a.example"), (b"x-a", b"1"))
    assert request.seal is not None
    assert framing == IN_CHUNKS
    assert sides.served.told == ["end"]
    assert sides.served.body == b"body"
    line = sides.line
    assert (line.method, line.host, line.target) == (b"POST", b"a.example", b"/x?y")


ROWS = {
    "nothing": (b"", (), None),
    "a length of 0": (b"", length(0), (b"content-length", b"0")),
    "a length": (b"body", length(4), (b"content-length", b"4")),
    "no length": (b"body", (), IN_CHUNKS),
    "much": (b"b" * 70_000, length(70_000), (b"content-length", b"70000")),
}
rows = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
Row = tuple[bytes, tuple[tuple[bytes, bytes], ...], tuple[bytes, bytes] | None]


@rows
@pytest.mark.parametrize("takes", [True, False])
async def test_it_may_come_in_pieces_of_any_size(row: Row, *, takes: bool) -> None:
    body, fields, framing = row
    _, envelope = whole(body, fields=fields)
    step = 1 if row is ROWS["no length"] and takes else 41
    ends = [at for at in range(1, len(envelope), step) if at < 1200 or at % 7001 < step]
    splits = [[envelope], [envelope, b""], *([envelope[:at], envelope[at:]] for at in ends)]
    if len(body) < 10_000:
        splits.append([envelope[at : at + 1] for at in range(len(envelope))])
    for pieces in splits:
        sides = await opened(*pieces, takes=takes)
        await until(partial(len, sides.opened))
        if not takes:
            assert sides.served.told == []
            sides.envelope.resume()
            assert sides.served.told == []
        await until(partial(sides.served.told.count, "end"))
        assert [told for _, told in sides.opened] == [framing]
        assert sides.served.body == body
        assert not sides.refused
        sides.served.finish()
        assert sides.outer.is_finished


@pytest.mark.parametrize("told", [True, False])
async def test_pieces_are_told_as_they_come_and_the_last_one_with_the_end(told: bool) -> None:  # noqa: FBT001
    _, chunks = sealed(content(b"one"), content(b"two"), END, fields=length(6) if told else ())
    header, head, one, two, end = chunks
    sides = Sides()
    sides.begin()
    await some_turns()
    sides.outer.come(header + head + one)
    assert sides.served.body == b"one"
    sides.outer.come(two)
    assert sides.served.body == (b"one" if told else b"onetwo")
    sides.outer.come(end)
    assert "end" not in sides.served.told
    sides.outer.come(b"", ends=True)
    assert sides.served.body == b"onetwo"
    assert sides.served.told == (["piece", "end"] if told else ["piece", "piece", "end"])


@pytest.mark.parametrize("fields", [(), length(0)])
async def test_a_request_without_content_ends_when_the_envelope_does(
    fields: tuple[tuple[bytes, bytes], ...],
) -> None:
    _, (header, head, end) = sealed(END, fields=fields)
    sides = Sides()
    sides.begin()
    await some_turns()
    sides.outer.come(header + head)
    assert bool(sides.opened) is bool(fields)
    await until(lambda: sides.opened)
    assert sides.opened[0][1] == (fields[0] if fields else IN_CHUNKS)
    assert sides.served.told == []
    sides.outer.come(end)
    assert sides.served.told == []
    sides.outer.come(b"", ends=True)
    assert sides.served.told == ["end"]


async def test_a_body_that_is_late_is_not_waited_for_without_end() -> None:
    _, (header, head, body) = sealed(content(b"late") + END)
    sides = Sides()
    sides.begin()
    await some_turns()
    sides.outer.come(header + head)
    assert sides.opened == []
    await until(lambda: sides.opened)
    assert sides.opened[0][1] == IN_CHUNKS
    sides.outer.come(body, ends=True)
    assert sides.served.body == b"late"


async def test_nothing_is_told_while_paused_and_the_outer_request_is_paused_too() -> None:
    _, chunks = sealed(content(b"one"), content(b"two"), content(b"three") + END)
    sides = Sides(takes=False)
    sides.begin()
    await some_turns()
    sides.outer.come(*chunks, ends=True)
    assert sides.opened
    assert sides.outer.is_paused
    sides.served.pauses_each = True
    for count in range(1, 4):
        sides.envelope.resume()
        sides.envelope.resume()
        assert len(sides.served.told) == count - 1, "it is told from within resume"
        await some_turns()
        assert len(sides.served.told) == count
    assert sides.served.body == b"onetwothree"
    assert sides.served.told == ["piece", "piece", "end"]


async def test_a_pause_behind_a_resume_holds() -> None:
    _, chunks = sealed(content(b"one"), content(b"two") + END)
    sides = Sides(takes=False)
    sides.begin()
    await some_turns()
    sides.outer.come(*chunks, ends=True)
    sides.envelope.resume()
    sides.envelope.pause()
    await some_turns()
    assert sides.served.told == []
    assert sides.outer.is_paused
    sides.envelope.resume()
    await some_turns()
    assert sides.served.body == b"onetwo"


# --- what isn't taken ----------------------------------------------------------------------


def refusal(sides: Sides, framing: tuple[bytes, bytes] | None = IN_CHUNKS,
            *fields: tuple[bytes, bytes]) -> Code:  # fmt: skip
    with pytest.raises(Refusal) as raised:
        sides.begin(framing, *fields)
    assert sides.outer.handler is None
    assert sides.outer.is_paused
    return raised.value.code


async def test_what_is_no_envelope_is_not_asked_for() -> None:
    kind = (b"content-type", b"application/json")
    assert refusal(Sides(), IN_CHUNKS, kind) is Code.NOT_AN_ENVELOPE
    assert refusal(Sides(), None) is Code.SEALING_KEY_UNKNOWN
    signed_alone = Sides()
    signed_alone.portal.modes = {"signed"}
    assert refusal(signed_alone) is Code.MODE_NOT_ACCEPTED


async def test_one_that_says_it_is_too_large_is_not_asked_for() -> None:
    most = 32 * BODY_LIMIT + 2 * 1024 * 1024
    assert refusal(Sides(), (b"content-length", b"%d" % (most + 1))) is Code.TOO_LARGE
    sides = Sides()
    sides.begin((b"content-length", b"%d" % most), CHUNKED_REQUEST)
    assert sides.outer.handler is sides.envelope


async def test_padding_without_end_is_refused() -> None:
    _, chunks = sealed(content(b"body") + END, *[bytes(1 << 16)] * 50, b"")
    sides = Sides()
    sides.begin()
    await some_turns()
    sides.outer.come(*chunks, ends=True)
    assert sides.served.told == ["piece", "too_large", "failed"]
    assert sides.outer.is_paused
