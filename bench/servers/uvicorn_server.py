"""uvicorn as all Python subjects use it: one process, asyncio's own loop, nothing logged."""

from typing import Any

import uvicorn

from bench.endpoint import LOOPBACK


def run(app: Any, port: int, http: Any = "httptools") -> None:  # noqa: ANN401 - ASGI
    """Serve ``app`` until a signal; ``http`` names the protocol, or is its class."""
    uvicorn.run(
        app, host=LOOPBACK, port=port, http=http, loop="asyncio", ws="none", lifespan="off",
        log_level="error", access_log=False, proxy_headers=False, server_header=False,
        date_header=False, timeout_keep_alive=75,
    )  # fmt: skip
