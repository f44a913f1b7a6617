"""The rule that is applied is as strict as that of every interpretation an app could make."""

import pytest

from proxy.core.access.decision import RuleMatcher
from proxy.core.access.policy import Access
from proxy.core.access.rules import Rule, Rules
from proxy.core.access.target import parse_target
from proxy.core.access.template import Template

_OPEN = RuleMatcher(
    Rules(
        (
            Rule(b"", Access.PUBLIC),
            Rule(b"/private", Access.PRIVATE),
            Rule(b"/peer", Access.PEER),
            Rule(b"/Mixed", Access.PRIVATE),
            Rule(b"/star", Access.PRIVATE),
            Rule(b"/key", Access.PRIVATE),
            Rule(b"/class", Access.PRIVATE),
            Rule(b"/private/faq", Access.PUBLIC),
        )
    )
)
_CLOSED = RuleMatcher(Rules((Rule(b"", Access.PRIVATE), Rule(b"/public", Access.PUBLIC))))


def _access(matcher: RuleMatcher, target: bytes) -> Access:
    return matcher.decide(parse_target(target, ascii_only=False)).access


@pytest.mark.parametrize(
    "target",
    [
        b"/private", b"/private/", b"/private/x", b"/privateer", b"/PRIVATE", b"/Private/x",
        b"//private",
        b"///private", b"/%70rivate", b"/%2570rivate", b"/%2fprivate", b"/;x/private",
        b"/private;x",
        b"/private%3fx", b"/private%23", b"//host/private", b"//host:80//private", b"/%2f/private",
        b"/%C5%BFtar", b"/%E2%84%AAey", b"//x/%C5%BFTAR/x", b"/%25E2%2584%25AAey",
        b"/cla%C3%9F", b"///x/private", b"////x/private", b"//u@h:80/private", b"/%2f%2fx/private",
        b"/mixed", b"/MIXED/x", b"/Mixed", b"/%4dixed", b"/private/FAQ", b"/private%2ffaqs",
    ],
)  # fmt: skip
def test_whatever_an_app_could_read_as_private_is_private(target: bytes) -> None:
    assert _access(_OPEN, target) is Access.PRIVATE


@pytest.mark.parametrize(
    "target",
    [b"/", b"/x", b"/x/private", b"/x?/private", b"/priv", b"/private/faq", b"/xprivate", b"//x",
     b"/x%2fprivate", b"/x;/private", b"/%E2%84%ABey", b"/cla%C3%A4", b"/%DF%BFx"],
)  # fmt: skip
def test_their_harmless_twins_are_public(target: bytes) -> None:
    assert _access(_OPEN, target) is Access.PUBLIC


@pytest.mark.parametrize(
    "target",
    [b"/publicX", b"/PUBLIC/", b"/Public", b"//public", b"//public/x", b"/%70ublic", b"/;/public",
     b"/x/public", b"/public%3fx", b"//x/public", b"///x/public"],
)  # fmt: skip
def test_what_only_some_app_would_read_as_public_is_not(target: bytes) -> None:
    assert _access(_CLOSED, target) is Access.PRIVATE


@pytest.mark.parametrize(
    "target",
    [b"/public", b"/public/", b"/public/x", b"/public/%C3%A4?x", b"/public//x", b"/public?"],
)
def test_what_every_app_reads_as_public_is(target: bytes) -> None:
    assert _access(_CLOSED, target) is Access.PUBLIC


_BOTH = RuleMatcher(
    Rules(
        (Rule(b"", Access.PRIVATE), Rule(b"/peer/", Access.PEER), Rule(b"/public", Access.PUBLIC))
    )
)


@pytest.mark.parametrize(
    "target",
    [b"/Peer/x", b"//peer/x", b"/%70eer/x", b"/peer%2fx", b"/peer;a/x", b"//host/peer/x",
     b"/peer", b"/peer;x", b"/peer%252fx", b"/PEER/%C5%BF", b"/peer%2f", b"/%2fhost/peer/"],
)  # fmt: skip
def test_what_can_be_read_as_peer_and_as_private_is_nobodys(target: bytes) -> None:
    assert _access(_BOTH, target) is Access.CLOSED


@pytest.mark.parametrize(
    ("target", "access"),
    [
        (b"/peer/x", Access.PEER),
        (b"/peer/%78", Access.PEER),
        (b"/peerage/x", Access.PRIVATE),
        (b"/x//peer/y", Access.PRIVATE),
        (b"/%78/y", Access.PRIVATE),
        (b"/public/peer/", Access.PUBLIC),
    ],
)
def test_what_has_one_kind_of_reading_is_open_to_whom_it_is_for(
    target: bytes, access: Access
) -> None:
    assert _access(_BOTH, target) is access


_ODD = (
    b"/pri%80vate", b"/x/%F6", b"/%C0%AF", b"/a%5Cb", b"/a%0Ab", b"/\xe4", b"/%2580", b"/\xc3%A4",
    b"/" + b";" * 33, b"/%25252541" + b"//a" * 2700,
    b"//%252f%253b%2525253f//%2f%3b;a%25253b%252523%2523%2f%2f;%3f%2525252f%252f//x%2fy",
)  # fmt: skip


@pytest.mark.parametrize("target", _ODD)
@pytest.mark.parametrize(
    ("accesses", "held"),
    [
        ({Access.PUBLIC}, Access.PUBLIC),
        ({Access.PEER}, Access.PEER),
        ({Access.PUBLIC, Access.PEER}, Access.PEER),
        ({Access.PUBLIC, Access.PRIVATE}, Access.PRIVATE),
        ({Access.PEER, Access.PRIVATE}, Access.CLOSED),
        ({Access.PUBLIC, Access.PEER, Access.PRIVATE}, Access.CLOSED),
    ],
)
def test_where_nobody_can_tell_which_rule_holds_all_of_them_do(
    target: bytes, accesses: set[Access], held: Access
) -> None:
    for order in (sorted(accesses), sorted(accesses, reverse=True)):
        rules = tuple(Rule(b"/a" * at, access) for at, access in enumerate(order))
        assert _access(RuleMatcher(Rules(rules)), target) is held


@pytest.mark.parametrize("target", _ODD[:-3])
def test_there_no_rules_own_fields_are_set(target: bytes) -> None:
    one, two, three = (("X-One", Template.parse(text)) for text in "123")
    differing = (
        Rule(b"", Access.PRIVATE, (one,)),
        Rule(b"/x", Access.PRIVATE, (one, ("X-Two", Template.parse("a")))),
        Rule(b"/a", Access.PUBLIC, (one, two)),
    )
    odd = parse_target(target, ascii_only=False)
    assert RuleMatcher(Rules(differing)).decide(odd) == Rule(b"*", Access.PRIVATE, (one,))
    other = Rules((*differing[:2], Rule(b"/a", Access.PUBLIC, (three,))))
    assert RuleMatcher(other).decide(odd).headers == ()
    # What no rule fits is private and has no fields.
    assert RuleMatcher(Rules(differing[1:])).decide(odd).headers == ()


@pytest.mark.parametrize(
    ("rules", "access"),
    [
        ({b"": Access.PUBLIC, b"/a/": Access.PRIVATE}, {b"/a": 2, b"/a/": 2, b"/ab": 0, b"/A": 2}),
        ({b"": Access.PRIVATE, b"/a/": Access.PUBLIC}, {b"/a": 2, b"/a/": 0, b"/a/b": 0}),
        ({b"": Access.PRIVATE, b"/a": Access.PUBLIC}, {b"/a": 0, b"/a/": 0}),
        ({b"": Access.PUBLIC, b"/a": Access.PRIVATE}, {b"/a": 2, b"/a/": 2, b"/a.html": 2}),
        ({b"": Access.PUBLIC, b"/a/": Access.PRIVATE}, {b"/a.html": 0, b"/a/index.html": 2}),
        ({b"/a": Access.PRIVATE, b"/a/": Access.PUBLIC}, {b"/a": 2, b"/a/": 2, b"/a/b": 0}),
        ({b"/a": Access.PUBLIC, b"/a/": Access.PRIVATE}, {b"/a": 2, b"/a/": 2, b"/a/b": 2}),
        ({b"": Access.PRIVATE, b"/a/": Access.PEER}, {b"/a": 3, b"/a/": 1}),
        ({b"": Access.PRIVATE, b"/": Access.PUBLIC}, {b"/": 0, b"/a": 0, b"//": 0}),
        ({b"": Access.PUBLIC, b"/a/": Access.PRIVATE}, {b"/a%3f": 2, b"/a;x": 2, b"//h/a": 2}),
    ],
)
def test_a_path_without_its_last_slash_is_judged_by_the_prefix_with_it(
    rules: dict[bytes, Access], access: dict[bytes, int]
) -> None:
    matcher = RuleMatcher(Rules(tuple(Rule(*item) for item in rules.items())))
    assert {path: _access(matcher, path) for path in access} == access


def test_an_honest_request_gets_the_fields_of_its_own_rule() -> None:
    headers = (("X-A", Template.parse("1")),)
    matcher = RuleMatcher(
        Rules(
            (Rule(b"", Access.PEER), Rule(b"/a", Access.PEER, headers), Rule(b"/p", Access.PUBLIC))
        )
    )
    assert matcher.decide(parse_target(b"/a/x")).headers == headers
    assert matcher.decide(parse_target(b"/a%2fx")).prefix in (b"", b"/a")
    assert matcher.decide(parse_target(b"/p//x")).prefix == b"/p"


def test_where_all_paths_have_one_access_the_own_rule_decides() -> None:
    matcher = RuleMatcher(Rules((Rule(b"", Access.PUBLIC), Rule(b"/a", Access.PUBLIC))))
    assert matcher.decide(parse_target(b"//a")).prefix == b""
    assert matcher.decide(parse_target(b"/a")).prefix == b"/a"


def test_of_two_prefixes_that_differ_in_case_alone_the_stricter_holds_for_both() -> None:
    for first, second in ((Access.PUBLIC, Access.PRIVATE), (Access.PRIVATE, Access.PUBLIC)):
        rules = (Rule(b"", Access.PUBLIC), Rule(b"/a", first), Rule(b"/A", second))
        matcher = RuleMatcher(Rules(rules))
        assert _access(matcher, b"/a") is Access.PRIVATE
        assert _access(matcher, b"/A/x") is Access.PRIVATE
        assert _access(matcher, b"/b") is Access.PUBLIC


def test_a_peer_and_a_private_prefix_that_differ_in_case_alone_are_nobodys() -> None:
    rules = (Rule(b"", Access.PUBLIC), Rule(b"/a", Access.PEER), Rule(b"/A", Access.PRIVATE))
    matcher = RuleMatcher(Rules(rules))
    assert _access(matcher, b"/a") is _access(matcher, b"/A/x") is Access.CLOSED
    assert _access(matcher, b"/b") is Access.PUBLIC


def test_names_that_rules_set_are_reserved_in_their_one_spelling() -> None:
    headers = (("X_Remote.User", Template.parse("1")),)
    assert RuleMatcher(Rules((Rule(b"", Access.PUBLIC, headers),))).reserved == {b"x-remote-user"}
