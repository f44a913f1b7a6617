"""websocket-client at a Jupyter kernel: ``kernel_client.py URL TOKEN``.

Prints what it saw as JSON.
"""

import json
import struct
import sys
import urllib.request
import uuid
from itertools import pairwise
from typing import Any

import websocket

BINARY = "v1.kernel.websocket.jupyter.org"
"""The subprotocol in which a message is one binary frame."""
_PATIENCE = 60


class _Kernel:
    """A kernel, and how to talk to it."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._fields = {"Authorization": f"token {token}"}
        self._id = self.ask("POST", "api/kernels", {"name": "python3"})["id"]

    def ask(self, method: str, path: str, content: Any = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self._url}/{path}", data, self._fields, method=method)
        with urllib.request.urlopen(request, timeout=_PATIENCE) as response:
            return json.loads(response.read() or b"null")

    def connect(self, *subprotocols: str) -> Any:
        url = self._url.replace("http:", "ws:") + f"/api/kernels/{self._id}/channels"
        return websocket.create_connection(
            url, header=self._fields, subprotocols=list(subprotocols) or None, timeout=_PATIENCE
        )

    def end(self) -> None:
        self.ask("DELETE", f"api/kernels/{self._id}")


def _request(code: str) -> dict[str, Any]:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": "s",
              "username": "u", "version": "5.3", "date": "2026-01-01T00:00:00Z"}  # fmt: skip
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
    return {"header": header, "parent_header": {}, "metadata": {}, "content": content}


def _packed(message: dict[str, Any]) -> bytes:
    """Return a message for the shell in the binary form: offsets, then the parts."""
    parts = [b"shell"]
    parts += [
        json.dumps(message[p]).encode() for p in ("header", "parent_header", "metadata", "content")
    ]
    offsets = [8 * (len(parts) + 2)]
    for part in parts:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"<Q{len(offsets)}Q", len(offsets), *offsets) + b"".join(parts)


def _unpacked(frame: bytes) -> dict[str, Any]:
    (count,) = struct.unpack_from("<Q", frame)
    offsets = struct.unpack_from(f"<{count}Q", frame, 8)
    parts = [frame[a:b] for a, b in pairwise(offsets)]
    header, parent, _, content = (json.loads(part) for part in parts[1:5])
    return {"header": header, "parent_header": parent, "content": content}


def _execute(connection: Any, code: str, *, binary: bool = False) -> dict[str, str]:
    """Run code; return what it printed, what came of it and how it ended."""
    request = _request(code)
    if binary:
        connection.send_binary(_packed(request))
    else:
        connection.send(json.dumps({**request, "channel": "shell"}))
    saw = {"printed": "", "result": "", "status": ""}
    is_idle = False
    while not (is_idle and saw["status"]):  # two channels: either may be first
        frame = connection.recv()
        message = _unpacked(frame) if isinstance(frame, bytes) else json.loads(frame)
        if message["parent_header"].get("msg_id") != request["header"]["msg_id"]:
            continue
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            saw["printed"] += content["text"]
        elif kind == "execute_result":
            saw["result"] = content["data"]["text/plain"]
        elif kind == "execute_reply":
            saw["status"] = content["status"]
        elif kind == "status":
            is_idle = content["execution_state"] == "idle"
    return saw


def _drive(kernel: _Kernel) -> dict[str, Any]:
    saw: dict[str, Any] = {}
    text = kernel.connect()
    saw["plain"] = _execute(text, "print('gr\xfc\xdfe'); 6 * 7")
    saw["failing"] = _execute(text, "1 / 0")["status"]
    long = _execute(text, "for n in range(20000): print(n, 'x' * 100)")["printed"]
    saw["long"] = [len(long), long.splitlines()[-1].split()[0]]
    text.ping("still there?")
    saw["after a ping"] = _execute(text, "2 + 2")["result"]
    binary = kernel.connect(BINARY)
    saw["subprotocol"] = binary.subprotocol
    saw["binary"] = _execute(binary, "len(%r)" % ("y" * 1_000_000), binary=True)
    binary.close(status=1000)
    text.close(status=1000)
    return saw


def main() -> None:
    kernel = _Kernel(*sys.argv[1:3])
    try:
        saw = _drive(kernel)
    finally:
        kernel.end()
    print(json.dumps(saw))


if __name__ == "__main__":
    main()
