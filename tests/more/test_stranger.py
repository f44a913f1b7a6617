"""Bob's proxy, called by a client that shares no line with it: ``stranger/``, in JavaScript.

The client was written from docs/protocol.md and the RFCs alone, on other people's HPKE and Binary
HTTP. What Bob's app saw and answered is compared with what the client sent and opened.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.patience import PATIENCE
from tests.wire.harness.portals import Portal, contact, environment
from tests.wire.harness.raw import chunked, response
from tests.wire.harness.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = Path(__file__).with_name("stranger")
_PEERS_ONLY = '{"v": "3.2", "port": 80, "paths": {"": {"access": "peer"}}}'
_ONE_CHUNK, _SMALL_CHUNKS = 65_536, 100
_AES, _CHACHA = 1, 3
_POEM = bytes(range(256)) * 10


def _what_is_missing() -> str | None:
    if shutil.which("node") is None:
        return "no Node.js here"
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    if int(told.stdout.removeprefix("v").partition(".")[0]) < 20:
        return f"Node.js {told.stdout.strip()} here, and this needs 20 or newer"
    if not (_FOLDER / "node_modules" / "installed").exists():
        return "the client's packages aren't here: tests/more/set-up gets them from npm"
    return None


_MISSING = _what_is_missing()
pytestmark = [pytest.mark.more, pytest.mark.skipif(_MISSING is not None, reason=str(_MISSING))]


def _run(*words: str, given: str = "") -> str:
    done = subprocess.run(
        ["node", _FOLDER / "client.mjs", *words],
        input=given, env=environment(), capture_output=True, text=True, check=False,
        timeout=PATIENCE * 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Try:
    """What came of one envelope."""

    told: dict[str, Any]

    @property
    def body(self) -> bytes:
        return base64.b64decode(self.told["body"])

    @property
    def fields(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.told["fields"]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]


@dataclass
class World:
    """Bob, his app, and the two keys that the client made."""

    bob: Portal
    app: Recorder
    folder: Path
    ids: dict[str, str]

    def call(
        self, method: str = "GET", path: str = "/x", *fields: tuple[str, str], **plan: Any
    ) -> list[Try]:
        """Let the client make one call to Bob's app; return what each of its tries brought."""
        who = plan.pop("who", "known")
        wanted = {
            "key": str(self.folder / who), "id": self.bob.id, "authority": self.bob.host,
            "connect": self.bob.public, "app": "wide", "method": method, "path": path,
            "fields": fields, "body": base64.b64encode(plan.pop("body", b"")).decode(),
            "writer": "hand", "chunk": _ONE_CHUNK, "aead": _AES, **plan,
        }  # fmt: skip
        told = json.loads(_run("call", given=json.dumps(wanted)))
        assert told["document"]["id"] == self.bob.id
        assert told["document"]["name"] == "Bob"
        return [Try(each) for each in told["tries"]]

    def call_once(self, *words: Any, **plan: Any) -> Try:
        (made,) = self.call(*words, **plan)
        return made


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("stranger")
    ids = {who: _run("new-key", str(folder / who)).strip() for who in ("known", "unknown")}
    with Recorder() as app:
        bob = Portal(folder / "bob", "Bob")
        try:
            bob.add_app("wide", _PEERS_ONLY, app.port)
            bob.knows(contact(ids["known"], "Stranger", 80, 80), apps={"wide": "all"})
            yield World(bob.start(), app, folder, ids)
        finally:
            bob.release()
        assert "Traceback" not in bob.log, bob.log


@pytest.fixture
def world(cast: World) -> World:
    cast.app.clear()
    return cast


@pytest.mark.parametrize("aead", [_AES, _CHACHA])
@pytest.mark.parametrize("chunk", [_ONE_CHUNK, _SMALL_CHUNKS])
def test_a_query_arrives_as_it_was_and_the_response_opens(
    world: World, chunk: int, aead: int
) -> None:
    world.app.script(response(200, ("Content-Type", "text/plain"), body=b"Hello, stranger."))
    target = "/entries;v=1/%7Eada?lang=en&q=%22a%20b%22"
    made = world.call_once("GET", target, ("accept", "text/plain"), chunk=chunk, aead=aead)
    seen = world.app.request
    assert seen.first_line == f"GET {target} HTTP/1.1".encode()
    assert seen.one("x-ptl-client-type") == b"peer"
    assert seen.one("x-ptl-client-id") == world.ids["known"].encode()
    assert seen.one("accept") == b"text/plain"
    assert not [name for name, _ in seen.fields if name.startswith((b"portal-", b"signature"))]
    assert (made.told["sent"] > 1) == (chunk == _SMALL_CHUNKS)
    assert (made.told["status"], made.told["code"]) == (200, None)
    assert made.all("content-type") == ["text/plain"]
    assert made.body == b"Hello, stranger."
    assert made.told["library"] == "agrees"


@pytest.mark.parametrize("writer", ["library", "hand"])
@pytest.mark.parametrize("chunk", [_ONE_CHUNK, _SMALL_CHUNKS])
def test_a_body_arrives_as_it_was_and_a_long_response_opens(
    world: World, chunk: int, writer: str
) -> None:
    long = _POEM * 80
    head = response(201, ("Transfer-Encoding", "chunked"), body=None)
    world.app.script(head + chunked(long[:70_000], long[70_000:]))
    fields = [("content-type", "application/octet-stream")]
    if chunk == _ONE_CHUNK:
        fields.append(("content-length", str(len(_POEM))))
    made = world.call_once("POST", "/poems", *fields, body=_POEM, chunk=chunk, writer=writer)
    seen = world.app.request
    assert seen.first_line == b"POST /poems HTTP/1.1"
    assert seen.all("content-type") == [b"application/octet-stream"]
    assert seen.body == _POEM
    assert made.told["framing"] == (0 if writer == "library" else 2)
    assert (made.told["sent"] > 1) == (chunk == _SMALL_CHUNKS)
    assert made.told["status"] == 201
    assert made.told["chunks"] > 1
    assert made.body == long
    assert made.told["library"] == "agrees"


def test_fields_keep_their_lines_bytes_and_names_both_ways(world: World) -> None:
    there = [("cookie", "a=1"), ("x-name", "Gr\xf6\xdfe"), ("x-two", "1"), ("x-two", "2")]
    back = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Date", "never"), ("X" * 70, "long")]
    world.app.script(response(200, *back, body=b""))
    made = world.call_once("GET", "/x", *there, ("signature", "its=:own:"))
    seen = world.app.request
    assert seen.all("x-two") == [b"1", b"2"]
    assert seen.one("x-name") == b"Gr\xf6\xdfe"
    assert seen.one("cookie") == b"a=1"
    assert seen.one("signature") == b"its=:own:"
    assert made.all("set-cookie") == ["a=1", "b=2"]
    assert made.all("date") == ["never"]
    assert made.all("x" * 70) == ["long"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_response_without_a_body_opens(world: World, method: str, status: int) -> None:
    fields = [("Content-Length", "7")] if status != 204 else []
    world.app.script(response(status, *fields, ("ETag", '"1"'), body=None))
    made = world.call_once(method)
    assert (made.told["status"], made.body) == (status, b"")
    assert made.all("etag") == ['"1"']
    assert made.all("content-length") == [value for _, value in fields]


def test_who_is_no_contact_gets_a_sealed_refusal(world: World) -> None:
    made = world.call_once(who="unknown")
    assert (made.told["outer"], made.told["sealed"]) == (200, True)
    assert (made.told["status"], made.told["code"]) == (403, "not_allowed")
    assert made.all("content-type") == ["application/problem+json"]
    problem = json.loads(made.body)
    assert (problem["type"], problem["status"]) == ("about:blank", 403)
    assert problem["code"] == "not_allowed"
    assert world.app.received == b""


@pytest.mark.parametrize("skew", [1500, -1500])
def test_a_wrong_clock_is_told_the_time_and_the_second_try_is_carried_out(
    world: World, skew: int
) -> None:
    first, second = world.call("POST", body=b"once", skew=skew)
    assert (first.told["status"], first.told["code"]) == (401, "out_of_time")
    assert abs(first.told["now"] - time.time()) < PATIENCE
    assert json.loads(first.body)["now"] == first.told["now"]
    assert (second.told["status"], second.body) == (200, b"ok")
    assert world.app.request.body == b"once"


@pytest.mark.parametrize("epoch", ["", base64.b64encode(bytes(16)).decode()])
def test_a_call_signed_under_another_epoch_is_told_the_right_one_and_carried_out(
    world: World, epoch: str
) -> None:
    first, second = world.call("POST", body=b"once", epoch=epoch)
    assert (first.told["status"], first.told["code"]) == (401, "out_of_time")
    assert base64.b64decode(first.told["epoch"]) == world.bob.epoch
    problem = json.loads(first.body)
    assert all(problem[name] == first.told[name] for name in ("now", "epoch", "memory"))
    assert (second.told["status"], second.body) == (200, b"ok")
    assert world.app.request.body == b"once"


def test_a_flipped_bit_is_a_problem_with_the_key_and_the_second_try_is_carried_out(
    world: World,
) -> None:
    first, second = world.call("POST", body=b"once", flip=0)
    assert (first.told["outer"], first.told["sealed"]) == (400, False)
    problem = first.told["problem"]
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#ohttp-key"
    assert problem["code"] == "sealing_key_unknown"
    assert (second.told["status"], second.body) == (200, b"ok")
    assert world.app.request.body == b"once"


def test_a_bit_flipped_behind_the_head_is_refused_inside_and_never_a_shorter_body(
    world: World,
) -> None:
    made = world.call_once("POST", body=_POEM, chunk=2000, flip=1)
    assert (made.told["outer"], made.told["sealed"]) == (200, True)
    assert (made.told["status"], made.told["code"]) == (400, "envelope_broken")
    assert world.app.requests == []
