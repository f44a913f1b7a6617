"""Bottle, under its own default server (wsgiref's)."""

import sys
from typing import Any

from bottle import Bottle, HTTPResponse, request, static_file
from wsgi import variables

app = Bottle()


def seen(page: str) -> dict[str, Any]:
    facts = {"page": page, "method": request.method, "path": request.path, "url": request.url,
             "mount": request.script_name, "from": request.remote_addr,
             "body": request.body.read().decode("latin-1")}  # fmt: skip
    return {**facts, **variables(request.environ)}


def file(name: str) -> HTTPResponse:
    return static_file(name, root=sys.argv[2])


app.route("/static/<name:path>", callback=file)
app.route("/private/secret", callback=lambda: seen("private"))
app.route("/public/<_:path>", method="ANY", callback=lambda _: seen("public"))
app.route("/<_:path>", method="ANY", callback=lambda _: seen("other"))

if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(sys.argv[1]), quiet=True)
