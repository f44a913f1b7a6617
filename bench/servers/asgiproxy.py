"""asgiproxy behind uvicorn: ``python -m bench.servers.asgiproxy PORT UPSTREAM``."""

import sys

from asgiproxy.config import BaseURLProxyConfigMixin, ProxyConfig
from asgiproxy.context import ProxyContext
from asgiproxy.simple_proxy import make_simple_proxy_app

from bench.endpoint import LOOPBACK
from bench.servers.uvicorn_server import run

_CONCURRENCY = 512
"""Its default lets 20 requests through at once; more is faster on many connections."""

if __name__ == "__main__":
    upstream = f"{LOOPBACK}:{sys.argv[2]}"
    settings = {"upstream_base_url": f"http://{upstream}", "rewrite_host_header": upstream}
    config = type("Config", (BaseURLProxyConfigMixin, ProxyConfig), settings)()
    run(make_simple_proxy_app(ProxyContext(config, _CONCURRENCY)), int(sys.argv[1]))
