"""Pebble, Let's Encrypt's ACME server for tests, and what it needs: names, and a place to look.

It looks at ``port80`` of this machine for what a client promised, and asks a nameserver of ours.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tests.certificates import authority, write_pair
from tests.wire.harness.portals import end, environment, reserve_port, wait_for_ports
from tests.wire.harness.raw import LOOPBACK

_A = 1
_YEAR = 365 * 86_400


class Nameserver:
    """Knows ``names``, at the loopback address, and no others; a context manager."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self.address = f"{LOOPBACK}:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                asked, whom = self._socket.recvfrom(2048)
                self._socket.sendto(self._response(asked), whom)
            except OSError:
                return

    def _response(self, asked: bytes) -> bytes:
        labels, at = [], 12
        while length := asked[at]:
            labels.append(asked[at + 1 : at + 1 + length].decode("ascii"))
            at += 1 + length
        kind = int.from_bytes(asked[at + 1 : at + 3], "big")
        is_known = ".".join(labels).lower() in self.names
        count = int(is_known and kind == _A)
        status = 0x8180 if is_known else 0x8183
        head = asked[:2] + struct.pack(">HHHHH", status, 1, count, 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", _A, 1, 0, 4) + socket.inet_aton(LOOPBACK)
        return head + asked[12 : at + 5] + record * count


@dataclass
class Pebble:
    """A context manager; ``life`` is how many seconds its certificates are good for."""

    folder: Path
    life: int = _YEAR
    names: tuple[str, ...] = ("portal.ada.example",)
    port80: int = 0
    """Where it looks for what stands at port 80; 0 is any free port."""
    _process: subprocess.Popen[bytes] | None = None
    _holders: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        program = shutil.which("pebble")
        if program is None:
            pytest.skip("no pebble here")
        self.program = program
        self.nameserver = Nameserver(*self.names)
        self.nameserver.__enter__()
        self.port, self.management = self._reserve(), self._reserve()
        self.port80 = self.port80 or self._reserve()
        chain, key = write_pair(self.folder, authority().issue(LOOPBACK, "localhost"))
        self.authorities = self.folder / "authorities.pem"
        self.authorities.write_bytes(authority().pem)
        settings = {
            "listenAddress": f"{LOOPBACK}:{self.port}",
            "managementListenAddress": f"{LOOPBACK}:{self.management}",
            "certificate": str(chain), "privateKey": str(key), "httpPort": self.port80,
            "tlsPort": 1, "ocspResponderURL": "", "externalAccountBindingRequired": False,
            "certificateValidityPeriod": self.life,
        }  # fmt: skip
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.nameserver.__exit__()
        for holder in self._holders:
            holder.close()

    @property
    def directory(self) -> str:
        return f"https://{LOOPBACK}:{self.port}/dir"

    @property
    def log(self) -> str:
        return (self.folder / "pebble.log").read_text("utf-8", "backslashreplace")

    def start(self) -> None:
        """Start it anew: it has forgotten everybody."""
        command = [self.program, "-config", str(self.folder / "pebble.json"), "-strict"]
        command += ["-dnsserver", self.nameserver.address]
        quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        with (self.folder / "pebble.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env={**environment(), **quick}, stdout=log, stderr=log, cwd=self.folder
            )
        wait_for_ports(self._process, self.port, log=self.folder / "pebble.log")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                end(process)

    def root(self) -> str:
        """Return the certificate (PEM) of the authority that it is since its start."""
        context = ssl.create_default_context(cadata=authority().pem.decode())
        url = f"https://{LOOPBACK}:{self.management}/roots/0"
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
        )
        with opener.open(url) as found:
            return str(found.read().decode("ascii"))

    def _reserve(self) -> int:
        holder, port = reserve_port()
        self._holders.append(holder)
        return port


def without_proxies() -> dict[str, str]:
    """Return an environment in which nobody stands between a client and this machine."""
    return {**environment(), "NO_PROXY": "*", "HOME": os.environ.get("HOME", "/")}
