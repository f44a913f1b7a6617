"""Whole apps that a peer uses by their own clients: every request at the app's Portal is sealed.

Verdaccio and Gradio tell their clients where to go on, by URLs that they make of what they were
asked for; Prometheus has pages that lead to each other.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest
import requests

from tests.more.apps.stage import ENVIRONMENT, Stage
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.more.apps.stage import App, Behind

pytestmark = pytest.mark.more

_PYTHON_OF_GRADIO = ENVIRONMENT.with_name(".venv-gradio") / "bin" / "python"
_CLIENTS = Path(__file__).with_name("clients")
_VERDACCIO = Path(__file__).parent / "verdaccio" / "node_modules"
_REGISTRY = """
storage: {folder}/storage
auth: {htpasswd: {file: {folder}/htpasswd}}
packages: {"**": {access: $authenticated, publish: $authenticated}}
web: {enable: false}
log: {type: stdout, format: pretty, level: info}
"""
_PROMETHEUS = """
scrape_configs: [{job_name: itself, static_configs: [{targets: ["127.0.0.1:{port}"]}]}]
"""
_GRADIO = """
import gradio

def count(to):
    for number in range(1, int(to) + 1):
        yield number

with gradio.Blocks() as page:
    text, said = gradio.Textbox(), gradio.Textbox()
    gradio.Button().click(str.upper, text, said, api_name="shout")
    to, number = gradio.Number(), gradio.Number()
    gradio.Button().click(count, to, number, api_name="count")
    file, back = gradio.File(), gradio.File()
    gradio.Button().click(lambda file: file, file, back, api_name="copy")
page.launch(server_name="127.0.0.1", server_port={port}, quiet=True)
"""
_LINK = re.compile(r'(?:href|src)="(/[^"/][^"]*)"')


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


def _at(behind: Behind) -> str:
    """Return the app's address, as a peer's app writes it."""
    return f"http://{behind.portal.told_host(behind.name)}"


def _through(stage: Stage, behind: Behind) -> dict[str, str]:
    """Return the environment of a client at the peer's."""
    way = stage.caller(behind)
    return {"HTTP_PROXY": way, "http_proxy": way, "HOME": str(stage.folder)}


def _all_was_sealed(behind: Behind) -> None:
    assert behind.arrived("sealed") > 0
    assert behind.arrived("plain") == 0


# --- Verdaccio, with npm ------------------------------------------------------------------------


def _verdaccio(stage: Stage) -> App:
    if shutil.which("npm") is None or not (_VERDACCIO / "installed").exists():
        pytest.skip("no Verdaccio here")
    config = stage.folder / "verdaccio.yaml"
    text = _REGISTRY.replace("{folder}", str(stage.folder))
    program = _VERDACCIO / ".bin" / "verdaccio"
    listens = ("--listen", "127.0.0.1:{port}")
    return stage.run_with({config: text}, "verdaccio", program, "--config", config, *listens)


def test_npm_publishes_to_verdaccio_and_installs_from_it(stage: Stage) -> None:
    behind = stage.behind(_verdaccio(stage), {"": "peer"})
    at, way = _at(behind), _through(stage, behind)
    ada = {"name": "ada", "password": "a long one of hers"}
    made = requests.put(
        f"{at}/-/user/org.couchdb.user:ada", json=ada, proxies={"http": way["HTTP_PROXY"]},
        timeout=PATIENCE,
    )  # fmt: skip
    assert made.status_code == 201, made.text
    settings = stage.folder / "npmrc"
    lines = [
        f"registry={at}/",
        f"//{at.removeprefix('http://')}/:_authToken={made.json()['token']}",
    ]
    settings.write_text("\n".join([*lines, "audit=false", "fund=false", "update-notifier=false"]))
    way |= {"npm_config_userconfig": str(settings), "npm_config_cache": str(stage.folder / "npm")}
    thing, user = stage.folder / "thing", stage.folder / "user"
    for folder, facts in ((thing, {"name": "thing", "version": "1.0.0"}), (user, {"name": "user"})):
        folder.mkdir()
        (folder / "package.json").write_text(json.dumps(facts))
    large = "module.exports = 'large';\n" * 20_000
    (thing / "index.js").write_text(large)

    stage.say("npm", "publish", thing, **way)
    stage.say("npm", "install", "--prefix", user, "thing", **way)

    assert (user / "node_modules/thing/index.js").read_text() == large
    lock = json.loads((user / "package-lock.json").read_text())
    assert lock["packages"]["node_modules/thing"]["resolved"].startswith(f"{at}/thing/-/")
    _all_was_sealed(behind)


# --- Prometheus' pages --------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["proxy", "path"])
def test_the_pages_of_prometheus_lead_to_each_other(stage: Stage, form: str) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus here")
    config = stage.folder / "prometheus.yml"
    app = stage.run_with(
        {config: _PROMETHEUS}, "prometheus", "prometheus", f"--config.file={config}",
        f"--storage.tsdb.path={stage.folder / 'data'}", "--web.listen-address=127.0.0.1:{port}",
    )  # fmt: skip
    behind = stage.behind(app, {"": "peer"})
    session = requests.Session()
    session.trust_env = False
    session.proxies = {"http": stage.caller(behind)}
    by_path = f"http://portal_core/internal/call_peer/{behind.portal.id[:6]}"
    base = by_path if form == "path" else _at(behind)

    page = session.get(f"{base}/", timeout=PATIENCE)
    assert page.status_code == 200
    assert [each.status_code for each in page.history] == [302]
    assert page.url == f"{base}/classic/graph"  # Debian's has these pages alone
    assert "Prometheus" in page.text
    links = sorted(set(_LINK.findall(page.text)))
    assert len(links) > 3
    for link in links:
        # In the path form a page's own links lead elsewhere: its client puts the form before them.
        url = base + link if form == "path" else urljoin(page.url, link)
        assert session.get(url, timeout=PATIENCE).status_code == 200, link
    query = {"query": "vector(42)"}
    for got in (
        session.get(f"{base}/api/v1/query", params=query, timeout=PATIENCE),
        session.post(f"{base}/api/v1/query", data=query, timeout=PATIENCE),
    ):
        assert got.json()["data"]["result"][0]["value"][1] == "42"
    _all_was_sealed(behind)


# --- Gradio, with gradio_client -----------------------------------------------------------------


def test_gradio_client_uses_an_app_of_gradios(stage: Stage) -> None:
    if not (_PYTHON_OF_GRADIO.parents[1] / "installed").exists():
        pytest.skip("no Gradio here")
    program, sent = stage.folder / "page.py", stage.folder / "sent.txt"
    sent.write_text("a line\n" * 10_000)
    quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(stage.folder / "gradio")}
    app = stage.run_with({program: _GRADIO}, "gradio", _PYTHON_OF_GRADIO, program, **quiet)
    behind = stage.behind(app, {"": "peer"})

    user = (_PYTHON_OF_GRADIO, _CLIENTS / "gradio_user.py", _at(behind), sent)
    got = json.loads(stage.say(*map(str, user), **_through(stage, behind)).splitlines()[-1])

    assert (got["said"], got["streamed"]) == ("HELLO", [1, 2, 3])
    assert got["back"] == sent.read_text()
    _all_was_sealed(behind)
