"""The longest prefix, found in few comparisons however the prefixes nest."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.rules import PrefixIndex

_WORDS = st.text("ab/", max_size=7).map(str.encode)


@given(st.lists(_WORDS, max_size=30), _WORDS)
def test_it_finds_what_looking_at_all_of_them_finds(prefixes: list[bytes], path: bytes) -> None:
    index = PrefixIndex(prefixes)
    fitting = [prefix for prefix in (b"", *prefixes) if path.startswith(prefix)]
    assert index.prefixes[index.longest(path)] == max(fitting, key=len)


@given(st.lists(_WORDS, max_size=30))
def test_a_parent_is_the_longest_other_prefix_of_a_prefix(prefixes: list[bytes]) -> None:
    index = PrefixIndex(prefixes)
    for prefix, parent in zip(index.prefixes[1:], index.parents[1:], strict=True):
        fitting = [each for each in index.prefixes if each != prefix and prefix.startswith(each)]
        assert index.prefixes[parent] == max(fitting, key=len)


class _Counted(bytes):
    comparisons = 0

    def startswith(self, *args: object) -> bool:
        type(self).comparisons += 1
        return super().startswith(*args)  # type: ignore[arg-type]


def test_a_thousand_prefixes_within_each_other_take_few_comparisons() -> None:
    index = PrefixIndex(b"/" + b"a" * length for length in range(1000))
    for length in range(0, 1000, 7):
        _Counted.comparisons = 0
        found = index.prefixes[index.longest(_Counted(b"/" + b"a" * length + b"z"))]
        assert len(found) == 1 + length
        assert _Counted.comparisons < 64
