"""Caddy, nginx and Traefik, each with a file of docs/setup as it stands there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import Authority, write_pair
from tests.wire.harness.portals import ROOT, end, environment, wait_for_ports
from tests.wire.harness.recorder import eventually

SETUP = ROOT / "docs" / "setup"
HTTPS = 443
NAMES = {
    "one-name": ("portal.ada.example",),
    "app-hosts": ("8271dd.p.getportal.org", "*.8271dd.p.getportal.org"),
}
"""The names in the files, by what comes before the files' own endings."""

_NGINX = """\
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  include {file};
}}
"""
_CADDY = """\
{{
  admin off
  local_certs
  skip_install_trust
  auto_https disable_redirects
}}
import {file}
"""
"""Where Caddy gets a certificate by itself, it is its own authority here."""


@contextmanager
def web_server(kind: str, mode: str, folder: Path, authority: Authority) -> Iterator[bytes]:
    """Run a web server; give the certificates (PEM) of whoever may have signed its own."""
    folder.mkdir()
    folder.chmod(0o755)
    etc = folder / "etc-ssl"
    etc.mkdir()
    write_pair(etc / "portal", authority.issue(*NAMES[mode]))
    command, trusted = _COMMANDS[kind](mode, folder)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            _with_folders({etc: "/etc/ssl"} | _more_folders(kind, mode, folder), command),
            env=environment() | {"XDG_DATA_HOME": str(folder / "data"), "HOME": str(folder)},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_for_ports(process, HTTPS, log=folder / "log")
        if trusted is not None:
            eventually(trusted.exists)
        yield authority.pem + (trusted.read_bytes() if trusted is not None else b"")
    finally:
        end(process)


def _with_folders(mounted: dict[Path, str], command: list[str]) -> list[str]:
    """Return a command that sees other folders where the files of docs/setup say they are."""
    mounts = [f"mount --bind {here} {there}" for here, there in mounted.items()]
    script = " && ".join([*mounts, 'exec "$@"'])
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command]


def _more_folders(kind: str, mode: str, folder: Path) -> dict[Path, str]:
    if kind != "traefik":
        return {}
    # /mnt is everywhere, and /etc/traefik isn't.
    etc = folder / "etc"
    (etc / "traefik" / "dynamic").mkdir(parents=True)
    shutil.copy(SETUP / "traefik" / "traefik.yaml", etc / "traefik")
    shutil.copy(SETUP / "traefik" / f"{mode}.yaml", etc / "traefik" / "dynamic")
    shutil.copytree(folder / "etc-ssl", etc / "ssl")
    return {etc: "/etc"}


def _nginx(mode: str, folder: Path) -> tuple[list[str], Path | None]:
    config = folder / "nginx.conf"
    file = SETUP / "nginx" / f"{mode}.conf"
    config.write_text(_NGINX.format(folder=folder, file=file))
    return [found("nginx"), "-c", str(config), "-e", str(folder / "error.log")], None


def _caddy(mode: str, folder: Path) -> tuple[list[str], Path | None]:
    config = folder / "Caddyfile"
    config.write_text(_CADDY.format(file=SETUP / "caddy" / f"{mode}.Caddyfile"))
    root = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    command = [found("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"]
    return command, root if mode == "one-name" else None


def _traefik(_: str, __: Path) -> tuple[list[str], Path | None]:
    return [found("traefik"), "--configFile=/etc/traefik/traefik.yaml"], None


_COMMANDS = {"nginx": _nginx, "caddy": _caddy, "traefik": _traefik}


def found(program: str) -> str:
    """Return the path of a program; skips where there is none."""
    for path in (str(ROOT / ".venv-servers" / "bin"), None, "/usr/sbin"):
        if found := shutil.which(program, path=path):
            return found
    return pytest.skip(f"no {program} here")
