"""TLS of the proxy's own: handshakes that fail, slow readers, bad certificates."""

from __future__ import annotations

import secrets
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import BasicConstraints

from tests.certificates import Authority, write_pair
from tests.patience import PATIENCE
from tests.wire.harness.raw import LOOPBACK, RawConnection, request
from tests.wire.harness.recorder import eventually

from .clocks import Clock
from .fault import Fault, Seen
from .ledger import is_whole
from .stage import FINE, Placed, Stage, on_stage, outcome

if TYPE_CHECKING:
    from proxy.core.access.policy import Mode

_DAY = 86_400
_MIB = 1 << 20
_HANDSHAKES, _AT_ONCE = 3000, 6
_SIZES = (1_000_000, 2_500_000, 3_500_000, 4_500_000, 6_000_000)
"""Bytes: about as much as the system holds for a client that doesn't read."""
_PAUSE = 2.5
"""Seconds; more than the proxy waits for a client's part of the end."""


class LastingAuthority(Authority):
    """One whose own certificate is good for a year."""

    @property
    def pem(self) -> bytes:
        builder = self._builder(self.key, "authority", -_DAY, 365 * _DAY)
        constraints = BasicConstraints(ca=True, path_length=0)
        builder = builder.add_extension(constraints, critical=True)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


class Secured(Stage):
    """The cast, with TLS between the Portals."""

    authority: LastingAuthority

    def renew(self, begins: float = -_DAY, ends: float = 30 * _DAY, name: str = "") -> None:
        """Put another certificate of Bob's in place."""
        host = name or self.bob.host.partition(":")[0]
        pair = self.authority.issue(host, f"*.{host}", begins=begins, ends=ends)
        write_pair(self.bob.config / "tls", pair)

    def stranger(self) -> str:
        number, body = self.app.next_body()
        host = ("Host", self.bob.app_host("open"))
        with self.connect() as wire:
            wire.send(request("POST", f"/do/{number}", host, body=body))
            return outcome(wire.read())

    def connect(self) -> SecureConnection:
        return SecureConnection(self.bob)


class SecureConnection(RawConnection):
    """A connection with TLS, whatever the certificate."""

    def __init__(self, portal: Placed) -> None:
        super().__init__(portal.public)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.tls = context.wrap_socket(self.socket, server_hostname=portal.host.partition(":")[0])
        self.socket = self.tls

    @property
    def certificate(self) -> bytes:
        return self.tls.getpeercert(binary_form=True) or b""

    def piece(self) -> bytes:
        try:
            return super().piece()
        except ssl.SSLEOFError:
            return b""


@contextmanager
def _secured(folder: Path, settings: str = "") -> Iterator[Secured]:
    """Give that cast, not running yet."""
    tls = "tls: {certificate: tls/fullchain.pem, key: tls/privkey.pem}\n"
    with on_stage(folder, settings=tls + settings) as plain:
        stage = Secured(plain.bob, plain.ada, plain.eda, plain.app, plain.friend)
        stage.authority = LastingAuthority()
        yaml = stage.bob.config / "portal.yaml"
        yaml.write_text(yaml.read_text().replace("public_url: http:", "public_url: https:"))
        stage.renew()
        (folder / "ca.pem").write_bytes(stage.authority.pem)
        modes: tuple[tuple[Placed, Mode], ...] = ((stage.ada, "signed"), (stage.eda, "sealed"))
        for caller, mode in modes:
            caller.more["SSL_CERT_FILE"] = str(folder / "ca.pem")
            bob = replace(stage.bob.as_contact(mode=mode), address=f"https://{stage.bob.host}")
            caller.knows(bob, apps={"peers": "all"})
        yield stage


def _started(stage: Stage) -> None:
    for portal in stage.portals:
        portal.start()


def _failed_handshakes(folder: Path, rounds: int, seen: Seen) -> None:
    with _secured(folder) as stage:
        _started(stage)
        stage.recovers()
        for _ in range(rounds):
            _fail(stage, 500)
            before = stage.bob.memory()
            stage.bob.forget_peak()
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(lambda _: _fail(stage, _HANDSHAKES // _AT_ONCE), range(_AT_ONCE)))
            grown = (stage.bob.peak() - before) / _MIB
            seen.equal(stage.all_ways(), FINE, "afterwards")
            seen.expect(grown < 24, f"it has grown by {grown:.0f} MiB")
            seen.counts["handshakes failed"] += _HANDSHAKES
            seen.rounds += 1


def _fail(stage: Stage, times: int) -> None:
    hello = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    said = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        hello.wrap_bio(ssl.MemoryBIO(), said, server_hostname="a.example").do_handshake()
    begins = said.read()
    ways = (b"GET / HTTP/1.0\r\n\r\n", begins + secrets.token_bytes(200), begins, begins[:50])
    for number in range(times):
        with (
            suppress(OSError),
            socket.create_connection((LOOPBACK, stage.bob.public), timeout=PATIENCE) as wire,
        ):
            wire.sendall(ways[number % 4])
            if number % 4 < 2:
                while wire.recv(1 << 14):
                    pass


def _slow_reader(folder: Path, rounds: int, seen: Seen) -> None:
    with _secured(folder) as stage:
        _started(stage)
        for _ in range(rounds):
            with ExitStack() as stack:
                wires = []
                for version in ("1.1", "1.0"):
                    for size in _SIZES:
                        wires.append((version, size, stack.enter_context(stage.connect())))
                        _ask_for_much(stage, wires[-1][2], size, version)
                time.sleep(_PAUSE)  # the clients pause, which is the fault
                for version, size, wire in wires:
                    whole = _takes_all(wire)
                    seen.expect(whole, f"{size:,} bytes to HTTP/{version} were cut")
                    seen.counts["responses"] += 1
            seen.rounds += 1


def _slow_readers_at_the_end(folder: Path, rounds: int, seen: Seen) -> None:
    with _secured(folder, "grace: 1m\n") as stage:
        _started(stage)
        for _ in range(rounds):
            with ExitStack() as stack:
                wires = [stack.enter_context(stage.connect()) for _ in _SIZES]
                for size, wire in zip(_SIZES, wires, strict=True):
                    _ask_for_much(stage, wire, size, "1.1", close=False)
                stage.bob.signal(signal.SIGTERM)
                time.sleep(_PAUSE)  # as above
                for size, wire in zip(_SIZES, wires, strict=True):
                    seen.expect(_takes_all(wire), f"{size:,} bytes were cut")
            seen.equal(stage.bob.wait(), 0, "exit status")
            stage.bob.start()
            seen.rounds += 1


def _ask_for_much(
    stage: Secured, wire: RawConnection, size: int, version: str, *, close: bool = True
) -> None:
    """Ask for a large response, and take its head."""
    fields = [("Host", stage.bob.app_host("open"))]
    if close:
        fields.append(("Connection", "close"))
    number = 3 * stage.app.next() + 1
    asked = request("GET", f"/get/{number}/{size}", *fields)
    wire.send(asked.replace(b"HTTP/1.1", b"HTTP/" + version.encode()))
    wire.put_back(wire.until(b"\r\n\r\n"))


def _takes_all(wire: RawConnection) -> bool:
    with suppress(OSError, EOFError):
        return is_whole(wire.read().body)
    return False


def _bad_certificates(folder: Path, rounds: int, seen: Seen) -> None:
    with _secured(folder) as stage:
        _started(stage)
        for _ in range(rounds):
            with stage.connect() as wire:
                good = wire.certificate
            for what, changes in _BAD.items():
                stage.renew(**changes)  # type: ignore[arg-type]
                eventually(lambda: stage.bob.tells("certificate") or stage.bob.tells("fullchain"))
                with stage.connect() as wire:
                    seen.expect(wire.certificate == good, f"{what} was taken")
                seen.equal(stage.all_ways(), FINE, f"with {what}")
            stage.renew()
            eventually(lambda: not stage.bob.health())
            seen.equal(stage.all_ways(), FINE, "afterwards")
            seen.rounds += 1


_BAD: dict[str, dict[str, object]] = {
    "an expired one": {"begins": -2 * _DAY, "ends": -60},
    "one that isn't valid yet": {"begins": _DAY},
    "one of another name": {"name": "other.example"},
}


def _renewal(folder: Path, rounds: int, seen: Seen) -> None:
    for number in range(rounds):
        with _secured(folder / str(number)) as stage:
            clock = Clock(folder / str(number), *stage.portals)
            stage.renew(ends=3 * _DAY)
            _started(stage)
            stage.recovers()
            clock.set(2 * _DAY)
            stage.recovers()
            old = _shown(stage)
            stage.renew(begins=_DAY, ends=6 * _DAY)
            eventually(lambda: _shown(stage) != old)  # noqa: B023 - asked at once
            clock.set(5 * _DAY)
            stage.recovers()
            clock.set(7 * _DAY)
            eventually(lambda: stage.bob.tells("expired"))
            for caller in (stage.ada, stage.eda):
                caller.restart()  # else a connection that is there is used
            got = stage.signed(), stage.sealed()
            seen.equal(got, ("502 peer_unreachable",) * 2, "with an expired one")
            stage.renew(begins=6 * _DAY, ends=9 * _DAY)
            stage.recovers()
            seen.expect(max(stage.app.done.values()) == 1, "a call was carried out twice")
            seen.rounds += 1


def _shown(stage: Secured) -> bytes:
    with stage.connect() as wire:
        return wire.certificate


FAULTS = (
    Fault(
        "TLS handshakes that fail",
        f"{_HANDSHAKES:,} from one address, in four ways",
        "They are closed; its memory doesn't grow with their number",
        "One line for each in the log, with the client's address and the reason",
        _failed_handshakes,
        rounds=3,
    ),
    Fault(
        "A client that takes its response slowly, over TLS",
        f"1 to 6 MB with `Connection: close`, a pause of {_PAUSE:g} s, by HTTP/1.1 and 1.0",
        "It gets all of it",
        "`answered`, with all bytes, once they were taken",
        _slow_reader,
    ),
    Fault(
        "SIGTERM while clients take their responses slowly, over TLS",
        "Five of them, who pause likewise",
        "They get all of it, within `grace`",
        "The same",
        _slow_readers_at_the_end,
    ),
    Fault(
        "A certificate that is worse than the one in use",
        "Expired, not yet valid, or of another name, put in its place while the proxy runs",
        "The better one stays in use, until a good one comes",
        "A problem under `/health` and in `check`",
        _bad_certificates,
    ),
    Fault(
        "A certificate that runs out",
        "A clock that leaps by days; the certificate is renewed in time, then not, then late",
        "Calls pass while one is good that was put in place; else 502 `peer_unreachable`. Nothing "
        "needs a restart",
        "`expired` under `/health` and in `check`, two weeks before as a warning",
        _renewal,
        needs=("libfaketime",),
    ),
)
