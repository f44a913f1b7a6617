"""The standard library's http.server with handlers as they are often written.

``careful`` reads the body that a length announces; ``kept`` does, and keeps the connection;
``careless`` never reads one, and keeps the connection.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Careful(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.respond(self.rfile.read(length) if length else b"")

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def respond(self, body: bytes) -> None:
        path = self.path.partition("?")[0]
        page = "private" if path.startswith("/private/") else "other"
        facts = {"page": page, "method": self.command, "path": self.path, "body": repr(body),
                 "host": self.headers["Host"], "version": self.request_version}  # fmt: skip
        said = json.dumps(facts).encode()
        status = path.removeprefix("/public/status/")
        self.send_response(int(status) if status in {"204", "304"} else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)  # to HEAD, 204 and 304 too, as in many a handler


class Kept(Careful):
    protocol_version = "HTTP/1.1"


class Careless(Kept):
    def do_GET(self) -> None:
        self.respond(b"")

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815


if __name__ == "__main__":
    handler = {"careful": Careful, "kept": Kept, "careless": Careless}[sys.argv[1]]
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), handler).serve_forever()
