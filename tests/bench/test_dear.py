"""The table of what dear inputs cost, for its form alone: times are no test's."""

import pytest

from bench import dear
from bench.dear import KINDS, Kind, Work, table


def test_each_kind_is_shown_beside_its_ordinary_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def usual() -> None: ...
    def cheap() -> None: ...
    def costly() -> None: ...

    times = {usual: 1.0, cheap: 2.5, costly: 3.5}
    monkeypatch.setattr(dear, "measured", lambda work: times[work])
    kind = Kind("paths", usual, [("slashes", cheap), ("escapes", costly)])
    assert table([kind]) == [
        "paths: 1.00 ms where it is ordinary",
        "      1.50 ms more  slashes",
        "      2.50 ms more  escapes  TOO MUCH",
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_input_is_read(kind: Kind) -> None:
    works: list[Work] = [kind.ordinary, *(work for _, work in kind.dear)]
    for work in works:
        work()
