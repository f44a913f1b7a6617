"""The pairing form's bytes, and the name that is proposed for a device."""

from urllib.parse import urlencode

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.terminals.pairing_form import Form, likely_name, read_form


def test_a_form_is_read_as_it_was_typed() -> None:
    inputs = {"code": "abcd-efgh", "name": " Ada\u2019s phone & <b> ", "to": "https://x/?a=b&c"}
    form = read_form(urlencode(inputs).encode())
    assert form == Form("abcd-efgh", "Ada\u2019s phone & <b>", "https://x/?a=b&c")


@pytest.mark.parametrize("body", [b"", b"x=y", b"code", b"{}", b"&&&"])
def test_what_is_missing_is_empty(body: bytes) -> None:
    assert read_form(body) == Form("", "", "")


@pytest.mark.parametrize(
    "body",
    [b"code=a&code=b", b"to=a&name=x&to=b", b"code=\xff", b"name=%ff", b"&".join([b"a=b"] * 100)],
)
def test_what_two_could_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        read_form(body)
    assert caught.value.code is Code.BAD_REQUEST


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
            "Firefox on Linux",
        ),
        (
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)"
                " Chrome/131.0.0.0 Mobile Safari/537.36"
            ),
            "Chrome on Android",
        ),
        (
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15"
                " (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
            ),
            "Safari on iPhone",
        ),
        (
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
                " Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0"
            ),
            "Edge on Windows",
        ),
        ("curl/8.5.0", ""),
        ("", ""),
    ],
)
def test_a_device_is_called_by_what_it_says_it_is(user_agent: str, name: str) -> None:
    assert likely_name(user_agent.encode()) == name
