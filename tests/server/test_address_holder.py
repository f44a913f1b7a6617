"""Who has an address that we can't have, as far as the system tells."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.listen import Address
from proxy.server import address_holder
from proxy.server.address_holder import holder_of
from proxy.server.sockets import open_socket

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")

LISTEN = """
import socket, sys
family, host = sys.argv[1:3]
bound = socket.socket(getattr(socket, family))
bound.bind(host if family == "AF_UNIX" else (host, 0))
bound.listen()
print(host if family == "AF_UNIX" else bound.getsockname()[1], flush=True)
sys.stdin.read()
"""
HERE = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@pytest.fixture(params=[("AF_INET", "127.0.0.1"), ("AF_INET", "0.0.0.0"), ("AF_INET6", "::1"),
                        ("AF_UNIX", "a.sock")])  # fmt: skip
def other(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], Address]]:
    """Another process, and where it listens."""
    family, host = request.param
    host = str(tmp_path / host) if family == "AF_UNIX" else host
    command = [sys.executable, "-c", LISTEN, family, host]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    where = process.stdout.readline().strip()
    if family == "AF_UNIX":
        address = Address(unix=where)
    else:
        address = Address("[::1]" if family == "AF_INET6" else "127.0.0.1", int(where))
    yield process, address
    process.communicate()


def test_the_process_is_named(other: tuple[subprocess.Popen[str], Address]) -> None:
    process, address = other
    with pytest.raises(OSError, match=rf"in use: process {process.pid} \('python[0-9.]*'\) has it"):
        open_socket(address)


def test_a_proxy_that_hides_its_descriptors_is_likely(
    other: tuple[subprocess.Popen[str], Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, address = other

    def hidden(number: int) -> Iterator[str]:
        raise PermissionError(number)

    monkeypatch.setattr(address_holder, "_sockets_of", hidden)
    monkeypatch.setattr(address_holder, "_is_proxy", lambda number: number == process.pid)
    with pytest.raises(OSError, match=f"process {process.pid} .* seems to have it"):
        open_socket(address)


def test_where_nobody_tells_the_message_is_the_systems(
    other: tuple[subprocess.Popen[str], Address], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(address_holder, "_PROC", tmp_path)
    with pytest.raises(OSError, match=r"in use$"):
        open_socket(other[1])


@pytest.mark.parametrize("family", HERE)
def test_nobody_has_a_free_address(family: int) -> None:
    with socket.socket(family) as bound:
        bound.bind((HERE[socket.AddressFamily(family)], 0))
        assert holder_of(family, bound.getsockname()) == ""


def test_a_proxy_is_known_by_what_it_was_called_with() -> None:
    assert not address_holder._is_proxy(os.getpid())
