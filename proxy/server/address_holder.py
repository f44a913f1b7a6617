"""Which process listens at an address that we can't have, as far as Linux tells: for the owner.

The kernel's tables have the inode of each socket that listens; which process has it open is seen by
its own user and by root. Another proxy lets nobody but root look (``proxy.state.dumps``). So of
those that hide their descriptors, one that is called like a proxy's ``serve`` is named as likely.
Source: proc_pid_fd(5), proc_net_tcp in Linux's Documentation/networking/proc_net_tcp.rst, unix(7).
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from proxy.core.text_files.text import shown

_LISTENS = "0A"
_ACCEPTS = 0x10000
"""``__SO_ACCEPTCON`` among the flags of a Unix socket."""
_PROC = Path("/proc")


def holder_of(family: int, where: object) -> str:
    """Return who has the address ``where``, as the end of a sentence; "" where nobody can tell."""
    if family == socket.AF_UNIX:
        sockets = set(_unix_sockets(os.path.realpath(str(where))))
    elif isinstance(where, tuple):
        sockets = set(_tcp_sockets(str(where[0]), int(where[1])))
    else:
        return ""
    if not sockets:
        return ""
    hidden = []
    for process in _processes():
        try:
            if sockets & set(_sockets_of(process)):
                return f"process {process} ({_name(process)}) has it"
        except PermissionError:
            hidden.append(process)
        except OSError:
            continue  # it has just ended
    for process in hidden:
        if _is_proxy(process):
            return f"process {process} ({_name(process)}), a proxy too, seems to have it"
    return ""


def _tcp_sockets(host: str, port: int) -> Iterator[str]:
    """Return the inodes of who listens at the port, of this address or of all."""
    ours = ip_address(host.partition("%")[0])
    for table in ("tcp", "tcp6"):
        for fields in _rows(table):
            bound, _, number = fields[1].partition(":")
            if fields[3] == _LISTENS and int(number, 16) == port:
                theirs = _address(bound)
                if ours == theirs or ours.is_unspecified or theirs.is_unspecified:
                    yield fields[9]


def _unix_sockets(path: str) -> Iterator[str]:
    for fields in _rows("unix"):
        is_listening = len(fields) > 7 and int(fields[3], 16) & _ACCEPTS  # noqa: PLR2004 - a path
        if is_listening and os.path.realpath(fields[7]) == path:
            yield fields[6]


def _rows(table: str) -> Iterator[list[str]]:
    with suppress(OSError):
        text = (_PROC / "net" / table).read_text("utf-8", "surrogateescape")
        for line in text.splitlines()[1:]:
            yield line.split(None, 7) if table == "unix" else line.split()


def _address(text: str) -> IPv4Address | IPv6Address:
    """Read an address as the kernel writes it: words of four bytes, each in the machine's order."""
    words = (int(text[i : i + 8], 16).to_bytes(4, "little") for i in range(0, len(text), 8))
    address = ip_address(b"".join(words))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _processes() -> Iterator[int]:
    """Return all processes, the oldest first: a first process stands before its workers."""
    with suppress(OSError):
        yield from sorted(int(path.name) for path in _PROC.iterdir() if path.name.isdecimal())


def _sockets_of(process: int) -> Iterator[str]:
    for descriptor in (_PROC / str(process) / "fd").iterdir():
        with suppress(FileNotFoundError):
            kind, _, rest = str(descriptor.readlink()).partition("[")
            if kind == "socket:":
                yield rest.rstrip("]")


def _name(process: int) -> str:
    """Return what the system calls it: its arguments may hold secrets."""
    with suppress(OSError):
        return shown((_PROC / str(process) / "comm").read_text("utf-8", "replace").strip())
    return "ended"


def _is_proxy(process: int) -> bool:
    with suppress(OSError):
        words = (_PROC / str(process) / "cmdline").read_bytes().split(b"\0")
        is_ours = any(word in (b"proxy", b"proxy.__main__") for word in words) or any(
            word.endswith(b"portal-proxy") for word in words
        )
        return is_ours and b"serve" in words and process != os.getpid()
    return False
