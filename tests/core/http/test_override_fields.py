"""Fields by which a server takes another request than the one that was judged."""

import pytest

from proxy.core.http.headers import INTERMEDIARY, spelling
from proxy.core.http.override_fields import OVERRIDE_FIELDS, is_override_field

_SEPARATORS = [b"-", b"_", b".", b"~", b"+", b"!"]


@pytest.mark.parametrize("name", sorted(OVERRIDE_FIELDS))
def test_an_override_field_is_one_in_every_spelling(name: bytes) -> None:
    assert spelling(name) == name
    assert name not in INTERMEDIARY
    for separator in _SEPARATORS:
        assert is_override_field(name.replace(b"-", separator))
    assert is_override_field(name.upper())
    assert not is_override_field(name + b"x")


@pytest.mark.parametrize(
    "name",
    [
        # No rule looks at a method, so who overrides it gets past none.
        b"x-http-method-override", b"x-http-method", b"x-method-override",
        # What browsers and ordinary clients send.
        b"accept", b"accept-language", b"authorization", b"cache-control", b"content-type",
        b"cookie", b"depth", b"destination", b"dnt", b"etag", b"if-match", b"lock-token", b"origin",
        b"overwrite", b"priority", b"range", b"referer", b"sec-fetch-site", b"sec-websocket-key",
        b"soapaction", b"te", b"traceparent", b"upgrade-insecure-requests", b"user-agent",
        b"x-api-key", b"x-csrf-token", b"x-requested-with", b"x-nextjs-data", b"tus-resumable",
        b"upload-offset", b"x-original-filename", b"x-transmission-session-id", b"hx-request",
        b"x-file-name", b"x-path", b"x-url", b"x-user", b"x-auth-user", b"next-url", b"rsc",
        b"x-amz-date", b"url", b"path", b"script", b"method", b"scheme",
    ],
)  # fmt: skip
def test_what_clients_send_is_none(name: bytes) -> None:
    assert not is_override_field(name)


@pytest.mark.parametrize(
    "name",
    [b"$WSRA", b"$wssn", b"X-Astro-Path", b"X_Proxied.Https", b"Raw-Request-URI", b"Remote-Groups",
     b"x-http2-path", b"X-ApiGateway-Event", b"X-Orig-Request-Uri", b"x-original-pathname"],
)  # fmt: skip
def test_further_ones_of_products(name: bytes) -> None:
    assert is_override_field(name.lower())
