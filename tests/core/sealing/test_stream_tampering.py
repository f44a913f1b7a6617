"""Whatever comes, in whatever pieces: nothing that wasn't sealed comes out, and nothing is missed.

An attacker on the way may drop, repeat, swap, cut, join and invent; the chunks of both directions
and of other exchanges are at hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.binary_http.varint import read_varint, varint
from proxy.core.sealing.chunks import CannotOpen, Splitter
from proxy.core.sealing.hpke import Aead
from tests.core.sealing.sealed_exchange import (
    DIRECTIONS,
    HEADER_LENGTH,
    TAG,
    Direction,
    opened,
    request_opener,
    request_sealer,
    response_sealer,
    sealed,
)

LARGEST = 64
_PARTS = st.lists(st.binary(min_size=1, max_size=LARGEST), min_size=1, max_size=5)
_FINAL_PART = st.binary(max_size=LARGEST)
_CUTS = st.lists(st.integers(1, 40), max_size=20)


@dataclass(frozen=True)
class Message:
    """A sealed message, before anybody touched it."""

    direction: Direction
    aead: Aead
    parts: tuple[bytes, ...]
    units: tuple[bytes, ...]

    @property
    def plaintext(self) -> bytes:
        return b"".join(self.parts)

    @property
    def prefixes(self) -> set[bytes]:
        """What may come out of a part of it."""
        return {b"".join(self.parts[:end]) for end in range(len(self.parts) + 1)}


@st.composite
def messages(draw: st.DrawFn) -> Message:
    direction, aead = draw(st.sampled_from(DIRECTIONS)), draw(st.sampled_from(Aead))
    parts = (*draw(_PARTS), draw(_FINAL_PART))
    return Message(direction, aead, parts, tuple(direction.seal(aead, parts)))


def _pieces(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Cut ``data`` into pieces of these sizes, over and over."""
    pieces = []
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)] if sizes else len(data)
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


def _foreign(message: Message) -> list[bytes]:
    """Return chunks that are authentic elsewhere: the other way, or in another exchange."""
    sealer = request_sealer(message.aead)
    other = request_sealer(message.aead, ephemeral=bytes(32))
    return [
        *sealed(sealer, message.parts)[1:],
        *sealed(response_sealer(sealer), message.parts)[1:],
        *sealed(other, message.parts)[1:],
        *sealed(response_sealer(other), message.parts)[1:],
    ]


@st.composite
def tampered(draw: st.DrawFn, message: Message) -> list[bytes]:
    """Do to the units of ``message`` what an attacker can; perhaps nothing in effect."""
    units = list(message.units)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(units) - 1))
        to = draw(st.integers(0, len(units) - 1))
        match draw(st.sampled_from(["drop", "repeat", "swap", "flip", "cut", "insert", "stuff"])):
            case "drop":
                units[at] = b""
            case "repeat":
                units.insert(to, units[at])
            case "swap":
                units[at], units[to] = units[to], units[at]
            case "flip" if units[at]:
                bit = draw(st.integers(0, 8 * len(units[at]) - 1))
                changed = bytearray(units[at])
                changed[bit // 8] ^= 1 << bit % 8
                units[at] = bytes(changed)
            case "cut":
                units[at] = units[at][: draw(st.integers(0, len(units[at])))]
            case "insert":
                units.insert(at, draw(st.sampled_from(_foreign(message))))
            case _:
                units.insert(at, draw(st.binary(min_size=1, max_size=100)))
    return units


def _chunks(stream: bytes, header_length: int) -> list[bytes] | None:
    """Return the header and the chunks, whatever form their lengths have; None where it is cut."""
    splitter = Splitter(1000)
    try:
        chunks = [bytes(each) for each in splitter.feed(memoryview(stream)[header_length:])]
        return [stream[:header_length], *chunks, bytes(splitter.end())]
    except CannotOpen:
        return None


@given(messages(), _CUTS)
def test_pieces_are_nobodys_promise(message: Message, sizes: list[int]) -> None:
    outcome = opened(
        message.direction.opener(message.aead), _pieces(b"".join(message.units), sizes)
    )
    assert outcome.refusal is None
    assert outcome.plaintext == message.plaintext
    assert outcome.most_held <= LARGEST + TAG


@given(st.data())
def test_tampering_is_noticed_and_gives_nothing_that_was_not_sealed(data: st.DataObject) -> None:
    message = data.draw(messages())
    stream = b"".join(data.draw(tampered(message)))
    sizes = data.draw(_CUTS)
    outcome = opened(message.direction.opener(message.aead), _pieces(stream, sizes))
    assert outcome.most_held <= LARGEST + TAG
    assert outcome.plaintext in message.prefixes
    header_length = len(message.units[0])
    untouched = _chunks(b"".join(message.units), header_length)
    assert (outcome.refusal is None) == (_chunks(stream, header_length) == untouched)
    whole = opened(message.direction.opener(message.aead), [stream])
    assert whole.refusal == outcome.refusal
    assert outcome.plaintext.startswith(whole.plaintext)


@given(messages(), st.data())
def test_the_form_of_a_length_is_free(message: Message, data: st.DataObject) -> None:
    stream = message.units[0]
    for unit in message.units[1:]:
        length, end = read_varint(unit, 0)
        widths = [width for width in (1, 2, 4, 8) if width >= end]
        width = data.draw(st.sampled_from(widths))
        form = {1: 0, 2: 1, 4: 2, 8: 3}[width] << (8 * width - 2)
        stream += (form | length).to_bytes(width, "big") + unit[end:]
    outcome = opened(message.direction.opener(message.aead), _pieces(stream, data.draw(_CUTS)))
    assert (outcome.plaintext, outcome.refusal) == (message.plaintext, None)


@given(
    direction=st.sampled_from(DIRECTIONS),
    aead=st.sampled_from(Aead),
    keeps=st.sampled_from([0, 7, HEADER_LENGTH]),
    noise=st.binary(max_size=300) | st.binary(max_size=80).map(lambda x: varint(len(x)) + x),
    sizes=_CUTS,
)
def test_noise_is_refused_in_one_way(
    direction: Direction, aead: Aead, keeps: int, noise: bytes, sizes: list[int]
) -> None:
    stream = direction.seal(aead, [b"x"])[0][:keeps] + noise
    outcome = opened(direction.opener(aead), _pieces(stream, sizes))
    assert outcome.plaintext == b""
    assert outcome.refusal is not None
    assert outcome.most_held <= LARGEST + TAG
    assert opened(direction.opener(aead), [stream]).refusal == outcome.refusal


@given(messages(), _CUTS)
def test_a_message_opens_in_its_own_direction_alone(message: Message, sizes: list[int]) -> None:
    [other] = [each for each in DIRECTIONS if each is not message.direction]
    outcome = opened(other.opener(message.aead), _pieces(b"".join(message.units), sizes))
    assert (outcome.plaintext, outcome.refusal is None) == (b"", False)


def test_a_held_header_is_small() -> None:
    opener = request_opener()
    opener.feed(bytes(HEADER_LENGTH - 1))
    assert opener.held == HEADER_LENGTH - 1
