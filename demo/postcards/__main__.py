"""A postcard box for a Portal: ``python3 -m postcards --port 9101 --storage cards.sqlite``.

It must be reachable through its Portal's proxy alone: who can reach it directly can claim anything.
"""

import argparse
import os
import sqlite3
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

from .box import Box
from .handler import Handler


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="postcards", description="A postcard box for a Portal.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "9101")))
    parser.add_argument("--storage", type=Path, default=Path("postcards.sqlite"))
    options = parser.parse_args()
    try:
        box = Box(options.storage)
        server = ThreadingHTTPServer((options.host, options.port), partial(Handler, box))
    except (OSError, sqlite3.Error) as error:
        raise SystemExit(f"postcards: {error}") from error
    print(f"postcards: http://{options.host}:{server.server_port}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
