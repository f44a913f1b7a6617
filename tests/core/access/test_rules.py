"""Decisions by path: the longest prefix, in both its meanings, and the stricter of the two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.policy import Access
from proxy.core.access.rules import Rule, Rules
from proxy.core.access.template import Template


def _rules(**access_by_prefix: Access) -> Rules:
    return Rules(tuple(Rule(k.encode(), access) for k, access in access_by_prefix.items()))


_PLAIN = _rules(**{"": Access.PRIVATE, "/peer": Access.PEER, "/public/": Access.PUBLIC})
_OPEN = _rules(**{"": Access.PUBLIC, "/admin": Access.PRIVATE, "/admin/faq": Access.PUBLIC})


@pytest.mark.parametrize(
    ("rules", "path", "prefix"),
    [
        (_PLAIN, b"/peer", b"/peer"),
        (_PLAIN, b"/peer/x", b"/peer"),
        (_PLAIN, b"/peerage", b""),  # by segments it is stricter
        (_PLAIN, b"/public/x", b"/public/"),
        (_PLAIN, b"/public", b""),
        (_PLAIN, b"/PUBLIC/", b""),
        (_PLAIN, b"", b""),
        (_PLAIN, b"*", b""),
        (_OPEN, b"/admin", b"/admin"),
        (_OPEN, b"/administrator", b"/admin"),  # by plain text it is stricter
        (_OPEN, b"/admin/faq", b"/admin/faq"),
        (_OPEN, b"/admin/faqs", b"/admin"),
        (_OPEN, b"/other", b""),
    ],
)
def test_the_stricter_of_both_readings_decides(rules: Rules, path: bytes, prefix: bytes) -> None:
    assert rules.decide(path).prefix == prefix


def test_where_both_readings_ask_for_the_same_the_boundary_gives_the_headers() -> None:
    rules = _rules(**{"": Access.PEER, "/peer": Access.PEER})
    assert rules.decide(b"/peerage").prefix == b""


def test_where_no_rule_matches_it_is_private() -> None:
    rule = _rules(**{"/public": Access.PUBLIC}).decide(b"/x")
    assert (rule.access, rule.headers) == (Access.PRIVATE, ())
    assert Rules(()).decide(b"/").access is Access.PRIVATE


def test_uniform_access_counts_what_no_rule_matches() -> None:
    assert _rules(**{"": Access.PUBLIC, "/a": Access.PUBLIC}).uniform_access is Access.PUBLIC
    assert _rules(**{"/a": Access.PUBLIC}).uniform_access is None
    assert _rules(**{"/a": Access.PRIVATE}).uniform_access is Access.PRIVATE
    assert Rules(()).uniform_access is Access.PRIVATE


def test_field_names_are_those_of_all_rules_in_lower_case() -> None:
    one = (("X-User", Template.parse("a")), ("X-Ptl-Foo", Template.parse("b")))
    two = (("x-user", Template.parse("c")),)
    rules = Rules((Rule(b"", Access.PUBLIC, one), Rule(b"/a", Access.PUBLIC, two)))
    assert rules.field_names == {"x-user", "x-ptl-foo"}


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (Rule(b"", Access.PRIVATE), "'' is private"),
        (Rule(b"/peer/", Access.PEER), "'/peer/' is peer"),
        (Rule(b"/\x1b\xff", Access.PUBLIC), r"'/\x1b\\xff' is public"),
    ],
)
def test_a_rule_is_told_as_the_author_wrote_it(rule: Rule, told: str) -> None:
    assert str(rule) == told


def test_a_prefix_stands_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        Rules((Rule(b"/a", Access.PUBLIC), Rule(b"/a", Access.PRIVATE)))


_SEGMENTS = st.sampled_from(["", "a", "ab", "abc", "b"])
_PATHS = st.lists(_SEGMENTS, max_size=4).map(lambda parts: ("/" + "/".join(parts)).encode())


def _access_by_string(rules: Rules, path: bytes) -> Access:
    fitting = [rule for rule in rules.rules if path.startswith(rule.prefix)]
    longest = max(fitting, key=lambda rule: len(rule.prefix), default=None)
    return longest.access if longest else Access.PRIVATE


def _access_by_boundary(rules: Rules, path: bytes) -> Access:
    fitting = [
        rule
        for rule in rules.rules
        if path == rule.prefix or path.startswith(rule.prefix.removesuffix(b"/") + b"/")
    ]
    longest = max(fitting, key=lambda rule: len(rule.prefix), default=None)
    return longest.access if longest else Access.PRIVATE


@given(
    prefixes=st.dictionaries(_PATHS | st.just(b""), st.sampled_from(Access), max_size=8),
    path=_PATHS,
)
def test_a_decision_is_exactly_the_stricter_of_both_readings(
    prefixes: dict[bytes, Access], path: bytes
) -> None:
    rules = Rules(tuple(Rule(prefix, access) for prefix, access in prefixes.items()))
    by_string, by_boundary = _access_by_string(rules, path), _access_by_boundary(rules, path)
    assert rules.decide(path).access == max(by_string, by_boundary)
    if rules.uniform_access is not None:
        assert rules.decide(path).access == rules.uniform_access
