"""How much one read takes."""

import asyncio
import random

from proxy.core.sealing.chunks import LARGEST_CHUNK
from proxy.http.read_buffer import SMALL, ReadBuffer


def filled(read_buffer: ReadBuffer) -> int:
    view = read_buffer.view()
    read_buffer.take(len(view))
    return len(view)


async def test_it_grows_while_reads_fill_it_and_fits_into_whole_chunks() -> None:
    read_buffer = ReadBuffer(2)
    sizes = [filled(read_buffer) for _ in range(4)]
    assert sizes == [chunks * LARGEST_CHUNK - 8 for chunks in (1, 2, 2, 2)]
    assert sizes[0] == SMALL


async def test_it_is_small_again_once_something_waits() -> None:
    read_buffer = ReadBuffer(2)
    assert [filled(read_buffer), filled(read_buffer)] == [SMALL, 2 * LARGEST_CHUNK - 8]
    read_buffer.shrink()
    assert len(read_buffer.view()) == SMALL


async def test_it_does_not_grow_where_reads_leave_space() -> None:
    read_buffer = ReadBuffer(2)
    read_buffer.view()
    read_buffer.take(SMALL - 1)
    assert len(read_buffer.view()) == SMALL


async def test_what_one_connection_took_is_its_own_though_all_read_into_one_buffer() -> None:
    source = random.Random(7)
    one, other = ReadBuffer(2), ReadBuffer(2)
    taken = []
    for read_buffer in (one, other, one):
        data = source.randbytes(1000)
        read_buffer.view()[: len(data)] = data
        taken.append((read_buffer.take(len(data)), data))
    assert all(got == said for got, said in taken)


def test_loops_have_a_buffer_each() -> None:
    """Two of them may read at the same moment, each in its thread."""

    async def view() -> memoryview:
        return ReadBuffer(1).view()

    first, second = asyncio.run(view()), asyncio.run(view())
    first[:3], second[:3] = b"one", b"two"
    assert bytes(first[:3]) == b"one"
