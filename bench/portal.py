"""Our own proxy as it is run by its owner: ``portal-proxy serve``, one app, all of it public."""

import json
import subprocess
import sys
from pathlib import Path

from bench.crew import ROOT, Crew, Member, NotStarted
from bench.load import LOOPBACK

_DOMAIN = "portal.localhost"
_APP = "bench"
_PORTAL_YAML = """\
name: Bench
domain: {domain}
public_url: http://{{short_id}}.{domain}:{public}
state: ../state
listen: {{public: "127.0.0.1:{public}", apps: "127.0.0.1:{apps}", owner: "127.0.0.1:{owner}"}}
"""
_APP_JSON = {"v": "3.2", "name": _APP, "port": 80, "paths": {"": {"access": "public"}}}


def start(crew: Crew, upstream: int) -> Member:
    """Start a Portal whose app is at the port ``upstream``; raises ``NotStarted``."""
    config = crew.new_folder("portal") / "config"
    port = crew.port()
    app = config / "apps" / _APP
    app.mkdir(parents=True)
    text = _PORTAL_YAML.format(domain=_DOMAIN, public=port, apps=crew.port(), owner=crew.port())
    (config / "portal.yaml").write_text(text)
    (app / "app.json").write_text(json.dumps(_APP_JSON))
    (app / "proxy.yaml").write_text(f"upstream: http://{LOOPBACK}:{upstream}\n")
    _command(config, "init")
    host = f"{_APP}.{_command(config, 'id').strip()[:6]}.{_DOMAIN}:{port}"
    return crew.start("portal-proxy", [*_line(config), "serve"], port, host=host)


def _command(config: Path, word: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own program
        [*_line(config), word], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NotStarted(f"portal-proxy {word}: {done.stderr.strip()}")
    return done.stdout


def _line(config: Path) -> list[str]:
    return [sys.executable, "-m", "proxy", "--config", str(config)]
