"""How samples become a bill: by kinds of functions, and what other threads took."""

import pytest

from bench.load import Wrong
from bench.parts import kind_of, shares


def test_each_kind_has_its_share_and_other_threads_have_theirs() -> None:
    found = [
        ("/x/proxy/core/http1/reader.py", "feed", 3),
        ("/x/lib/asyncio/selector_events.py", "_SelectorSocketTransport.write", 1),
    ]
    assert shares(found, 0.8, 1.0) == {
        "HTTP: heads and bodies are read": pytest.approx(0.6),
        "asyncio: sends": pytest.approx(0.2),
        "other threads": pytest.approx(0.2),
    }


def test_what_was_never_looked_at_has_no_bill() -> None:
    with pytest.raises(Wrong, match="never looked at"):
        shares([], 1.0, 1.0)


@pytest.mark.parametrize(
    ("file", "name", "kind"),
    [
        ("/lib/selectors.py", "EpollSelector.select", "asyncio: waits for events"),
        ("/lib/asyncio/events.py", "Handle._run", "asyncio: the loop, callbacks"),
        ("/x/proxy/inbound/relay.py", "InboundRelay._decide", "the relay: inbound"),
        ("/x/proxy/portal.py", "Portal.x", "other code of ours"),
        ("/lib/base64.py", "b64encode", "other libraries"),
    ],
)
def test_a_function_is_of_the_first_kind_that_fits(file: str, name: str, kind: str) -> None:
    assert kind_of(file, name) == kind
