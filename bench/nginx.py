"""nginx, twice: as the app behind every hop, and as the hop that is compared with.

As a hop it is tuned: one worker, connections kept on both sides, nothing buffered to disk or held
back (a default nginx takes a whole upload before it sends a byte on), nothing logged.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench.crew import Crew, Member, NotStarted
from bench.endpoint import LOOPBACK
from bench.work import content

_COMMON = """\
daemon off;
worker_processes 1;
master_process {master};
{user}
pid {folder}/pid;
error_log stderr;
worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
  access_log off;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  default_type application/octet-stream;
  tcp_nodelay on;
{rest}
}}
"""
_APP = """\
  sendfile on;
  server {{
    listen {address} backlog=2048;
    root {folder};
    location = /small {{ return 200 "{small}"; }}
    location = /open/small {{ return 200 "{small}"; }}
  }}
"""
_HOP = """\
  upstream app {{
    server {upstream};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {address} backlog=2048{tls};
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
{connection}      proxy_set_header Host $http_host;
      proxy_request_buffering off;
      proxy_buffering off;
{buffers}    }}
  }}
"""
_FRONT = """\
  upstream app {{
    server {upstream};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  upstream auth {{
    server {auth};
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_buffering off;
  server {{
    listen {address} backlog=2048;
    location / {{
      auth_request /auth;
      proxy_pass http://app;
      proxy_request_buffering off;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
    }}
    location = /auth {{
      internal;
      proxy_pass http://auth;
      proxy_pass_request_body off;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
      proxy_set_header X-Forwarded-Method $request_method;
      proxy_set_header X-Forwarded-Proto http;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Uri $request_uri;
    }}
  }}
"""
_KEPT = """\
      proxy_set_header Connection "";
"""
_UPGRADED = """\
      proxy_set_header Connection upgrade;
      proxy_set_header Upgrade $http_upgrade;
"""
_TLS = """\
 ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.3"""
_LARGE = """\
      client_body_buffer_size 64k;
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
"""


def program() -> str | None:
    """Return the path of nginx, or None where there is none."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def version() -> str:
    if (nginx := program()) is None:
        return "none"
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False)  # noqa: S603 - found on the path
    return said.stderr.strip().rpartition("/")[2]


def start_app(crew: Crew, bodies: Iterable[str] = ("1mib", "64mib")) -> Member:
    """Start nginx as the app, with these bodies as files; raises ``NotStarted``."""
    folder = crew.new_folder("nginx-app")
    for name in bodies:
        (folder / name).write_bytes(content(name))
    port = crew.port()
    rest = _APP.format(
        address=f"{LOOPBACK}:{port}", folder=folder, small=content("small").decode("ascii")
    )
    return crew.start("nginx-app", _line(folder, rest), port, measured=False)


def start_hop(
    crew: Crew,
    upstream: int,
    *,
    large: bool = False,
    sockets: bool = False,
    alone: bool = False,
    pair: tuple[Path, Path] | None = None,
) -> Member:
    """Start nginx as a hop in front of the port ``upstream``; raises ``NotStarted``.

    With ``large`` its buffers hold 64 KiB: by default they hold 4 (down) and 16 (up), and with
    nothing buffered that is how much one read takes, so that large bodies cost several times more.
    With ``sockets`` it lets WebSockets through, and nothing else. With a ``pair``, the files of a
    certificate and its key, it speaks TLS. ``alone`` it is one process, for who watches one.
    """
    folder, port = crew.new_folder("nginx-hop"), crew.port()
    rest = _HOP.format(
        address=f"{LOOPBACK}:{port}",
        upstream=f"{LOOPBACK}:{upstream}",
        buffers=_LARGE if large else "",
        connection=_UPGRADED if sockets else _KEPT,
        tls="" if pair is None else _TLS.format(certificate=pair[0], key=pair[1]),
    )
    return crew.start("nginx-hop", _line(folder, rest, alone=alone), port)


def start_front(crew: Crew, upstream: int, auth: int) -> Member:
    """Start nginx so that it asks the port ``auth`` about each request; raises ``NotStarted``."""
    folder, port = crew.new_folder("nginx-front"), crew.port()
    rest = _FRONT.format(
        address=f"{LOOPBACK}:{port}", upstream=f"{LOOPBACK}:{upstream}", auth=f"{LOOPBACK}:{auth}"
    )
    return crew.start("nginx-front", _line(folder, rest), port)


def _line(folder: Path, rest: str, *, alone: bool = False) -> list[str]:
    nginx = program()
    if nginx is None:
        raise NotStarted("there is no nginx on this machine, and it couldn't be installed")
    # As root, nginx would drop to a user that can't read a folder of ours.
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = folder / "nginx.conf"
    master = "off" if alone else "on"
    configuration.write_text(_COMMON.format(user=user, master=master, folder=folder, rest=rest))
    return [nginx, "-p", str(folder), "-c", str(configuration)]
