"""The process that asks for a certificate: started, waited for, and gone afterwards."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.acme.challenges import Challenges
from proxy.acme.issuing import NotIssued, issue, terms_of
from proxy.acme.order import Order
from tests.patience import PATIENCE
from tests.wire.harness.portals import reserve_port
from tests.wire.harness.recorder import eventually

_CLIENT = "proxy.acme.issuing._CLIENT"


@pytest.fixture
def nobody() -> Iterator[str]:
    """A directory at a port where nobody listens."""
    holder, port = reserve_port()
    yield f"https://127.0.0.1:{port}/dir"
    holder.close()


def order(directory: str, folder: Path) -> Order:
    paths = str(folder / "account.json"), str(folder / "certificate.pem")
    return Order(directory, None, ("portal.ada.example",), *paths)


def play(patch: pytest.MonkeyPatch, code: str) -> None:
    """Have another program in the client's place; ``order`` is what it was asked."""
    start = "import sys, json, time\norder = json.loads(sys.stdin.readline())\n"
    patch.setattr(_CLIENT, ("-c", start + code))


def wait_for(asked: Order, text: str = "") -> str:
    """Wait until that stands where the certificate belongs, or anything; return it."""
    path = Path(asked.certificate)
    eventually(lambda: path.exists() and path.read_text() and text in path.read_text())
    return path.read_text()


async def test_an_authority_that_isnt_there_is_told(nobody: str, tmp_path: Path) -> None:
    with pytest.raises(NotIssued, match=r"127\.0\.0\.1 can't be reached"):
        await terms_of(Order(nobody))
    with pytest.raises(NotIssued, match="can't be reached"):
        await issue(order(nobody, tmp_path), Challenges())
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing may wait here


async def test_without_the_library_it_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "__init__.py").write_text("raise ImportError('none here')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with pytest.raises(NotIssued, match=r"pip install 'portal-proxy\[acme\]'"):
        await terms_of(Order("https://ca.example/directory"))


async def test_no_file_of_the_current_folder_is_taken_for_a_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nobody: str
) -> None:
    mark = tmp_path / "mark"
    for name in ("acme", "requests", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotIssued, match="can't be reached"):
        await terms_of(Order(nobody))
    assert not mark.exists()


async def test_what_an_authority_will_ask_for_is_answered_until_it_is_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    play(monkeypatch, """
print(json.dumps({"expect": {"token": "token.thumb"}}), flush=True)
assert sys.stdin.readline() == "go\\n"
open(order["certificate"], "w").write("made")
while True:
    time.sleep(0.01)
    if open(order["certificate"]).read() == "seen":
        break
print("{}", flush=True)
""")  # fmt: skip
    challenges = Challenges()
    asked = order("https://ca.example/directory", tmp_path)
    task = asyncio.create_task(issue(asked, challenges))
    await asyncio.to_thread(wait_for, asked, "made")
    assert challenges.promised(b"token") == b"token.thumb"
    assert challenges.promised(b"other") is None
    await asyncio.to_thread(Path(asked.certificate).write_text, "seen")
    await task
    assert challenges.promised(b"token") is None


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("", "ended by itself"),
        ("print('what a library prints')", "mistake of the proxy's"),
        ("print('x' * 200_000)", "mistake of the proxy's"),
        ("print(json.dumps({'expect': {'token': 'other.thumb'}}))", "mistake of the proxy's"),
        ("print(json.dumps({'expect': {'token': 'token.thumb'}}))", "ended by itself"),
        ("print(json.dumps({'failure': {'kind': 'caa', 'detail': '', 'host': ''}}))", "CAA"),
    ],
)
async def test_whatever_it_says_somebody_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, told: str
) -> None:
    play(monkeypatch, code)
    challenges = Challenges()
    with pytest.raises(NotIssued, match=told):
        await issue(order("https://ca.example/directory", tmp_path), challenges)
    assert challenges.promised(b"token") is None


async def test_one_that_takes_too_long_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    play(monkeypatch, f"""
import os
open(order["certificate"], "w").write(str(os.getpid()))
time.sleep({PATIENCE})
""")  # fmt: skip
    asked = order("https://ca.example/directory", tmp_path)
    task = asyncio.create_task(issue(asked, Challenges()))
    process = int(await asyncio.to_thread(wait_for, asked))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(NotIssued, match="took too long"):
        await issue(asked, Challenges(), patience=0.5)


async def test_what_isnt_an_authority_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        task = asyncio.create_task(
            issue(order(f"https://127.0.0.1:{port}/", tmp_path), Challenges())
        )
        accepted, _ = await asyncio.to_thread(server.accept)
        with accepted:
            accepted.recv(100)
            accepted.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(NotIssued, match="can't be reached"):
            await task
