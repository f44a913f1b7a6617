"""Sanic, behind a proxy that it believes (``PROXIES_COUNT``)."""

import sys

from sanic import HTTPResponse, Request, Sanic
from sanic.response import json

app = Sanic("seen")
app.config.PROXIES_COUNT = 1


def seen(request: Request, page: str) -> HTTPResponse:
    facts = {"page": page, "method": request.method, "path": request.path, "url": request.url}
    more = {"host": request.host, "from": request.remote_addr, "forwarded": request.forwarded}
    return json({**facts, **more, "body": request.body.decode("latin-1")})


def private(request: Request) -> HTTPResponse:
    return seen(request, "private")


def public(request: Request, rest: str) -> HTTPResponse:
    del rest
    return seen(request, "public")


_METHODS = ("GET", "HEAD", "POST", "DELETE")
app.add_route(private, "/private/", methods=_METHODS, name="folder")
app.add_route(private, "/private/secret", methods=_METHODS)
app.add_route(public, "/public/<rest:path>", methods=_METHODS)

if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), single_process=True, access_log=False, motd=False)
