"""A bare WSGI app that answers with what its server tells it, under the server named in argv."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_STATUS = {"/public/status/204": "204 No Content", "/public/status/304": "304 Not Modified"}
CHANGING = frozenset({"REMOTE_PORT", "wsgi.run_once", "SERVER_SOFTWARE"})


def variables(environ: WSGIEnvironment) -> dict[str, str]:
    """Return what stands in the environ beside the request's fields."""
    kept = {key: value for key, value in environ.items() if key not in CHANGING}
    return {k: v for k, v in sorted(kept.items()) if isinstance(v, str) and is_set_by_server(k)}


def is_set_by_server(key: str) -> bool:
    return key.startswith(("PATH_", "SCRIPT_", "REQUEST_", "SERVER_", "REMOTE_", "QUERY_", "HTTPS",
                           "wsgi.url", "DOCUMENT_", "RAW_URI", "AUTH_"))  # fmt: skip


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    page = "private" if path.startswith("/private/") else "other"
    seen = {"page": page, "body": "", "host": environ.get("HTTP_HOST"), **variables(environ)}
    if path == "/public/fields":
        seen["fields"] = " ".join(key for key in environ if key.startswith("HTTP_"))
    ends = environ.get("wsgi.input_terminated")
    length = int(environ.get("CONTENT_LENGTH") or 0)
    seen["body"] = environ["wsgi.input"].read(*() if ends else (length,)).decode("latin-1")
    body = json.dumps(seen).encode()
    code = _STATUS.get(path, "200 OK")
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response(code, headers)
    return [body]


class ReverseProxied:
    """What a well-known snippet does, which many apps have a copy of."""

    def __init__(self, wrapped: WSGIApplication) -> None:
        self._app = wrapped

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if mount := environ.get("HTTP_X_SCRIPT_NAME", ""):
            environ["SCRIPT_NAME"] = mount
            environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(mount)
        environ["wsgi.url_scheme"] = environ.get("HTTP_X_SCHEME") or environ["wsgi.url_scheme"]
        if server := environ.get("HTTP_X_FORWARDED_SERVER", ""):
            environ["HTTP_HOST"] = server
        return self._app(environ, start_response)


proxied = ReverseProxied(app)


def _waitress(port: int) -> None:
    import waitress  # noqa: PLC0415

    waitress.serve(app, host="127.0.0.1", port=port, threads=2)


def _cheroot(port: int) -> None:
    from cheroot.wsgi import Server  # noqa: PLC0415

    Server(("127.0.0.1", port), app).start()


def _wsgiref(port: int) -> None:
    from wsgiref.simple_server import make_server  # noqa: PLC0415

    make_server("127.0.0.1", port, app).serve_forever()


def _gevent(port: int) -> None:
    from gevent.pywsgi import WSGIServer  # noqa: PLC0415

    WSGIServer(("127.0.0.1", port), app).serve_forever()


def _werkzeug(port: int) -> None:
    from werkzeug.serving import run_simple  # noqa: PLC0415

    run_simple("127.0.0.1", port, app, threaded=True)


def _twisted(port: int) -> None:
    from twisted.internet import reactor  # noqa: PLC0415
    from twisted.web.server import Site  # noqa: PLC0415
    from twisted.web.wsgi import WSGIResource  # noqa: PLC0415

    twisted: Any = reactor
    site = Site(WSGIResource(twisted, twisted.getThreadPool(), app))
    twisted.listenTCP(port, site, interface="127.0.0.1")
    twisted.run()


if __name__ == "__main__":
    servers = {
        "waitress": _waitress,
        "cheroot": _cheroot,
        "wsgiref": _wsgiref,
        "gevent": _gevent,
        "werkzeug": _werkzeug,
        "twisted": _twisted,
    }
    servers[sys.argv[1]](int(sys.argv[2]))
