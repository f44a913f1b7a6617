"""Listening sockets: made, inherited, and let go of."""

import errno
import os
import resource
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.config.listen import Address
from proxy.server.sockets import (
    ListeningSocket,
    inherit_socket,
    inherited_sockets,
    open_socket,
    raise_descriptor_limit,
)

TCP = [Address("127.0.0.1", 0), Address("[::1]", 0), Address("localhost", 0)]


@contextmanager
def opened(address: Address) -> Iterator[ListeningSocket]:
    listening = open_socket(address)
    try:
        yield listening
    finally:
        listening.close()


def connect(listening: ListeningSocket, patience: float = 5) -> socket.socket:
    client = socket.socket(listening.socket.family, socket.SOCK_STREAM)
    client.settimeout(patience)
    try:
        client.connect(listening.socket.getsockname())
    except OSError:
        client.close()
        raise
    return client


def taken(listening: ListeningSocket) -> bytes:
    """Take a connection from the queue; return what came on it."""
    accepted, _ = listening.socket.accept()
    with accepted:
        accepted.settimeout(5)
        return accepted.recv(10)


@pytest.mark.parametrize("address", TCP, ids=str)
def test_a_socket_is_where_it_was_asked_for(address: Address) -> None:
    with opened(address) as listening, connect(listening) as client:
        client.send(b"hello")
        assert taken(listening) == b"hello"
        host, _, port = listening.address.rpartition(":")
        assert host == str(address).rpartition(":")[0].replace("localhost", host)
        assert int(port) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filters are Linux's")
@pytest.mark.parametrize("address", TCP[:2], ids=str)
def test_nobody_new_gets_in_and_whoever_is_in_can_be_taken_and_goes_on(address: Address) -> None:
    with opened(address) as listening, connect(listening) as waiting, connect(listening) as talking:
        waiting.send(b"waits")
        listening.stop_accepting()
        talking.send(b"talks")
        with pytest.raises(TimeoutError):
            connect(listening, 0.3)
        assert {taken(listening), taken(listening)} == {b"waits", b"talks"}
        with pytest.raises(BlockingIOError):
            listening.socket.accept()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_a_sockets_file_has_its_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.sock"
    before = os.umask(0o077)
    try:
        with opened(Address(unix=str(path), mode=mode)):
            status = path.stat()
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert stat.S_ISSOCK(status.st_mode)
    assert status.st_mode & 0o777 == mode


def test_a_file_that_nobody_listens_at_is_replaced_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    address = Address(unix=str(path))
    open_socket(address).close()  # as after a crash
    assert path.exists()
    with opened(address), pytest.raises(OSError, match="in use"):
        open_socket(address)
    path.unlink()
    path.write_text("mine")
    with pytest.raises(OSError, match="a file is there, and stays"):
        open_socket(address)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_whoever_listens_there_already_keeps_it_and_holds_nobody_up(
    tmp_path: Path, kind: socket.SocketKind
) -> None:
    """An app that may write to the folder could: its queue is full, and it takes nobody."""
    path, waiting = tmp_path / "a.sock", []
    with socket.socket(socket.AF_UNIX, kind) as theirs:
        theirs.bind(str(path))
        if kind is not socket.SOCK_DGRAM:
            theirs.listen(0)
        while kind is socket.SOCK_STREAM:
            waiting.append(socket.socket(socket.AF_UNIX, kind))
            waiting[-1].setblocking(False)  # noqa: FBT003 - the socket API
            if waiting[-1].connect_ex(str(path)) == errno.EAGAIN:
                break
        inode = path.stat().st_ino
        with pytest.raises(OSError, match="in use"):
            open_socket(Address(unix=str(path)))
        assert path.stat().st_ino == inode
        for each in waiting:
            each.close()
    with opened(Address(unix=str(path))) as listening:  # nobody listens any more
        connect(listening).close()


def test_a_link_is_left_alone_wherever_it_leads(tmp_path: Path) -> None:
    path, target = tmp_path / "a.sock", tmp_path / "b.sock"
    for _ in range(2):  # to nothing, and to what nobody listens at
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        with pytest.raises(OSError, match="a link is there, and stays"):
            open_socket(Address(unix=str(path)))
        assert path.is_symlink()
        open_socket(Address(unix=str(target))).close()
    assert target.is_socket()
    with pytest.raises(OSError, match="a folder is there, and stays"):
        open_socket(Address(unix=str(tmp_path)))


def test_a_file_is_taken_away_with_the_first_step_and_its_queue_isnt(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with opened(Address(unix=str(path))) as listening, connect(listening) as client:
        client.send(b"hello")
        listening.stop_accepting()
        assert not path.exists()
        assert taken(listening) == b"hello"


def test_a_file_that_is_anothers_by_now_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with opened(Address(unix=str(path))) as listening:
        path.rename(tmp_path / "b.sock")
        with opened(Address(unix=str(path))) as other:
            listening.stop_accepting()
            connect(other).close()


def test_an_inherited_socket_stays_open_without_us(tmp_path: Path) -> None:
    for address in (*TCP, Address(unix=str(tmp_path / "a.sock"))):
        with opened(address) as listening:
            inherited = inherit_socket(listening.socket.dup(), address)
            with connect(listening) as client:
                inherited.stop_accepting()
                inherited.close()
                client.send(b"later")
                with connect(listening):
                    assert taken(listening) == b"later"


def test_an_inherited_socket_must_be_where_the_listener_is(tmp_path: Path) -> None:
    with opened(TCP[0]) as listening:
        port = listening.socket.getsockname()[1]
        inherit_socket(listening.socket.dup(), Address("127.0.0.1", port)).close()
        inherit_socket(listening.socket.dup(), Address("localhost", 0)).close()
        for other in (Address("127.0.0.1", port ^ 1), Address("0.0.0.0", port),
                      Address("[::1]", 0), Address(unix=str(tmp_path / "a"))):  # fmt: skip
            refused = pytest.raises(OSError, match=f"passes is at 127.0.0.1:{port}")
            with listening.socket.dup() as inherited, refused:
                inherit_socket(inherited, other)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="doesn't listen"):
            inherit_socket(deaf, TCP[0])


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "public"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x", "LISTEN_FDNAMES": "public"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
        {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "public"},
    ],
)
def test_what_wasnt_passed_to_this_process_is_left_alone(environment: dict[str, str]) -> None:
    environment["OTHER"] = "stays"
    assert inherited_sockets(environment) == {}
    assert environment == {"OTHER": "stays"}


@pytest.mark.parametrize("name", ["", "unknown", "portal-proxy.socket", "Public"])
def test_an_inherited_socket_must_be_a_listeners(name: str) -> None:
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": name}
    with pytest.raises(OSError, match="FileDescriptorName=public, apps or owner, each once"):
        inherited_sockets(environment)


def test_the_limit_is_raised_as_far_as_it_may_be() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        raise_descriptor_limit()
        wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
