"""Who calls, by the requests of real frameworks; and calls from an event loop of trio's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1]
FRAMEWORKS = ["flask", "django", "aiohttp", "tornado", "quart", "starlette"]
LOOPS = ["trio"]
PROGRAM = """
import asyncio, http.client, io, json, sys
from portal_peers import CallerUnclear, caller
ONCE = [("X-Ptl-Client-Type", "peer"), ("X-Ptl-Client-Id", "a" * 103),
        ("X-Ptl-Client-Name", "B%C3%B6b")]
TWICE = [*ONCE, ("X-Ptl-Client-Id", "b" * 103)]

def seen(request):
    try:
        who = caller(request)
    except CallerUnclear:
        return "unclear"
    return f"{who.type} {who.id[:3]} {who.name}".strip()

def flask(fields):
    from flask import Flask, request
    with Flask("app").test_request_context("/", headers=fields):
        return seen(request)

def environ(fields):
    told = {"REQUEST_METHOD": "GET", "wsgi.input": io.BytesIO(), "SERVER_NAME": "x",
            "SERVER_PORT": "80"}
    for name, value in fields:
        key = "HTTP_" + name.upper().replace("-", "_")
        told[key] = f"{told[key]},{value}" if key in told else value
    return told

def scope(fields):
    return {"type": "http", "method": "GET", "path": "/", "query_string": b"", "server": ("x", 80),
            "root_path": "", "scheme": "http", "http_version": "1.1", "client": ("x", 1),
            "headers": [(n.lower().encode(), v.encode()) for n, v in fields]}

def django(fields):
    import django.conf
    if not django.conf.settings.configured:
        django.conf.settings.configure()
    from django.core.handlers.wsgi import WSGIRequest
    from django.core.handlers.asgi import ASGIRequest
    both = {seen(WSGIRequest(environ(fields))), seen(ASGIRequest(scope(fields), io.BytesIO()))}
    return both.pop() if len(both) == 1 else str(both)

def aiohttp(fields):
    from aiohttp.test_utils import make_mocked_request
    from multidict import CIMultiDict
    return seen(make_mocked_request("GET", "/", headers=CIMultiDict(fields)))

def tornado(fields):
    from tornado.httputil import HTTPHeaders, HTTPServerRequest
    headers = HTTPHeaders()
    for name, value in fields:
        headers.add(name, value)
    return seen(HTTPServerRequest("GET", "/", headers=headers, host="x"))

def quart(fields):
    from quart import Quart, request
    from werkzeug.datastructures import Headers
    async def ask():
        async with Quart("app").test_request_context("/", headers=Headers(fields)):
            return seen(request)
    return asyncio.run(ask())

def starlette(fields):
    from starlette.requests import Request
    from starlette.websockets import WebSocket
    both = {seen(Request(scope(fields))),
            seen(WebSocket({**scope(fields), "type": "websocket"}, None, None))}
    return both.pop() if len(both) == 1 else str(both)

async def call():
    from portal_peers import AsyncPortal
    from portal_peers.fake import FakePortal
    fake = FakePortal()
    fake.add_peer("Bob").respond(content=b"hello")
    async with AsyncPortal(settings=fake.settings) as portal:
        (bob,) = await portal.peers()
        assert (await bob.put("/x", content=io.BytesIO(b"file"))).content == b"hello"
        async with bob.stream("PUT", "/x", content=iter([b"a", b"b"])) as response:
            assert [piece async for piece in response.aiter_bytes()] == [b"hello"]
    assert [call.content for call in fake.calls] == [b"file", b"ab"]

import trio
trio.run(call)
told = {name: [globals()[name](fields) for fields in (ONCE, TWICE, [])] for name in sys.argv[1:]}
print(json.dumps(told))
"""


@pytest.mark.more
def test_each_frameworks_request_tells_who_calls(tmp_path: Path) -> None:
    folder = tmp_path / "frameworks"
    install = ("-m", "pip", "install", "-qq", "--disable-pip-version-check", "--target")
    subprocess.run([sys.executable, *install, str(folder), *FRAMEWORKS, *LOOPS], check=True)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *FRAMEWORKS],
        env={**kept, "PYTHONPATH": f"{folder}{os.pathsep}{PACKAGE}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wanted = ["peer aaa Böb", "unclear", "anonymous"]
    assert json.loads(done.stdout) == dict.fromkeys(FRAMEWORKS, wanted)
