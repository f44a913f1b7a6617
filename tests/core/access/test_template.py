"""Header templates: what they show, what they refuse, and that no output can be a second field."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.template import MAX_LENGTH, VARIABLE_NAMES, Template, Variables

_ID = "8271dd" + "a" * 97
_VARIABLES = Variables(
    client_type="peer",
    client_id="b8rk3f",
    client_name="Zoë 100%",
    portal_domain="8271dd.p.getportal.org",
    portal_id=_ID,
    portal_short_id="8271dd",
    portal_public_key_pem="-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n",
)
_FIELD_VALUE = re.compile(rb"(?:[!-~](?:[ !-~]*[!-~])?)?")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", b""),
        ("terminal", b"terminal"),
        ("{{ auth.client_type }}", b"peer"),
        ("{{ auth.client_id }}", b"b8rk3f"),
        ("{{ auth.client_name }}", b"Zo%C3%AB 100%25"),
        ("{{ client_type }}/{{client_id}}/{{  client_name }}", b"peer/b8rk3f/Zo%C3%AB 100%25"),
        ("{{ portal.domain }}", b"8271dd.p.getportal.org"),
        ("{{ portal.id }}", _ID.encode()),
        ("{{ portal.short_id }}", b"8271dd"),
        (
            "{{ portal.public_key_pem }}",
            b"-----BEGIN PUBLIC KEY-----%0AMCow%0A-----END PUBLIC KEY-----%0A",
        ),
        ("{{ portal.id[:6] }}@example.com", b"8271dd@example.com"),
        ("{{ auth.client_id[-3:] }}{{ auth.client_id[1:2] }}{{ client_id[:] }}", b"k3f8b8rk3f"),
        ("{{ auth.client_name[:3] }}", b"Zo%C3%AB"),  # characters, not bytes
        ("{{ portal.id[200:] }}", b""),
        ('{"id":"{{ client_id }}"}', b'{"id":"b8rk3f"}'),
        ("a } }} b", b"a } }} b"),
        ("50% Ü", b"50% %C3%9C"),
        ("  {{ client_type }}  ", b"peer"),
    ],
)
def test_a_template_renders(text: str, value: bytes) -> None:
    assert Template.parse(text).render(_VARIABLES) == value


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("{{ cycler.__init__.__globals__ }}", 1),
        ("{{ 'a'*10**8 }}", 1),
        ("{{ [1][0] }}", 1),
        ("ab{{ portal.name }}", 3),
        ("{{ portal }}", 1),
        ("{{ PORTAL.ID }}", 1),
        ("{{ portal.id|upper }}", 1),
        ("{{ portal.id() }}", 1),
        ("{{ portal.id[0] }}", 1),
        ("{{ portal.id[::2] }}", 1),
        ("{{ portal.id[:9999999999] }}", 1),
        ("{{ portal.id[:6][:3] }}", 1),
        ("{{ portal. id }}", 1),
        ("{{- portal.id -}}", 1),
        ("{{ portal.id }", 1),
        ("x {{", 3),
        ("{{ {{ portal.id }} }}", 1),
        ("{% for a in b %}", 1),
        ("{# hidden #}", 1),
        ("a\r\nX-Ptl-Client-Type: terminal", 2),
        ("\x00", 1),
        ("a\tb", 2),
        ("\x85", 1),
        ("\ud800", 1),
    ],
)
def test_anything_else_is_refused_with_its_position(text: str, position: int) -> None:
    with pytest.raises(ValueError, match=rf"^character {position}: "):
        Template.parse(text)


def test_an_unknown_variable_is_told_the_names_that_exist() -> None:
    with pytest.raises(ValueError, match="isn't known") as caught:
        Template.parse("{{ portal.name }}")
    assert all(name in str(caught.value) for name in VARIABLE_NAMES)


def test_what_a_template_costs_is_bounded() -> None:
    with pytest.raises(ValueError, match="at most 16 variables"):
        Template.parse("{{client_id}}" * 17)
    with pytest.raises(ValueError, match="at most 2048 characters"):
        Template.parse("a" * (MAX_LENGTH + 1))
    for text in ("{{ " + " " * 2000, "{{" * 1000, "{{ client_id[" + " " * 2000):
        with pytest.raises(ValueError, match="character 1"):
            Template.parse(text)


_PIECES = st.sampled_from(
    ["{{ client_name }}", "{{ portal.id[", ":", "6] }}", "{{", "}}", " ", "%"]
)


@given(pieces=st.lists(_PIECES | st.text(max_size=3), max_size=8), name=st.text())
def test_output_is_always_a_legal_field_value(pieces: list[str], name: str) -> None:
    variables = Variables(name, name, name, name, name, name, name)
    try:
        template = Template.parse("".join(pieces))
    except ValueError:
        return
    assert _FIELD_VALUE.fullmatch(template.render(variables))


@given(name=st.text(alphabet=st.characters(), max_size=30))
def test_a_variable_can_hold_anything(name: str) -> None:
    variables = Variables(name, name, name, name, name, name, name)
    value = Template.parse("{{ client_name }}").render(variables)
    assert _FIELD_VALUE.fullmatch(value)
