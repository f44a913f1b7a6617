"""What systemd is told, over a real socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.server.service_manager import ServiceManager
from tests.patience import PATIENCE


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        yield manager


def manager(heard: socket.socket, **more: str) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": heard.getsockname(), **more})


def words(heard: socket.socket) -> list[str]:
    return heard.recv(4096).decode().splitlines()


def test_a_life_from_its_start_to_its_end(heard: socket.socket) -> None:
    told = manager(heard)
    told.serves("Portal x")
    assert words(heard) == ["READY=1", "STATUS=Portal x", f"MAINPID={os.getpid()}"]
    told.reloads()
    first, second = words(heard)
    assert (first, second.partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
    told.has_reloaded()
    assert words(heard) == ["READY=1"]
    told.ends()
    assert words(heard)[0] == "STOPPING=1"


def test_who_ends_is_ready_no_more_and_says_so_once(heard: socket.socket) -> None:
    told = manager(heard)
    told.ends()
    assert words(heard)[0] == "STOPPING=1"
    told.ends()
    told.reloads()
    told.has_reloaded()
    heard.settimeout(0)
    with pytest.raises(BlockingIOError):
        heard.recv(1)


def test_a_reload_before_it_serves_is_nobody_s_business(heard: socket.socket) -> None:
    told = manager(heard)
    told.reloads()
    told.has_reloaded()
    told.serves("Portal x")
    assert words(heard)[:2] == ["READY=1", "STATUS=Portal x"]


def test_signs_of_life_come_in_half_the_time_and_no_oftener(heard: socket.socket) -> None:
    told = manager(heard, WATCHDOG_USEC="2000000", WATCHDOG_PID=str(os.getpid()))
    assert told.sign_every == 1.0
    told.lives()
    told.lives()
    assert words(heard) == ["WATCHDOG=1"]
    heard.settimeout(0)
    with pytest.raises(BlockingIOError):
        heard.recv(1)


@pytest.mark.parametrize(
    "more", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}]
)
def test_nobody_waits_for_signs_of_another_one_s(
    heard: socket.socket, more: dict[str, str]
) -> None:
    assert manager(heard, **more).sign_every == 0.0


def test_an_abstract_name_is_one() -> None:
    name = f"\0portal-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name)
        listening.settimeout(PATIENCE)
        ServiceManager({"NOTIFY_SOCKET": f"@{name[1:]}"}).ends()
        assert listening.recv(100).startswith(b"STOPPING=1")


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "nonsense"])
def test_where_nobody_listens_nothing_is_told(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    ServiceManager({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"}).serves("x")
    assert caplog.text == ""


def test_a_socket_that_is_gone_is_logged_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).serves("x")
    assert "can't be told READY=1" in caplog.text
