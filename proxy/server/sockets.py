"""The sockets that listeners listen at: bound by us, or inherited from systemd, and let go of.

A connection that the kernel has made belongs to somebody who was told that it stands. So a socket
is let go of in two steps: first nobody new gets in, then, when the queue was emptied, it is closed.
Sources: sd_listen_fds(3); Linux's Documentation/networking/filter.rst.
"""

import contextlib
import ctypes
import errno
import os
import resource
import socket
import stat
import struct
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.config.listen import LISTENERS, Address
from proxy.core.text_files.text import listed, shown
from proxy.server.address_holder import holder_of

DESCRIPTORS = 65536
"""How many the process asks for at least."""
BACKLOG = 2048
"""Connections that wait to be taken."""

_FIRST_INHERITED = 3
_ATTACH_FILTER = 26
"""SO_ATTACH_FILTER, which the socket module doesn't name."""
_NO_FIRST_PACKETS = (
    (0x30, 0, 0, 13),  # the flags of the TCP header
    (0x54, 0, 0, 0x12),  # SYN and ACK of them
    (0x15, 0, 1, 0x02),  # SYN alone: who would begin
    (0x06, 0, 0, 0),  # dropped
    (0x06, 0, 0, 0xFFFFFFFF),  # anything else passes whole
)


@dataclass
class ListeningSocket:
    """A listening socket; ``is_inherited`` tells that it stays open without us."""

    socket: socket.socket
    is_inherited: bool = False
    file: tuple[Path, int] | None = None
    """The file of a unix socket that is ours, and its inode."""
    is_shared: bool = False
    """Whether other workers take connections from it too."""

    def stop_accepting(self) -> None:
        """Let nobody new get in; whoever was let in already can still be taken."""
        if self.is_inherited:
            return
        if self.file is not None:
            path, inode = self.file
            with contextlib.suppress(OSError):
                if path.lstat().st_ino == inode:
                    path.unlink()
        elif sys.platform == "linux":
            _drop_first_packets(self.socket)

    def close(self) -> None:
        """Let go of it. Whoever is still in the queue of a socket of our own is reset."""
        self.socket.close()

    def another(self) -> "ListeningSocket":
        """Return the same socket by a descriptor of its own."""
        again = self.socket.dup()
        again.setblocking(False)  # noqa: FBT003 - the socket API
        return ListeningSocket(again, self.is_inherited, self.file, self.is_shared)

    @property
    def is_lost(self) -> bool:
        """Whether its file is gone, or another one, so that nobody finds it there."""
        if self.file is None:
            return False
        path, inode = self.file
        try:
            return path.lstat().st_ino != inode
        except OSError:
            return True

    @property
    def address(self) -> str:
        """Where it is bound, as a person would type it."""
        name = self.socket.getsockname()
        if isinstance(name, str):
            return f"unix:{name}"
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    @property
    def bound(self) -> str | tuple[str, int]:
        """Its own address, wherever from: a path, or an IP address and a port."""
        name = self.socket.getsockname()
        return os.path.abspath(name) if isinstance(name, str) else (name[0], name[1])  # noqa: PTH100


def open_socket(address: Address, interface: str = "") -> ListeningSocket:
    """Listen at ``address``; raises ``OSError``.

    A unix socket that nobody listens on any more is replaced; any other file is left alone. Where
    an ``interface`` is named, nothing that comes by another one gets in: otherwise the kernel takes
    packets for any address of this machine from whichever network they come.
    """
    if address.unix:
        return _open_unix(Path(address.unix), address.mode)
    family, kind, protocol, where = _resolved(address)
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if interface:
            _take_from(bound, interface)
        bound.bind(where)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise _told(error, family, where) from None
    bound.setblocking(False)  # noqa: FBT003 - the socket API
    return ListeningSocket(bound)


def inherited_sockets(environment: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """Take over the sockets that systemd passes to this process, by their names.

    The names are those of the listeners. Raises ``OSError`` for any other.
    """
    process, count, names = (
        environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    if process != str(os.getpid()) or not count.isdecimal():
        return {}
    inherited: dict[str, socket.socket] = {}
    given = names.split(":") if names else []
    for number in range(int(count)):
        name = given[number] if number < len(given) else ""
        if name not in LISTENERS or name in inherited:
            expected = f"FileDescriptorName={listed(list(LISTENERS))}, each once"
            raise OSError(f"systemd passes a socket named {shown(name)}; expected {expected}")
        inherited[name] = socket.socket(fileno=_FIRST_INHERITED + number)
        inherited[name].set_inheritable(False)
    return inherited


def inherit_socket(inherited: socket.socket, address: Address) -> ListeningSocket:
    """Return an inherited socket as ours; raises ``OSError`` unless it is at ``address``.

    Whoever reads portal.yaml, ``health`` too, must find the listener where that says.
    """
    listening = ListeningSocket(inherited, is_inherited=True)
    if not inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise OSError(f"the socket that systemd passes, {listening.address}, doesn't listen")
    bound = inherited.getsockname()
    if address.unix:
        is_there = isinstance(bound, str) and os.path.realpath(bound) == os.path.realpath(
            address.unix
        )
    else:
        there = _resolved(address)[3]
        is_there = bound[:2] == there[:2] if address.port else bound[0] == there[0]
    if not is_there:
        raise OSError(f"the socket that systemd passes is at {listening.address}")
    inherited.setblocking(False)  # noqa: FBT003 - the socket API
    return listening


def most_descriptors() -> int:
    """Return how many descriptors this process may have open, if it asks for them."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def raise_descriptor_limit(needed: int = DESCRIPTORS) -> int:
    """Let this process open as many descriptors as it needs, and more; return how many it may.

    The usual limit of 1024 would end at some five hundred WebSockets, which take two each. It can
    be raised without being asked, as far as the hard limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    wanted = min(max(DESCRIPTORS, needed), most_descriptors())
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _resolved(address: Address) -> tuple[int, int, int, tuple[Any, ...]]:
    """Return family, kind, protocol, and the first of the host's addresses."""
    host = address.host.strip("[]")
    family, kind, protocol, _, where = socket.getaddrinfo(
        host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return family, kind, protocol, where


def what_is_at(path: Path) -> str:
    """Return what is at a path and can be no socket of ours; "" is a socket, or nothing."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    if stat.S_ISSOCK(mode):
        return ""
    if stat.S_ISLNK(mode):
        return "a link"
    return "a folder" if stat.S_ISDIR(mode) else "a file"


def _open_unix(path: Path, mode: int) -> ListeningSocket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode) and not _is_answered(path):
            path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind_file(bound, path, mode)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise _told(error, socket.AF_UNIX, path) from None
    bound.setblocking(False)  # noqa: FBT003 - the socket API
    return ListeningSocket(bound, file=(path, path.lstat().st_ino))


def _bind_file(bound: socket.socket, path: Path, mode: int) -> None:
    """Bind to a file of ``mode``; raises ``OSError``.

    Not by umask, which all threads share. And not by the path again: who may write to its folder,
    an app perhaps, could have put a link there, to a file of ours.
    """
    os.fchmod(bound.fileno(), mode)
    bound.bind(str(path))
    there = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_ISSOCK(os.fstat(there).st_mode):
            os.chmod(f"/proc/self/fd/{there}", mode)  # noqa: PTH101 - a descriptor's
    finally:
        os.close(there)


def _told(error: OSError, family: int, where: object) -> OSError:
    """Return ``error`` with who has the address, where that is what it is about."""
    if error.errno != errno.EADDRINUSE:
        return error
    if isinstance(where, Path) and (there := what_is_at(where)):
        return OSError(error.errno, f"{there} is there, and stays: move it away, or name another")
    holder = holder_of(family, where)
    return OSError(error.errno, f"{error.strerror}: {holder}") if holder else error


def _is_answered(path: Path) -> bool:
    """Tell whether somebody may listen at a socket's file: only who surely doesn't is replaced.

    Whose queue is full isn't waited for, or who may write to the folder could hold us up for ever.
    Who doesn't let us in, or listens for something else than a stream, is there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # noqa: FBT003 - the socket API
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def _drop_first_packets(listening: socket.socket) -> None:
    """Have the kernel drop the packet with which a connection begins.

    Its sender sends it again a second later: to whoever listens here then, or to nobody, who
    refuses it. Without this, who gets in between the last look at the queue and the end of the
    socket would be reset after having been let in. Linux only; elsewhere that moment remains.
    """
    code = b"".join(struct.pack("HBBI", *step) for step in _NO_FIRST_PACKETS)
    kept = ctypes.create_string_buffer(code)
    program = struct.pack("HP", len(_NO_FIRST_PACKETS), ctypes.addressof(kept))
    with contextlib.suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


def _take_from(bound: socket.socket, interface: str) -> None:
    """Take connections by this interface alone; those of this machine to its address count as such.

    Raises ``OSError``: Linux before 5.7 lets root alone do so, other systems nobody.
    """
    option = getattr(socket, "SO_BINDTODEVICE", None)
    if option is None:
        raise OSError("only Linux can keep other networks out; expected unix:PATH")
    try:
        bound.setsockopt(socket.SOL_SOCKET, option, interface.encode() + b"\0")
    except PermissionError:
        what = "this kernel lets root alone keep other networks out; expected unix:PATH"
        raise OSError(what) from None
