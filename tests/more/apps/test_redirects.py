"""Apps that answer peers with absolute URLs, and clients that follow them: every request is sealed.

docker-registry gives each upload a ``Location``, FastAPI redirects to the path with its slash, and
one of its middlewares everything to https.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
import tarfile
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest
import requests

from tests.more.apps.stage import Stage
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.more.apps.stage import App, Behind

pytestmark = pytest.mark.more

_REGISTRY = """
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: {folder}/images}, delete: {enabled: true}}
http: {addr: "127.0.0.1:{port}"}
"""
_FASTAPI = """
from fastapi import FastAPI
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware

app = FastAPI()

@app.post("/peer/entries/")
def add(entry: dict) -> dict:
    return entry
"""
_INSISTS = "app.add_middleware(HTTPSRedirectMiddleware)\n"
forms = pytest.mark.parametrize("form", ["proxy", "path"])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as stage:
        yield stage


class Client:
    """An unmodified client at the peer's Portal, which follows redirects."""

    def __init__(self, stage: Stage, behind: Behind, form: str) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.proxies = {"http": stage.caller(behind)}
        by_path = f"http://portal_core/internal/call_peer/{behind.portal.id[:6]}"
        told = f"http://{behind.portal.told_host(behind.name)}"
        self.base = by_path if form == "path" else told

    def ask(
        self, method: str, url: str, data: bytes | None = None, entry: dict[str, int] | None = None
    ) -> requests.Response:
        whole = urljoin(self.base, url)
        return self.session.request(method, whole, data=data, json=entry, timeout=PATIENCE)


def _registry(stage: Stage) -> App:
    if shutil.which("docker-registry") is None:
        pytest.skip("no docker-registry here")
    config = stage.folder / "registry.yml"
    text = _REGISTRY.replace("{folder}", str(stage.folder))
    return stage.run_with({config: text}, "registry", "docker-registry", "serve", config)


@forms
def test_an_upload_to_docker_registry_stays_on_its_way(stage: Stage, form: str) -> None:
    behind = stage.behind(_registry(stage), {"": "peer"})
    client = Client(stage, behind, form)
    blob = b"a layer" * 100_000
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    uploads = f"{client.base}/v2/mine/thing/blobs/uploads/"

    begun = client.ask("POST", uploads)
    assert begun.status_code == 202
    sent = client.ask("PATCH", begun.headers["Location"], data=blob)
    assert sent.status_code == 202
    done = client.ask("PUT", sent.headers["Location"] + f"&digest={digest}")
    assert done.status_code == 201
    assert client.ask("GET", done.headers["Location"]).content == blob

    assert behind.arrived("plain") == 0


def test_skopeo_pushes_an_image_and_gets_it_back(stage: Stage) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("no skopeo here")
    behind = stage.behind(_registry(stage), {"": "peer"})
    client = Client(stage, behind, "proxy")
    image = _image(stage.folder / "image")
    there = f"docker://{behind.portal.told_host(behind.name)}/mine/thing:x"
    way = {"HTTP_PROXY": client.session.proxies["http"], "HOME": str(stage.folder)}
    skopeo = ("skopeo", "copy", "--insecure-policy", "--preserve-digests", "-q")

    stage.say(*skopeo, "--dest-tls-verify=false", f"oci:{image}:x", there, **way)
    stage.say(*skopeo, "--src-tls-verify=false", there, f"oci:{stage.folder / 'back'}:x", **way)

    for blob in (image / "blobs/sha256").iterdir():
        assert (stage.folder / "back/blobs/sha256" / blob.name).read_bytes() == blob.read_bytes()
    assert behind.arrived("plain") == 0


def _image(folder: Path) -> Path:
    """Make an image of one layer, in the OCI's layout."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def add(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        media_type = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("large")
        entry.size = 3 << 20
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    layer = packed.getvalue()
    root = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": root}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": add(config, "config.v1+json"),
        "layers": [add(layer, "layer.v1.tar")],
    }
    named = add(json.dumps(manifest).encode(), "manifest.v1+json")
    named["annotations"] = {"org.opencontainers.image.ref.name": "x"}
    index = {"schemaVersion": 2, "manifests": [named]}
    (folder / "index.json").write_text(json.dumps(index), "utf-8")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', "utf-8")
    return folder


def _fastapi(stage: Stage, more: str = "") -> App:
    (stage.folder / "entries.py").write_text(_FASTAPI + more, "utf-8")
    words = ("-m", "uvicorn", "entries:app", "--port={port}")
    return stage.run("fastapi", sys.executable, *words, PYTHONPATH=str(stage.folder))


@forms
@pytest.mark.parametrize("settings", ["", "peer_scheme: https\n"])
def test_the_slash_redirect_of_fastapi_does(stage: Stage, form: str, settings: str) -> None:
    more = _INSISTS if settings else ""
    behind = stage.behind(_fastapi(stage, more), {"": "peer"}, settings)
    client = Client(stage, behind, form)

    got = client.ask("POST", f"{client.base}/peer/entries", entry={"a": 1})

    assert (got.status_code, got.json()) == (200, {"a": 1})
    assert [each.status_code for each in got.history] == [307]
    assert got.url == f"{client.base}/peer/entries/"
    assert behind.arrived("plain") == 0


def test_what_insists_on_https_is_told_of_by_name(stage: Stage) -> None:
    behind = stage.behind(_fastapi(stage, _INSISTS), {"": "peer"})
    client = Client(stage, behind, "proxy")

    got = client.ask("POST", f"{client.base}/peer/entries/", entry={})

    assert (got.status_code, got.json()["code"]) == (502, "redirects_to_itself")
    assert behind.arrived("plain") == 0
    assert "peer_scheme: https" in behind.portal.log
