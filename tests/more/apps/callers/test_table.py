"""docs/clients.md: each client calls a peer in each form, as its row says, sealed in every one.

``WRITE=1`` writes the versions of what was tried into the page.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.more.apps.callers import table
from tests.more.apps.callers.calls import Calls
from tests.more.apps.callers.catalogue import CLIENTS, Client, Form

pytestmark = pytest.mark.more

_OUTSIDE = (Form.PROXY, Form.CONNECT, Form.PATH)
"""Where no network of the app's own is needed."""


def _cells(*forms: Form, calls: bool = True) -> list[object]:
    return [
        pytest.param(client, form, id=f"{client.name.replace('`', '')}-{form.value}")
        for form in forms
        for client in CLIENTS
        if (client.way(form).calls if calls else client.way(form).refuses)
    ]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    with Calls(tmp_path_factory.mktemp("outside"), has_entrance=False) as calls:
        yield calls


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    with Calls(tmp_path_factory.mktemp("inside"), has_entrance=True) as calls:
        yield calls


@pytest.fixture(scope="module")
def tried() -> Iterator[dict[str, set[Form]]]:
    """Give in which forms each client has called; what has called in all may be written."""
    forms: dict[str, set[Form]] = {client.name: set() for client in CLIENTS}
    yield forms
    if os.environ.get("WRITE"):
        whole = [each for each in CLIENTS if forms[each.name] == _forms(each)]
        table.write({each.name: table.version_in(_say(each.version)) for each in whole})


def _forms(client: Client) -> set[Form]:
    return {form for form in Form if client.way(form).calls}


def _say(command: tuple[str, ...]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _calls(request: pytest.FixtureRequest, client: Client, form: Form) -> Calls:
    if client.missing:
        pytest.skip(f"no {client.missing} here")
    calls: Calls = request.getfixturevalue("inside" if form is Form.ENTRANCE else "outside")
    calls.app.clear()
    return calls


def _call(calls: Calls, client: Client, form: Form) -> None:
    sealed, tunnels = calls.arrived("sealed"), calls.tunnels()

    done = calls.run(client, form)

    assert done.returncode == 0, done.stdout + done.stderr
    if client.is_git:
        assert calls.app.commits()[0] == f"by {form.value}"
    else:
        peers, *said = done.stdout.splitlines()
        assert said == ["200 ok"] * 4, done.stdout + done.stderr
        assert calls.bob.id in peers
        assert calls.app.requests == [
            (b"GET", b"/a%2Fb?c=%E4", b""),
            (b"GET", b"/moved", b""),
            (b"GET", b"/entries", b""),
            (b"GET", b"/entries", b""),
            (b"POST", b"/entries", b"Hi"),
        ]
    assert calls.arrived("sealed") - sealed == len(calls.app.requests)
    assert calls.arrived("plain") == 0
    opened = calls.tunnels() - tunnels
    assert (opened > 0) == (form is Form.CONNECT), f"{opened} tunnels were opened"


@pytest.mark.parametrize(("client", "form"), _cells(*_OUTSIDE))
def test_it_calls_a_peer_and_every_request_is_sealed(
    client: Client, form: Form, request: pytest.FixtureRequest, tried: dict[str, set[Form]]
) -> None:
    _call(_calls(request, client, form), client, form)
    tried[client.name].add(form)


@pytest.mark.parametrize(("client", "form"), _cells(*_OUTSIDE, calls=False))
def test_one_that_reads_no_proxy_reaches_nobody_by_it(
    client: Client, form: Form, request: pytest.FixtureRequest
) -> None:
    """When one of a later version does, its row says something else."""
    calls = _calls(request, client, form)

    done = calls.run(client, form)

    assert done.returncode != 0
    assert calls.app.requests == []
    assert calls.arrived("plain") == 0


# The last of them: from the first one on, this thread is in another network.
@pytest.mark.parametrize(("client", "form"), _cells(Form.ENTRANCE))
def test_it_calls_a_peer_by_an_entrance_of_its_own(
    client: Client, form: Form, request: pytest.FixtureRequest, tried: dict[str, set[Form]]
) -> None:
    _call(_calls(request, client, form), client, form)
    tried[client.name].add(form)
