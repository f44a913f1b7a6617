"""How a proxy ends and begins again: whom it let in is answered, and nothing keeps it for ever."""

from __future__ import annotations

import itertools
import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE, soon
from tests.wire.harness.portals import Portal, end, environment, wait_for_ports
from tests.wire.harness.raw import LOOPBACK, RawConnection, exchange, request, response
from tests.wire.harness.recorder import Accepted, Live, Recorder, eventually

QUEUED = 1500
"""More than a loop takes before it hears of the signal."""
INHERITED = Path(__file__).parent / "harness" / "inherited.py"


@pytest.fixture
def settings() -> str:
    """Running requests get three seconds."""
    return "accept: [sealed, signed]\ngrace: 3s\n"


def get(portal: Portal, target: str = "/", *fields: tuple[str, str]) -> bytes:
    return request("GET", target, ("Host", portal.app_host("site")), *fields)


def process_of(portal: Portal) -> subprocess.Popen[bytes]:
    assert portal._process is not None
    return portal._process


def half_sent(portal: Portal, app: Recorder) -> RawConnection:
    """Return a connection on which a request is under way."""
    wire = RawConnection(portal.public)
    fields = (("Host", portal.app_host("site")), ("Content-Length", "4"))
    wire.send(request("POST", "/", *fields) + b"ab")
    eventually(lambda: app.received.endswith(b"ab"))
    return wire


def test_what_runs_longer_than_the_owner_grants_is_cut_off_visibly(
    gina: Portal, app: Recorder
) -> None:
    gina.start()
    with half_sent(gina, app) as wire:
        start = time.monotonic()
        assert gina.stop() == 0
        assert 2.5 < time.monotonic() - start < soon(6)
        with pytest.raises(ConnectionError):
            wire.socket.recv(1)
    assert "cut off" in gina.log
    assert "Traceback" not in gina.log


def grant_an_hour(portal: Portal) -> None:
    """Give running requests an hour."""
    yaml = portal.config / "portal.yaml"
    yaml.write_text(yaml.read_text().replace("grace: 3s", "grace: 1h"))


def test_the_second_signal_ends_it_at_once(gina: Portal, app: Recorder) -> None:
    grant_an_hour(gina)
    gina.start()
    process = process_of(gina)
    with half_sent(gina, app):
        process.terminate()
        eventually(lambda: not listens(gina.public))
        assert process.poll() is None
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - start < soon(2)
    assert "Traceback" not in gina.log


def listens(port: int) -> bool:
    """Tell whether the kernel makes connections to ``port``: at once, or it drops who begins."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=5).close()
    except OSError:
        return False
    return True


def test_who_is_in_the_queue_when_it_stops_is_served(gina: Portal, app: Recorder) -> None:
    grant_an_hour(gina)
    # All come from one network, which has a quarter of an app's places.
    with (gina.config / "portal.yaml").open("a") as yaml:
        yaml.write(f"limits: {{requests_per_app: {5 * QUEUED}}}\n")
        yaml.write("timeouts: {app_connect: 1m, app_answer: 10m}\n")  # on a busy machine
    gina.start()
    process = process_of(gina)
    process.send_signal(signal.SIGSTOP)
    with more_descriptors(), ExitStack() as stack:
        wires = [stack.enter_context(RawConnection(gina.public)) for _ in range(QUEUED)]
        for number, wire in enumerate(wires):
            wire.send(get(gina, f"/{number}"))
        process.terminate()
        process.send_signal(signal.SIGCONT)
        assert [wire.read().body for wire in wires] == [b"ok"] * QUEUED
    assert process.wait(PATIENCE) == 0
    assert len(app.requests) == QUEUED


@contextmanager
def more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_app_that_answers_can_still_call(gina: Portal) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def act(link: Accepted) -> None:
        link.until(b"\r\n\r\n")
        asked.set()
        go_on.wait(PATIENCE)
        got = exchange(gina.apps, request("GET", "/public/meta/whoareyou", ("Host", "x")))
        link.send(response(got.status, body=json.dumps(got.json()["id"]).encode()))

    with Live() as calling:
        calling.act = act
        settings = gina.config / "apps" / "site" / "proxy.yaml"
        settings.write_text(f"upstream: http://{LOOPBACK}:{calling.port}\n")
        gina.start()
        process = process_of(gina)
        with RawConnection(gina.public) as wire:
            wire.send(get(gina))
            assert asked.wait(PATIENCE)
            process.terminate()
            eventually(lambda: not listens(gina.public))
            go_on.set()
            got = wire.read()
            assert (got.status, got.json()) == (200, gina.id)
    assert process.wait(PATIENCE) == 0


def test_descriptors_enough_for_thousands_are_asked_for(gina: Portal) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        gina.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    raised, _ = resource.prlimit(process_of(gina).pid, resource.RLIMIT_NOFILE)
    assert raised == (65536 if hard == resource.RLIM_INFINITY else min(65536, hard))


def test_who_finds_no_descriptor_free_waits_until_there_is_one(gina: Portal) -> None:
    gina.start()
    process = process_of(gina)
    taken = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (taken + 10, hard))
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(RawConnection(gina.public))
        eventually(lambda: "can't take a connection" in gina.log)
        waiting = stack.enter_context(RawConnection(gina.public))
        waiting.send(get(gina))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (hard, hard))
        assert waiting.read().body == b"ok"
    assert "Traceback" not in gina.log


# Beginning again.


class Visitors:
    """Clients that never rest; ``refused`` counts connections that were."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.refused = 0
        self.answered: list[int] = []
        self.unanswered: list[int] = []
        """Requests on a connection that had answered before, and was closed under this one."""
        self._numbers = itertools.count()
        self._failures: list[BaseException] = []
        self._stop = threading.Event()

    @contextmanager
    def at_work(self, *visits: Callable[[Visitors], None]) -> Iterator[None]:
        threads = [threading.Thread(target=self._work, args=(visit,)) for visit in visits]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        if self._failures:
            raise self._failures[0]

    def _work(self, visit: Callable[[Visitors], None]) -> None:
        while not self._stop.is_set():
            try:
                visit(self)
            except BaseException as error:  # noqa: BLE001 - a thread's, raised in the test's
                self._failures.append(error)

    def connect(self) -> RawConnection:
        """Connect, again and again where that is refused; nothing else may go wrong."""
        while True:
            try:
                return RawConnection(self.portal.public)
            except ConnectionRefusedError:
                self.refused += 1
                time.sleep(0.01)

    def once(self) -> None:
        """Make one request on a connection of its own."""
        number = next(self._numbers)
        with self.connect() as wire:
            wire.send(get(self.portal, f"/{number}"))
            assert wire.read().body == b"ok"
        self.answered.append(number)

    def again_and_again(self) -> None:
        """Make requests on one connection until it is closed."""
        with self.connect() as wire:
            is_first = True
            while not self._stop.is_set():
                number = next(self._numbers)
                try:
                    wire.send(get(self.portal, f"/{number}"))
                    got = wire.read()
                except (ConnectionError, EOFError):
                    assert not is_first
                    self.unanswered.append(number)
                    return
                assert got.body == b"ok"
                self.answered.append(number)
                is_first = False
                if b"close" in got.all("connection"):
                    return


@pytest.mark.more
def test_a_restart_under_load_loses_no_request_that_it_took(gina: Portal, app: Recorder) -> None:
    gina.start()
    restarts_lose_nothing(gina, app, times=3)


def restarts_lose_nothing(portal: Portal, app: Recorder, times: int) -> None:
    """Restart a running proxy under load; what was asked is what its app got."""
    visitors = Visitors(portal)
    visits = [Visitors.once] * 3 + [Visitors.again_and_again] * 3
    with visitors.at_work(*visits):
        for _ in range(times):
            before = len(visitors.answered)
            eventually(lambda: len(visitors.answered) > before + 50)  # noqa: B023 - asked at once
            assert portal.stop() == 0
            portal.start()
    targets = [got.target for got in app.requests]
    assert sorted(targets) == sorted(b"/%d" % number for number in visitors.answered)
    assert {b"/%d" % number for number in visitors.unanswered}.isdisjoint(targets)
    assert "Traceback" not in portal.log


@contextmanager
def inheriting(portal: Portal, names: list[str]) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Hold the listening sockets of a Portal; what is given starts a proxy with them."""
    with ExitStack() as stack:
        held = {
            name: stack.enter_context(socket.create_server((LOOPBACK, port), reuse_port=False))
            for name in names
            if (port := getattr(portal, name, 0)) is not None
        }

        def start() -> subprocess.Popen[bytes]:
            inherited = [f"{sock.fileno()}:{name}" for name, sock in held.items()]
            command = portal.command_line("serve")
            with portal.log_file.open("ab") as log:
                return subprocess.Popen(
                    [sys.executable, str(INHERITED), *inherited, "--", *command],
                    env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    pass_fds=[sock.fileno() for sock in held.values()],
                )  # fmt: skip

        yield start


@pytest.mark.more
def test_with_inherited_sockets_a_restart_refuses_nobody(gina: Portal, app: Recorder) -> None:
    visitors = Visitors(gina)
    with inheriting(gina, ["public", "apps", "owner"]) as start:
        process = start()
        with visitors.at_work(Visitors.once, Visitors.once, Visitors.again_and_again):
            for _ in range(3):
                before = len(visitors.answered)
                eventually(lambda: len(visitors.answered) > before + 50)  # noqa: B023 - at once
                assert end(process) == 0
                process = start()
        assert gina.command("health").returncode == 0
        assert end(process) == 0
    assert visitors.refused == 0
    targets = [got.target for got in app.requests]
    assert sorted(targets) == sorted(b"/%d" % number for number in visitors.answered)


def test_one_socket_may_be_inherited_and_the_others_be_its_own(gina: Portal) -> None:
    with inheriting(gina, ["public"]) as start:
        process = start()
        wait_for_ports(process, gina.apps, gina.owner, log=gina.log_file)
        assert exchange(gina.public, get(gina)).body == b"ok"
        assert end(process) == 0


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["publik"], "a socket named 'publik'; expected FileDescriptorName=public, apps or owner"),
        (["public:apps"], "the apps listener can't use"),
    ],
)
def test_a_socket_that_isnt_the_listeners_is_refused(
    gina: Portal, names: list[str], said: str
) -> None:
    with ExitStack() as stack:
        words = []
        for name in names[0].split(":"):
            inherited = stack.enter_context(socket.create_server((LOOPBACK, 0)))
            if name == "public":
                inherited = stack.enter_context(socket.create_server((LOOPBACK, gina.public)))
            inherited.set_inheritable(True)
            words.append(f"{inherited.fileno()}:{name}")
        done = subprocess.run(
            [sys.executable, str(INHERITED), *words, "--", *gina.command_line("serve")],
            env=environment(), capture_output=True, text=True, check=False, close_fds=False,
            timeout=PATIENCE,
        )  # fmt: skip
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
