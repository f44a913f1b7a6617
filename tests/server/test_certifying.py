"""When a certificate is asked for, what is remembered of a failure, and what it never does."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.acme.challenges import Challenges
from proxy.acme.issuing import NotIssued
from proxy.acme.order import Order
from proxy.config.listen import Address
from proxy.config.portal_yaml import load_config
from proxy.core.certificate_renewal import FIRST_WAIT
from proxy.server.certifying import Certifying, order_of, read_certificate
from proxy.server.sockets import open_socket
from proxy.state.acme_files import read_failure
from proxy.state.layout import State
from tests.certificates import DAY, authority
from tests.one_name import HOST, ONE_NAME
from tests.wire.harness.recorder import eventually

ID = "c" * 103
_YAML = f"""\
{ONE_NAME}state: state
acme: {{agree: true, authorities: ca.pem, email: ada@ada.example}}
"""


@dataclass
class Home:
    """A Portal's folders, a clock, and an authority that does as the test says."""

    folder: Path
    now: float = 0.0
    fails: str = ""
    names: tuple[str, ...] = (HOST,)
    orders: list[Order] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = time.time()
        (self.folder / "portal.yaml").write_text(_YAML)
        self.config = load_config(self.folder, {})
        self.state = State(self.config.state)
        self.state.acme.mkdir(parents=True)

    async def issue(self, order: Order, challenges: Challenges, listen: str) -> None:
        assert challenges.promised(b"token") is None
        assert listen == "0.0.0.0:80"
        self.orders.append(order)
        if self.fails:
            raise NotIssued(self.fails)
        self.put(ends=90 * DAY)

    def put(self, *, begins: float = -DAY, ends: float) -> None:
        chain, key = authority().issue(*self.names, begins=begins, ends=ends)
        path = self.state.acme_certificate
        path.touch(0o600)
        path.write_bytes(chain + key)

    def started(self, chance: float = 0.0) -> Certifying:
        return Certifying(self.config, ID, lambda: self.now, lambda: chance)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path)
    monkeypatch.setattr("proxy.server.certifying.issue", home.issue)
    return home


def test_an_order_says_what_portal_yaml_says(home: Home) -> None:
    order = order_of(home.config, ID)
    assert order.names == (HOST,)
    assert order.email == "ada@ada.example"
    assert order.directory == "https://acme-v02.api.letsencrypt.org/directory"
    assert order.certificate == str(home.state.acme_certificate)
    assert order.account == str(home.state.acme_account)
    assert order.authorities == str(home.folder / "ca.pem")


async def test_a_certificate_that_is_new_is_left_alone_until_it_is_due(home: Home) -> None:
    home.put(begins=-1, ends=90 * DAY)
    wait = await home.started().look()
    assert home.orders == []
    assert 59.9 * DAY < wait < 60.1 * DAY
    home.now += wait - 10
    assert await home.started().look() == pytest.approx(10, abs=0.1)
    assert home.orders == []


async def test_one_that_is_due_is_renewed_and_the_new_one_left_alone(home: Home) -> None:
    home.put(begins=-70 * DAY, ends=20 * DAY)
    certifying = home.started()
    await certifying.look()
    assert len(home.orders) == 1
    await certifying.look()
    assert len(home.orders) == 1
    certificate = read_certificate(home.orders[0])
    assert certificate is not None
    assert certificate.ends > home.now + 80 * DAY


async def test_chance_has_it_renewed_a_little_earlier(home: Home) -> None:
    home.put(begins=-57 * DAY, ends=33 * DAY)
    await home.started(chance=0.0).look()
    assert home.orders == []
    await home.started(chance=0.999).look()
    assert len(home.orders) == 1


@pytest.mark.parametrize("names", [("other.example",), ("ada.example",)])
async def test_one_for_another_name_is_replaced_at_once(home: Home, names: tuple[str, ...]) -> None:
    home.names = names
    home.put(ends=90 * DAY)
    home.names = (HOST,)
    await home.started().look()
    assert len(home.orders) == 1


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nx"])
async def test_one_that_is_missing_or_damaged_is_replaced(
    home: Home, content: bytes | None
) -> None:
    if content is not None:
        home.state.acme_certificate.touch(0o600)
        home.state.acme_certificate.write_bytes(content)
    await home.started().look()
    assert len(home.orders) == 1


async def test_a_failure_is_told_and_repeated_ever_later(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    home.put(begins=-70 * DAY, ends=20 * DAY)
    home.fails = "port 80 is closed"
    certifying = home.started()
    with caplog.at_level(logging.INFO):
        wait = await certifying.look()
    assert wait == pytest.approx(FIRST_WAIT, abs=2)
    assert "port 80 is closed; it is tried again in 15 minutes" in caplog.text
    assert await certifying.look() == pytest.approx(FIRST_WAIT, abs=2)
    assert len(home.orders) == 1
    home.now += FIRST_WAIT + 1
    assert await certifying.look() == pytest.approx(2 * FIRST_WAIT, abs=2)
    assert len(home.orders) == 2
    failure = read_failure(home.state.acme_failure)
    assert failure is not None
    assert (failure.reason, failure.times) == ("port 80 is closed", 2)
    # The old one is still there, whole.
    assert read_certificate(home.orders[0]) is not None


async def test_a_start_doesnt_ask_before_its_time(home: Home) -> None:
    home.put(begins=-70 * DAY, ends=20 * DAY)
    home.fails = "rate limited"
    await home.started().look()
    home.now += 60
    wait = await home.started().look()
    assert len(home.orders) == 1
    assert wait == pytest.approx(FIRST_WAIT - 60, abs=2)


async def test_a_success_is_the_end_of_it(home: Home) -> None:
    home.put(begins=-70 * DAY, ends=20 * DAY)
    home.fails = "port 80 is closed"
    certifying = home.started()
    await certifying.look()
    home.fails = ""
    home.now += FIRST_WAIT + 1
    await certifying.look()
    assert read_failure(home.state.acme_failure) is None
    assert len(home.orders) == 2


async def test_a_failure_of_a_clock_that_was_ahead_holds_nothing_up(home: Home) -> None:
    home.put(begins=-70 * DAY, ends=20 * DAY)
    home.fails = "the clock"
    home.now += 10 * DAY
    await home.started().look()
    home.now -= 10 * DAY
    await home.started().look()
    assert len(home.orders) == 2


async def test_a_full_disk_has_nobody_asked_all_the_time(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("proxy.server.certifying.write_failure", fail)
    home.put(begins=-70 * DAY, ends=20 * DAY)
    home.fails = "port 80 is closed"
    certifying = home.started()
    assert await certifying.look() == pytest.approx(FIRST_WAIT, abs=2)
    assert "failure.json can't be written" in caplog.text
    home.now += 60
    await certifying.look()
    assert len(home.orders) == 1
    home.now += FIRST_WAIT
    home.fails = ""
    await certifying.look()
    assert len(home.orders) == 2


async def test_a_mistake_of_ours_ends_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = asyncio.Event()

    async def fail(*_: object) -> None:
        asked.set()
        raise RuntimeError("ours")

    monkeypatch.setattr("proxy.server.certifying.issue", fail)
    certifying = home.started()
    listener = certifying.begin(open_socket(Address("127.0.0.1", 0)))
    await asked.wait()
    await asyncio.to_thread(eventually, lambda: "can't be looked after" in caplog.text)
    await certifying.end()
    await listener.break_off()


async def test_the_end_waits_for_no_authority(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def wait(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("proxy.server.certifying.issue", wait)
    certifying = home.started()
    listener = certifying.begin(open_socket(Address("127.0.0.1", 0)))
    assert listener.name == "challenges"
    await asked.wait()
    await certifying.end()
    await listener.break_off()


def test_certificate_and_key_are_one_file(home: Home) -> None:
    home.put(ends=90 * DAY)
    certificate = read_certificate(order_of(home.config, ID))
    assert certificate is not None
    assert certificate.names == {HOST}
    home.state.acme_certificate.chmod(0o644)
    assert read_certificate(order_of(home.config, ID)) is None, "others could read the key"


async def test_a_state_of_a_later_program_is_left_to_it(home: Home) -> None:
    home.put(begins=-70 * DAY, ends=20 * DAY)
    before = home.state.acme_certificate.read_bytes()
    home.state.schema.touch(0o600)
    home.state.schema.write_bytes(b'{"v": 999}')
    await home.started().look()
    assert home.orders == []
    assert home.state.acme_certificate.read_bytes() == before
    home.state.schema.unlink()
    await home.started().look()
    assert len(home.orders) == 1
