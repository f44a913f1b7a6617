"""Whatever the target's bytes, the rule is as strict as for every interpretation of an app's.

The apps here are models of their own: nothing of ``proxy.core.access`` is in them.
Each is a row of steps that real servers and frameworks take with a path, in any order; the app asks
for what its author wrote for the path that it ends up with.
"""

import posixpath
import re
import unicodedata
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.access.decision import RuleMatcher
from proxy.core.access.policy import Access
from proxy.core.access.rules import Rule, Rules
from proxy.core.access.target import MAX_DECODINGS, parse_target
from proxy.core.errors import Refusal

Step = Callable[[str], str]
"""Paths are text in Latin-1: each character a byte, as WSGI has them."""
Decide = Callable[[bytes], Access]


def decode(path: str) -> str:
    """WSGI servers, once; proxies and careless apps, again."""
    return re.sub("%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), path)


def drop_parameters(path: str) -> str:
    """Servlet containers: in each segment."""
    return "/".join(segment.split(";")[0] for segment in path.split("/"))


def merge_slashes(path: str) -> str:
    """nginx, werkzeug."""
    while "//" in path:
        path = path.replace("//", "/")
    return path


def normalise(path: str) -> str:
    """What serves files: with the two slashes in front that POSIX leaves."""
    return posixpath.normpath(path)


def split_as_url(path: str) -> str:
    """Who takes the target for a URL: a host in front, a query, a fragment."""
    try:
        return urllib.parse.urlsplit(path).path or "/"
    except ValueError:
        return path


def cut_query(path: str) -> str:
    """Who decodes first and looks for the query then."""
    return path.partition("?")[0]


def cut_fragment(path: str) -> str:
    return path.partition("#")[0]


def lower(path: str) -> str:
    """File systems and routers that don't tell upper from lower case."""
    return _as_text(path, str.lower)


def fold(path: str) -> str:
    """The same by Unicode's rules, as ext4 and ZFS can."""
    return _as_text(path, str.casefold)


def upper_and_lower(path: str) -> str:
    return _as_text(path, lambda text: text.upper().lower())


def _as_text(path: str, change: Callable[[str], str]) -> str:
    raw = path.encode("latin-1")
    return (
        change(raw.decode("utf-8", "surrogateescape"))
        .encode("utf-8", "surrogateescape")
        .decode("latin-1")
    )


def drop_invalid(path: str) -> str:
    """Bottle, and who else decodes with "ignore"."""
    return path.encode("latin-1").decode("utf-8", "ignore").encode("utf-8").decode("latin-1")


def replace_invalid(path: str) -> str:
    return path.encode("latin-1").decode("utf-8", "replace").encode("utf-8").decode("latin-1")


def decode_overlong(path: str) -> str:
    """Decoders of UTF-8 that look at no more than the number of bytes."""
    path = re.sub("[\xc0-\xdf]([\x80-\xbf])", _joined, path)
    return re.sub("[\xe0-\xef]([\x80-\xbf]{2})", _joined, path)


def _joined(match: re.Match[str]) -> str:
    number = ord(match[0][0]) & (0x1F if len(match[0]) == 2 else 0x0F)
    for other in match[0][1:]:
        number = number << 6 | (ord(other) & 0x3F)
    return chr(number) if number < 128 else match[0]


def drop_controls(path: str) -> str:
    """WHATWG's parser drops some of them, others drop all."""
    return re.sub("[\x00-\x1f\x7f]", "", path)


def cut_at_control(path: str) -> str:
    return re.split("[\x00-\x1f\x7f]", path)[0] or "/"


def slash_for_backslash(path: str) -> str:
    return path.replace("\\", "/")


def unescape(path: str) -> str:
    """JavaScript's, beside the escapes of everybody."""
    return decode(re.sub("%u00([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), path))


def split_as_whatwg(path: str) -> str:
    """``new URL(path, base)``: a host behind all slashes, of both kinds, where there are two."""
    path = re.sub("[\t\r\n]", "", path).replace("\\", "/")
    return re.sub(r"\A/{2,}[^/?#]*", "", path).partition("?")[0].partition("#")[0] or "/"


def drop_last_slash(path: str) -> str:
    """Express, Polka, sirv, Sanic, PHP's routers."""
    return path.rstrip("/") or "/"


def simple_lower(path: str) -> str:
    """One character for each, as Go, glibc and Java's ``equalsIgnoreCase`` have it."""
    return _as_text(path, lambda text: text.replace("\u0130", "i").lower())


def compatible(path: str) -> str:
    """Who normalises whole paths; ZFS with ``normalization=formKC``."""
    return _as_text(path, lambda text: unicodedata.normalize("NFKC", text))


def drop_unseen(path: str) -> str:
    """ext4's and HFS+'s look-up: characters that aren't seen aren't there."""
    return _as_text(path, lambda text: re.sub("[\u00ad\u200b-\u200f\u2060\ufeff\ufe0f]", "", text))


def drop_marks(path: str) -> str:
    """Tables of databases by which e is é."""

    def bare(text: str) -> str:
        parts = unicodedata.normalize("NFD", text)
        return "".join(each for each in parts if not unicodedata.combining(each))

    return _as_text(path, bare)


def trim(path: str) -> str:
    """Windows; for blanks who calls for ``strip``, and SQL's comparisons."""
    return "/".join(segment.rstrip(" .") for segment in path.split("/"))


CASE = (lower, fold, upper_and_lower, simple_lower)
STEPS: tuple[Step, ...] = (
    decode, drop_parameters, merge_slashes, normalise, cut_query, cut_fragment, *CASE,
    drop_invalid, replace_invalid, decode_overlong, drop_controls, cut_at_control,
    slash_for_backslash, unescape, drop_last_slash, compatible, drop_unseen, drop_marks, trim,
)  # fmt: skip


@dataclass(frozen=True)
class App:
    """``steps`` are taken one after the other; one that splits a URL at most once among them."""

    steps: tuple[Step, ...]
    by_segments: bool
    """Whether the author thinks of a prefix as of whole segments."""
    minds_slash: bool = False
    """Whether a page isn't the same with its last slash and without, to the author."""

    def reads(self, raw: bytes) -> str:
        path = raw.partition(b"?")[0].decode("latin-1")
        for step in self.steps:
            path = step(path)
        return path

    def asks(self, raw: bytes, rules: dict[bytes, Access]) -> Access:
        """Return what the author asked for what the app reads: the longest prefix decides."""
        path, folds = self.reads(raw), [step for step in self.steps if step in CASE]
        found: dict[str, Access] = {"": Access.PRIVATE}
        for prefix, access in sorted(rules.items(), key=lambda item: -item[1]):
            text = prefix.decode("ascii")
            for change in folds:
                text = change(text)
            found[text] = access  # of two that the app takes for one, the more lenient
        fitting = [prefix for prefix in found if path.startswith(prefix)]
        if not self.minds_slash and path + "/" in found:
            fitting.append(path + "/")
        if self.by_segments:
            fitting = [p for p in fitting if (path + "/").startswith(p.rstrip("/") + "/")]
        return found[max(fitting, key=len)]


def decided(raw: bytes, rules: dict[bytes, Access]) -> Access:
    target = parse_target(raw, ascii_only=False)
    return RuleMatcher(_rules(rules)).decide(target).access


def _rules(rules: dict[bytes, Access]) -> Rules:
    return Rules(tuple(Rule(*item) for item in rules.items()))


PREFIXES = (b"", b"/a", b"/A", b"/a/b", b"/b", b"/b/", b"/ab", b"/key", b"/class", b"/a/b/key")
RULES = st.dictionaries(st.sampled_from(PREFIXES), st.sampled_from(Access), max_size=5)
_DROPPED = (
    "%80",
    "\x80",
    "%C3",
    "%ED%A0%80",
    "%F5",
    "%2580",
    "%0A",
    "%09",
    "%250D",
    "\xff",
    "%C2%AD",
    "%E2%80%8B",
    "\xef\xbb\xbf",
    "%25EF%25B8%258F",
)
_SPELLED = {
    "/": [
        "%5C",
        "%255c",
        "%C0%AF",
        "%25E0%2580%25AF",
        "\xc0\xaf",
        "%25u002f",
        "%EF%BC%8F",
        "%20/",
        "./",
        "..%20/",
        "%EF%BC%8E%EF%BC%8F",
    ],
    "a": ["%C1%A1", "%E0%81%A1", "\xc1\xa1", "%25u0061", "%EF%BD%81", "%C3%A4", "%F0%9D%90%80"],
}
_FRONTS = (
    "",
    "",
    "",
    "",
    "/",
    "//",
    "//h",
    "//h:80",
    "/%2fh",
    "/;p",
    "///h",
    "//%2fh",
    "/%5ch",
    "/%09/h",
)
_ODD = {"k": "\u212a", "s": "\u017f", "a": "\u00e4"}


@st.composite
def targets(draw: st.DrawFn) -> bytes:
    """Draw a path that begins like one of the prefixes, in some disguise, or anything at all."""
    if draw(st.integers(0, 9)) == 0:
        return b"/" + draw(st.binary(max_size=20))
    wanted = draw(st.sampled_from(PREFIXES)).decode() + draw(st.sampled_from(["", "/", "/x", "x"]))
    front = draw(st.sampled_from(_FRONTS))
    behind = draw(
        st.sampled_from(
            ["", "", "?q", "%3fq", "%23f", "%253fq", ";p", "/;p", "%3bp", "/", "%20", "."]
        )
    )
    disguised = (_disguise(draw, character) for character in wanted)
    return (front + "".join(disguised) + behind or "/").encode("latin-1")


def _disguise(draw: st.DrawFn, character: str) -> str:
    how = draw(st.integers(0, 15))
    if how > 6:
        return character
    if how == 5:
        return character + draw(st.sampled_from(_DROPPED))
    if how == 6:
        return draw(st.sampled_from(_SPELLED.get(character, [character])))
    if how == 0:
        return {"/": "//"}.get(character, character.swapcase())
    if how == 1:
        return {"/": ";p/"}.get(character, character)
    encoded = (
        "".join(f"%{byte:02x}" for byte in _ODD.get(character, character).encode())
        if (how == 2)
        else f"%{ord(character):02X}"
    )
    for _ in range(draw(st.integers(0, MAX_DECODINGS - 1)) if how == 4 else 0):
        encoded = encoded.replace("%", "%25")
    return encoded


@st.composite
def apps(draw: st.DrawFn) -> App:
    before = draw(st.lists(st.sampled_from(STEPS), max_size=6))
    behind: list[Step] = []
    if draw(st.booleans()):
        split = draw(st.sampled_from([split_as_url, split_as_whatwg]))
        behind = [split, *draw(st.lists(st.sampled_from(STEPS), max_size=4))]
    return App((*before, *behind), draw(st.booleans()))


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(raw=targets(), rules=RULES, app=apps())
def test_no_app_reads_a_path_that_asks_for_more(
    raw: bytes, rules: dict[bytes, Access], app: App
) -> None:
    try:
        held = decided(raw, rules)
    except Refusal:
        return
    assert held >= app.asks(raw, rules), app.reads(raw)


_OPEN = {b"": Access.PUBLIC, b"/a": Access.PRIVATE, b"/key": Access.PRIVATE}
_BELOW = {b"": Access.PUBLIC, b"/a/b": Access.PRIVATE}


@pytest.mark.parametrize(
    ("raw", "steps", "rules"),
    [
        (b"/%61", (decode,), _OPEN),
        (b"/%252561", (decode, decode, decode), _OPEN),
        (b"/a;x/b", (drop_parameters,), _BELOW),
        (b"/a%3bx/b", (decode, drop_parameters), _BELOW),
        (b"/a//b", (merge_slashes,), _BELOW),
        (b"/a///b/", (normalise,), _BELOW),
        (b"/a%3fx", (decode, cut_query), _OPEN),
        (b"/a%23x", (decode, cut_fragment), _OPEN),
        (b"//h/a", (split_as_url,), _OPEN),
        (b"/%2fh%3ax/%61", (decode, split_as_url), _OPEN),
        (b"/A", (lower,), _OPEN),
        (b"/%E2%84%AAEY", (decode, fold), _OPEN),
        (b"/%80a", (decode, drop_invalid), _OPEN),
        (b"/\xc3a", (drop_invalid,), _OPEN),
        (b"/%25ffa", (decode, decode, drop_invalid), _OPEN),
        (b"/%C1%A1", (decode, decode_overlong), _OPEN),
        (b"/%0aa", (decode, drop_controls), _OPEN),
        (b"/a%0d/b", (decode, cut_at_control), {b"": Access.PUBLIC, b"/a/": Access.PRIVATE}),
        (b"/a%5Cb", (decode, slash_for_backslash), _BELOW),
        (b"/%25u0061", (decode, unescape), _OPEN),
        (b"///h/a", (split_as_whatwg,), _OPEN),
        (b"/%5C%5Ch/a", (decode, split_as_whatwg), _OPEN),
        (b"/%09/h/a", (decode, split_as_whatwg), _OPEN),
        (b"/a/b", (drop_last_slash,), {b"": Access.PUBLIC, b"/a/b/": Access.PRIVATE}),
        (b"/%EF%BD%81", (decode, compatible), _OPEN),
        (b"/a%EF%BC%8Fb", (decode, compatible), _BELOW),
        (b"/%EF%BC%8Fh/a", (decode, compatible, split_as_url), _OPEN),
        (b"/k%E2%80%8Be%C2%ADy", (decode, drop_unseen), _OPEN),
        (b"/k%C3%A9y", (decode, drop_marks), _OPEN),
        (b"/F%C4%B0L", (decode, simple_lower), {b"": Access.PUBLIC, b"/fil": Access.PRIVATE}),
        (b"/a./b", (trim,), _BELOW),
        (b"/a%20/b", (decode, trim), _BELOW),
        (b"/a.%20%20./b.", (decode, trim), _BELOW),
        (b"/cla%C5%BFs", (decode, upper_and_lower), {b"": Access.PUBLIC, b"/class": Access.PEER}),
    ],
)
def test_the_property_sees_what_the_bytes_as_they_stand_dont_show(
    raw: bytes, steps: tuple[Step, ...], rules: dict[bytes, Access]
) -> None:
    """A matcher that knew nothing of a step would be found out."""
    app = App(steps, by_segments=True)
    literal = App((), by_segments=True, minds_slash=True).asks(raw, rules)
    assert literal < app.asks(raw, rules) <= decided(raw, rules)
