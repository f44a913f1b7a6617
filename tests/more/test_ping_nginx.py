"""``ping --thorough`` and ``call`` past a real nginx, with one of its settings wrong at a time."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from proxy.cli import ping_thorough
from proxy.cli.ping_thorough import NAMES
from tests.cli.test_ping_thorough import Home
from tests.patience import PATIENCE
from tests.wire.harness.portals import reserve_port
from tests.wire.harness.raw import LOOPBACK
from tests.wire.harness.recorder import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")

pytestmark = [pytest.mark.more, pytest.mark.skipif(_NGINX is None, reason="no nginx here")]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr(ping_thorough, "SILENCE", 3)
    with ExitStack() as stack:
        yield Home(tmp_path, stack)


def _takes_connections(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
        return True
    return False


@contextmanager
def nginx(folder: Path, to: int, settings: str) -> Iterator[int]:
    """Run an nginx before the port ``to``, with ``settings`` in its ``location``."""
    holder, port = reserve_port()
    holder.close()
    text = f"""
        {"user root;" if os.geteuid() == 0 else ""}
        daemon off; pid {folder}/nginx.pid; error_log stderr;
        events {{}}
        http {{
            access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            server {{
                listen {LOOPBACK}:{port};
                location / {{ proxy_pass http://{LOOPBACK}:{to}; {settings} }}
            }}
        }}
    """
    file = folder / "nginx.conf"
    file.write_text(text)
    assert _NGINX
    with subprocess.Popen(
        [_NGINX, "-p", str(folder), "-c", str(file)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            eventually(lambda: _takes_connections(port))
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE)


HOST = "proxy_set_header Host $http_host;"
GOOD = f"""
    {HOST} proxy_http_version 1.1; client_max_body_size 0; proxy_request_buffering off;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
"""


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (GOOD, {}),
        (GOOD.replace("client_max_body_size 0;", ""), {"body": "client_max_body_size 0"}),
        (
            GOOD.replace("proxy_set_header Upgrade $http_upgrade;", ""),
            {"websocket": "proxy_set_header Upgrade $http_upgrade"},
        ),
        (GOOD + "proxy_read_timeout 1s;", {"silence": "proxy_read_timeout 2m"}),
        (HOST, {"body": "client_max_body_size 0", "websocket": "proxy_set_header Upgrade"}),
    ],
)
def test_what_nginx_stops_is_told_with_its_setting(
    home: Home, tmp_path: Path, settings: str, wrong: dict[str, str]
) -> None:
    with nginx(tmp_path, home.bob.public, settings) as port:
        steps = home.ping(connect=port)
    assert [name for name in NAMES if steps[name]["ok"] is False] == list(wrong), steps
    for name, setting in wrong.items():
        assert setting in steps[name]["what"] + steps[name]["next"]
