"""asgiproxy behind uvicorn: ``python -m bench.servers.asgiproxy PORT UPSTREAM``."""

import sys

from asgiproxy.config import BaseURLProxyConfigMixin, ProxyConfig
from asgiproxy.context import ProxyContext
from asgiproxy.simple_proxy import make_simple_proxy_app

from bench.load import LOOPBACK
from bench.servers.uvicorn_server import run

if __name__ == "__main__":

    class _Config(BaseURLProxyConfigMixin, ProxyConfig):
        upstream_base_url = f"http://{LOOPBACK}:{sys.argv[2]}"
        rewrite_host_header = f"{LOOPBACK}:{sys.argv[2]}"

    # Its default lets 20 requests through at once; more is faster at high concurrency.
    run(make_simple_proxy_app(ProxyContext(_Config(), max_concurrency=512)), int(sys.argv[1]))
