"""A machine of the tests' own between two networks, and somebody on each of them.

This thread, and whatever it starts, is the machine. An app is on the first network; a stranger on
the second, who has a route to the first by way of the machine.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.patience import PATIENCE

_CLONE_NEWNET = 0x40000000
_HERE = Path("/proc/thread-self/ns/net")
APPS, BETWEEN = "10.77.1.1", "10.77.2.1"
"""The machine's own address on each."""
AN_APP, A_STRANGER = "10.77.1.2", "10.77.2.2"


@dataclass
class Networks:
    """The descriptors of the three, and how to be somebody."""

    machine: int
    app: int
    stranger: int

    @contextmanager
    def as_if(self, who: int) -> Iterator[None]:
        """Be on that one's network meanwhile; a socket stays where it was made."""
        _enter(who)
        try:
            yield
        finally:
            _enter(self.machine)

    def reach(self, who: int, address: str, port: int, seconds: float = PATIENCE) -> socket.socket:
        """Connect as that one; raises ``OSError``."""
        with self.as_if(who):
            made = socket.socket()
        made.settimeout(seconds)
        try:
            made.connect((address, port))
        except OSError:
            made.close()
            raise
        return made


@contextmanager
def own_networks() -> Iterator[Networks]:
    """Make them; skips where that can't be done."""
    libc = ctypes.CDLL(None, use_errno=True)
    with ExitStack() as stack:
        before = os.open(_HERE, os.O_RDONLY)
        stack.callback(os.close, before)
        found = []
        stack.callback(_enter, before)
        for _ in range(3):
            if libc.unshare(_CLONE_NEWNET):
                pytest.skip(f"no network namespaces here: {os.strerror(ctypes.get_errno())}")
            found.append(os.open(_HERE, os.O_RDONLY))
            stack.callback(os.close, found[-1])
            _ip("link set lo up")
        networks = Networks(found[2], *found[:2])
        for name, ours, there, theirs in (
            ("apps", APPS, networks.app, AN_APP),
            ("between", BETWEEN, networks.stranger, A_STRANGER),
        ):
            _ip(f"link add {name} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{there}")
            _ip(f"address add {ours}/24 dev {name}")
            _ip(f"link set {name} up")
            with networks.as_if(there):
                _ip(f"address add {theirs}/24 dev eth0")
                _ip("link set eth0 up")
        with networks.as_if(networks.stranger):
            _ip(f"route add 10.77.1.0/24 via {BETWEEN}")
        yield networks


def _enter(network: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.setns(network, _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"ip {words}: {done.stderr.strip()}")
