"""What editors make of the schemas, by the two services that most of them have for it.

yaml-language-server is that of VS Code's YAML extension, Neovim, Emacs and Helix;
vscode-json-languageservice is what VS Code has for JSON.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.apps_files import app_json, proxy_yaml
from proxy.schemas.files import write_schemas
from tests.patience import PATIENCE
from tests.wire.harness.portals import environment

HERE = Path(__file__).parent
SERVER = HERE / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
_IS_HERE = shutil.which("node") is not None and SERVER.exists()
pytestmark = [
    pytest.mark.more,
    pytest.mark.skipif(not _IS_HERE, reason="needs node, and npm's packages: tests/more/set-up"),
]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Portal's files as ``init`` and ``apps add`` write them."""
    home = tmp_path_factory.mktemp("home")
    words = ["init", "--name", "Ada", "--domain", "p.getportal.org"]
    subprocess.run(
        [sys.executable, "-m", "proxy", *words], cwd=home, env=environment(), check=True,
        capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    folder = home / "config" / "apps" / "guestbook"
    folder.mkdir(parents=True)
    (folder / "app.json").write_bytes(app_json("guestbook", {"": "private", "/peer/": "peer"}))
    (folder / "proxy.yaml").write_bytes(proxy_yaml("guestbook", "http://127.0.0.1:3000"))
    write_schemas(home / "config")
    return home / "config"


class Editor:
    """An editor's end of the Language Server Protocol."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        assert process.stdout
        self._to, self._from = process.stdin, process.stdout
        self._number = 0

    def tell(self, method: str, **params: Any) -> None:
        self._send({"method": method, "params": params})

    def ask(self, method: str, **params: Any) -> Any:
        self._number += 1
        number = self._number
        self._send({"id": number, "method": method, "params": params})
        told = self._until(lambda message: message.get("id") == number and "method" not in message)
        return told["result"]

    def problems(self, path: Path, text: str) -> list[str]:
        """Open a file with this text, and return what is marked in it."""
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", textDocument=document)

        def is_it(message: Any) -> bool:
            about = message.get("params") or {}
            is_told = message.get("method") == "textDocument/publishDiagnostics"
            return bool(is_told and about["uri"] == path.as_uri())

        return [each["message"] for each in self._until(is_it)["params"]["diagnostics"]]

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._to.write(b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
        self._to.flush()

    def _until(self, is_it: Callable[[Any], bool]) -> Any:
        while True:
            length = 0
            while line := self._from.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            assert length, "the server is gone"
            message = json.loads(self._from.read(length))
            if "id" in message and "method" in message:  # it asks for settings of its own
                self._send({"id": message["id"], "result": [{}]})
            if is_it(message):
                return message


@pytest.fixture(scope="module")
def editor(config: Path) -> Iterator[Editor]:
    process = subprocess.Popen(
        ["node", str(SERVER), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        it = Editor(process)
        abilities: dict[str, Any] = {"textDocument": {"completion": {}, "hover": {}}}
        it.ask("initialize", processId=None, rootUri=config.as_uri(), capabilities=abilities)
        it.tell("initialized")
        settings = {"validate": True, "completion": True, "hover": True}
        it.tell(
            "workspace/didChangeConfiguration",
            settings={"yaml": {**settings, "schemaStore": {"enable": False}}},
        )
        yield it
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("name", ["portal.yaml", "apps/guestbook/proxy.yaml"])
def test_nothing_is_marked_in_what_was_written(editor: Editor, config: Path, name: str) -> None:
    assert editor.problems(config / name, (config / name).read_text("utf-8")) == []


def test_mistakes_are_marked_and_say_what_is_expected(editor: Editor, config: Path) -> None:
    text = (config / "portal.yaml").read_text("utf-8")
    wrong = "timeouts: {head: 11m, idl: 3}\nlimits: {body: 1 MB, connections: 8192}\ngrace: 0\n"
    assert sorted(editor.problems(config / "other.yaml", text + wrong)) == [
        "Property idl is not allowed.",
        "expected a size from 1 KiB to 100 TiB, such as 32 MiB",
        "expected a time from 1s to 10m, such as 30s",
    ]


def test_keys_are_offered_and_explained(editor: Editor, config: Path) -> None:
    path = config / "apps" / "guestbook" / "proxy.yaml"
    text = path.read_text("utf-8")
    editor.problems(path, text)
    document, lines = {"uri": path.as_uri()}, text.splitlines()
    end = {"line": len(lines), "character": 0}
    offered = editor.ask("textDocument/completion", textDocument=document, position=end)
    labels = {each["label"] for each in offered["items"]}
    assert {"token_file", "host", "app_answer"} <= labels
    assert "upstream" not in labels
    at = {"line": next(i for i, each in enumerate(lines) if each.startswith("upstream")),
          "character": 2}  # fmt: skip
    hover = editor.ask("textDocument/hover", textDocument=document, position=at)
    assert "Where the app listens" in hover["contents"]["value"]


def told_of_json(path: Path, text: str, at: int = 0) -> Any:
    done = subprocess.run(
        ["node", str(HERE / "check_json.cjs"), str(path), text, str(at)],
        check=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_app_json_is_checked_and_completed(config: Path) -> None:
    path = config / "apps" / "guestbook" / "app.json"
    text = path.read_text("utf-8")
    assert told_of_json(path, text)["problems"] == []
    wrong = text.replace('"private"', '"open"').replace("/peer/", "/peer//")
    problems = told_of_json(path, wrong)["problems"]
    assert len(problems) == 2
    assert any('"public", "peer", "private"' in each for each in problems)
    assert any('without "//"' in each for each in problems)
    begun = text.replace('"peer"}', "}")
    offered = told_of_json(path, begun, begun.index("access", begun.index("/peer/")) + 9)
    assert offered["offered"] == ['"public"', '"peer"', '"private"']
