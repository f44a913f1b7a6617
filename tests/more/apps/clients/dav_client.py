"""webdavclient3 at a WebDAV server: ``dav_client.py URL [USER PASSWORD]``. Prints what it saw."""

import io
import json
import sys
from typing import Any

from webdav3.client import Client
from webdav3.exceptions import ResourceLocked

_PROPERTY = {"namespace": "http://portal.example/", "name": "colour"}
_STABLE = ("size", "name", "content_type", "isdir", "path")


def _refused(act: Any) -> str:
    try:
        act()
    except ResourceLocked as error:
        return type(error).__name__
    return "not refused"


def _drive(client: Any) -> dict[str, Any]:
    saw: dict[str, Any] = {}
    client.mkdir("album")
    client.mkdir("album/Gr\xfc\xdfe & more; 100%")
    client.upload_to(b"a picture " * 50_000, "album/one.txt")
    client.upload_to(b"small", "album/a b+c#d.txt")
    client.set_property("album/one.txt", {**_PROPERTY, "value": "red & <green>"})
    saw["property"] = client.get_property("album/one.txt", _PROPERTY)
    client.copy("album/one.txt", "album/two.txt")
    client.move("album/two.txt", "album/three.txt")
    saw["property of the copy"] = client.get_property("album/three.txt", _PROPERTY)
    saw["is there"] = [client.check(f"album/{name}.txt") for name in ("one", "two", "three")]
    with client.lock("album/one.txt", timeout=60) as owner:
        saw["locked for others"] = _refused(lambda: client.upload_to(b"no", "album/one.txt"))
        owner.upload_to(b"mine", "album/one.txt")
    client.upload_to(b"free again", "album/one.txt")
    read = io.BytesIO()
    client.download_from(read, "album/one.txt")
    saw["read"] = read.getvalue().decode()
    listed = client.list("album", get_info=True)
    saw["list"] = sorted(({k: e[k] for k in _STABLE} for e in listed), key=lambda e: e["path"])
    client.clean("album")
    saw["cleaned"] = not client.check("album")
    return saw


def main() -> None:
    names = ("webdav_hostname", "webdav_login", "webdav_password")
    client = Client(dict(zip(names, sys.argv[1:], strict=False)))
    client.http_header["set_property"] = ["Accept: */*", "Depth: 0"]  # wsgidav takes no other
    active_requests: list[list[Any]] = []
    client.session.hooks["response"].append(
        lambda got, **_: active_requests.append(
            [got.request.method, got.request.path_url, got.status_code]
        )
    )
    print(json.dumps({"saw": _drive(client), "exchanges": active_requests}))


if __name__ == "__main__":
    main()
