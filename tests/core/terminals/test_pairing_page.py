"""The pairing page: what it says, and what it can't be made to say or do."""

import hashlib
import re
from base64 import b64encode

import pytest

from proxy.core.http.origin import parse_origin
from proxy.core.terminals.pairing_page import View, page_fields, render

PORTAL = parse_origin("https://b8rk3f.p.example:8443")
_NASTY = '"><script>alert(1)</script>{0}{title}&amp;'


def _policy() -> str:
    return dict(page_fields(PORTAL))[b"content-security-policy"].decode()


@pytest.mark.parametrize("tag", ["style", "script"])
def test_the_policy_lets_run_what_the_page_holds_and_nothing_else(tag: str) -> None:
    page = render(View("Ada")).decode()
    (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert f"{tag}-src 'sha256-{digest}';" in _policy()
    assert "default-src 'none'" in _policy()
    assert "unsafe" not in _policy()
    assert "frame-ancestors 'none'" in _policy()


def test_the_form_leads_to_this_portal_and_its_apps_alone() -> None:
    assert (
        "form-action 'self' https://b8rk3f.p.example:8443 https://*.b8rk3f.p.example:8443;"
        in _policy()
    )


def test_nothing_that_is_shown_is_markup() -> None:
    view = View(_NASTY, f"https://b8rk3f.p.example:8443/{_NASTY}", _NASTY, _NASTY, _NASTY)
    page = render(view).decode()
    assert page.count("<script>") == 1
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "{title}" in page
    paired = render(View("Ada", view.return_address, paired_as=_NASTY)).decode()
    assert "<script>alert" not in paired


def test_every_input_has_a_label_and_a_hint() -> None:
    page = render(View("Ada")).decode()
    for name in ("code", "name"):
        assert f'<label for="{name}">' in page
        assert f'aria-describedby="about-{name}"' in page
        assert f'id="about-{name}"' in page


def test_an_error_is_said_aloud_and_keeps_what_was_typed() -> None:
    page = render(View("Ada", None, "Phone", "ABCD", "This code isn't good.")).decode()
    assert '<p class="message bad" id="error" role="alert">This code isn&#x27;t good.</p>' in page
    assert 'value="ABCD"' in page
    assert 'value="Phone"' in page
    assert 'aria-describedby="error about-code" aria-invalid="true"' in page
    assert "<title>Error: " in page
    harmless = render(View("Ada", None, "Phone")).decode()
    assert "aria-invalid" not in harmless.partition("<main>")[2]
    assert 'role="alert"' not in harmless


def test_who_is_paired_already_is_told_and_can_go_on() -> None:
    page = render(View("Ada", "https://n.b8rk3f.p.example:8443/?a&b", paired_as="Phone")).decode()
    assert "paired already, as <bdi>Phone</bdi>" in page
    assert '<a href="https://n.b8rk3f.p.example:8443/?a&amp;b">Go on</a>' in page


def test_the_page_says_where_it_leads() -> None:
    page = render(View("Ada", "https://n.b8rk3f.p.example:8443/x")).decode()
    assert "Then you go on to <bdi>n.b8rk3f.p.example</bdi>." in page
    assert "Then you go on" not in render(View("Ada")).decode()


def test_where_apps_have_no_hosts_the_form_leads_to_none() -> None:
    policy = dict(page_fields(PORTAL, to_apps=False))[b"content-security-policy"].decode()
    assert "*." in _policy()
    assert "*." not in policy
    assert f"form-action 'self' {PORTAL}; base-uri" in policy
