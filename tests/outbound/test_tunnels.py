"""Tunnels of apps: which of them end, when that is looked at, and what it does to what runs."""

from __future__ import annotations

from typing import Any, cast

from proxy.core.access.call_routes import HostCall
from proxy.core.errors import Code, Refusal
from proxy.core.gate import Request
from proxy.core.http.forwarded import RemotePeer
from proxy.core.http.headers import values_of
from proxy.core.http1.grammar import RequestHead
from proxy.outbound.tunnels import AppTunnel, Credentials, Tunnels, credentials_of

LOST = Refusal(Code.TOKEN_UNKNOWN, "lost")
HEAD = RequestHead(b"GET", b"/x", 1, ())


class Running:
    """A request in a tunnel."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def begin(self) -> None:
        self.done.append("begin")

    def revoke(self, reason: Refusal) -> None:
        self.done.append(reason.code.public)


class Listener:
    """What tunnels are opened at."""

    def __init__(self) -> None:
        self.lost: set[str] = set()
        self.asked: list[str] = []
        self.done: list[str] = []
        self.runs: list[Running] = []
        self.tunnels = Tunnels(self.why_lost)

    def why_lost(self, credentials: Credentials) -> Refusal | None:
        self.asked.append(credentials.app)
        return LOST if credentials.app in self.lost else None

    def open(self, app: str) -> AppTunnel:
        def prepare(*_: object) -> Any:
            self.runs.append(Running())
            return self.runs[-1]

        credentials = Credentials(app, "a.example", ((b"portal-token", app.encode()),))
        tunnel = AppTunnel(self.tunnels, credentials, prepare)
        tunnel.opened(lambda: self.done.append(app))
        return tunnel


def serve(tunnel: AppTunnel) -> None:
    tunnel.serve(HEAD, RemotePeer(""), cast(Any, None))


def test_only_what_is_lost_ends_and_what_runs_in_it_is_revoked() -> None:
    listener = Listener()
    idle, running, done, other = map(listener.open, ("box", "box", "box", "other"))
    for tunnel in (running, done, other):
        serve(tunnel)
    done.finished()
    listener.lost = {"box"}

    listener.tunnels.end_lost((object(),))

    assert sorted(listener.done) == ["box"] * 3
    assert [run.done for run in listener.runs] == [["begin", "token_unknown"], ["begin"], ["begin"]]
    for tunnel in (idle, running, done):
        tunnel.closed()
    assert len(listener.tunnels) == 1
    assert listener.asked.count("box") == 1  # those that are alike are judged once


def test_nothing_is_looked_at_while_nothing_has_changed() -> None:
    listener = Listener()
    listener.open("box")
    first, second = object(), object()
    for judged_by in ((first, second), (first, second), (first, object()), (first,)):
        listener.tunnels.end_lost(judged_by)
    assert len(listener.asked) == 3


def test_a_tunnel_whose_connection_is_gone_is_forgotten_and_ends_nothing() -> None:
    listener = Listener()
    tunnel = listener.open("box")
    tunnel.closed()
    tunnel.closed()
    listener.lost = {"box"}
    listener.tunnels.end_lost((object(),))
    tunnel.end(LOST)
    assert (len(listener.tunnels), listener.done) == (0, [])


def test_what_connect_showed_is_kept_and_nothing_else_of_it() -> None:
    shown = ((b"portal-token", b"a"), (b"proxy-authorization", b"b"), (b"portal-token", b"c"))
    request = Request(b"CONNECT", b"a.example:80", ((b"host", b"x"), *shown, (b"cookie", b"d")))
    kept = credentials_of("box", "a.example", request)
    assert values_of(kept.request.fields, b"portal-token") == [b"a", b"c"]
    assert values_of(kept.request.fields, b"proxy-authorization") == [b"b"]
    assert len(kept.request.fields) == 3
    assert kept.request.target == b"/"


def test_a_request_in_it_leads_to_its_host() -> None:
    tunnel = Listener().open("box")
    request = Request(b"GET", b"/x", ((b"host", b"A.example"),))
    assert tunnel.route(request) == HostCall("a.example", b"/x")
