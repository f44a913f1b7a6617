"""Flask: as it is, in the ``ReverseProxied`` snippet, and in werkzeug's ProxyFix."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix
from wsgi import ReverseProxied, variables


def make() -> Flask:
    flask = Flask(__name__)
    flask.add_url_rule("/private/secret", view_func=lambda: seen("private"), endpoint="private")
    flask.add_url_rule("/public/cookie", view_func=cookie)
    flask.add_url_rule("/public/<path:_>", view_func=lambda _: seen("public"), endpoint="public")
    flask.add_url_rule("/<path:_>", view_func=lambda _: seen("other"), endpoint="other")
    return flask


def cookie() -> Response:
    """Set a cookie for the domain in the query, or for this host alone."""
    response = Response("set")
    response.set_cookie("tossed", "1", domain=request.args.get("domain"))
    response.set_cookie("own", "1")
    return response


def seen(page: str) -> dict[str, Any]:
    return {
        "page": page,
        "method": request.method,
        "path": request.path,
        "mount": request.script_root,
        "url": request.url,
        "from": request.remote_addr,
        "user": request.remote_user,
        **variables(request.environ),
    }


app = make()
proxied = make()
proxied.wsgi_app = ReverseProxied(proxied.wsgi_app)
fixed = make()
fixed.wsgi_app = ProxyFix(fixed.wsgi_app, x_for=1, x_proto=1, x_host=1, x_port=1, x_prefix=1)
