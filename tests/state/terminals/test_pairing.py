"""Pairing codes on disk: each makes one terminal, whoever tries it, and guesses come to nothing."""

import errno
import multiprocessing
import os
from collections import Counter
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Barrier as ThreadBarrier
from threading import Thread

import pytest

from proxy.core.errors import Code, Refusal
from proxy.core.terminals.pairing_code import (
    CODE_LIFETIME,
    LINK_CODE_LENGTH,
    TRIES_OF_ALL,
    TRIES_OF_ONE,
    WINDOW,
)
from proxy.core.terminals.terminals import token_digest
from proxy.state.files import file_version, locked
from proxy.state.terminals import PairingStore, TerminalStore
from proxy.state.terminals import pairing as module
from proxy.state.terminals.pairing import NAMELESS
from tests.state.writing import writing_of
from tests.terminal_lists import NOW

SPAWN = multiprocessing.get_context("spawn")
HERE = "203.0.113.7"
WRONG = "0000-0000"
WRONG_LINK = "0" * LINK_CODE_LENGTH


@pytest.fixture
def pairing(tmp_path: Path) -> PairingStore:
    return store_in(tmp_path)


def store_in(folder: Path) -> PairingStore:
    return PairingStore(folder / "pairing.yaml", TerminalStore(folder / "terminals.yaml"))


def outcome(
    store: PairingStore, code: str, *, address: str = HERE, name: str = "Phone", now: float = NOW
) -> Code | None:
    """Try a code; returns why it was refused."""
    refused: Refusal | None = None
    try:
        store.redeem(code, address, name, now)
    except Refusal as refusal:
        refused = refusal
    if refused is None:
        return None
    assert not code or code not in str(refused)
    assert (refused.retry_after is None) == (refused.code is not Code.TOO_MANY_ATTEMPTS)
    return refused.code


def paired(store: PairingStore) -> list[str]:
    return [terminal.name for terminal in store._terminals.load().terminals]


def test_a_code_makes_a_terminal_whose_token_is_known_to_its_browser_alone(
    pairing: PairingStore, tmp_path: Path
) -> None:
    code = pairing.new_code(NOW).typed
    terminal, token = pairing.redeem(f" {code.lower()} ", HERE, "Phone", NOW + 1.5)
    assert (terminal.name, terminal.paired, terminal.seen) == ("Phone", NOW + 1, NOW + 1)
    assert terminal.token_sha256 == token_digest(token.encode())
    assert len(token) == 43
    assert pairing._terminals.load().by_token(token.encode()) == terminal
    link = pairing.new_code(NOW).link
    for file in tmp_path.iterdir():
        for secret in (token, code, link):
            assert secret.encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o7777 == 0o600


def test_every_terminal_has_an_id_and_a_token_of_its_own(pairing: PairingStore) -> None:
    made = [pairing.redeem(pairing.new_code(NOW).typed, HERE, "Phone", NOW) for _ in range(5)]
    assert len({terminal.id for terminal, _ in made}) == len({token for _, token in made}) == 5


def test_a_code_is_good_once(pairing: PairingStore) -> None:
    code = pairing.new_code(NOW).typed
    assert outcome(pairing, code) is None
    assert outcome(pairing, code) is Code.PAIRING_REFUSED
    assert paired(pairing) == ["Phone"]


def test_a_code_is_good_for_ten_minutes(pairing: PairingStore) -> None:
    early, late = pairing.new_code(NOW).typed, pairing.new_code(NOW).typed
    assert outcome(pairing, early, now=NOW + CODE_LIFETIME - 1) is None
    assert outcome(pairing, late, now=NOW + CODE_LIFETIME) is Code.PAIRING_REFUSED


def test_a_clock_that_is_set_back_makes_no_code_last_longer(pairing: PairingStore) -> None:
    code = pairing.new_code(NOW).typed
    assert outcome(pairing, code, now=NOW - 3600) is Code.PAIRING_REFUSED


def test_whatever_is_wrong_is_refused_alike(pairing: PairingStore) -> None:
    expired, used = pairing.new_code(NOW - CODE_LIFETIME).typed, pairing.new_code(NOW).typed
    assert outcome(pairing, used) is None
    pairing.new_code(NOW)
    tried = (used, expired, WRONG, WRONG_LINK, "", "A" * 10_000, "\ud800\x00\u202e", "\n")
    refused = []
    for number, code in enumerate(tried):
        with pytest.raises(Refusal) as caught:
            pairing.redeem(code, f"198.51.100.{number}", "x", NOW)
        refused.append((caught.value.code, caught.value.detail))
    assert set(refused) == {(Code.PAIRING_REFUSED, "no such code is open")}


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("My Phone", "My Phone"),
        ("", NAMELESS),
        (" \t\r\n", NAMELESS),
        ("\u200b\u202e", NAMELESS),
        ("a\r\nX-Ptl-Client-Type: peer", "aX-Ptl-Client-Type: peer"),
        ("\x1b[31mred", "[31mred"),
        ("\u202egnp.exe", "gnp.exe"),
        ("x" * 10_000, "x" * 64),
        ("\ud800", NAMELESS),
        ("'\": - {}", "'\": - {}"),
        ("123456", "123456"),
    ],
)
def test_a_name_is_made_fit_to_be_shown(pairing: PairingStore, typed: str, kept: str) -> None:
    assert outcome(pairing, pairing.new_code(NOW).typed, name=typed) is None
    assert paired(pairing) == [kept]


def test_of_a_thousand_wrong_codes_few_are_looked_at_and_the_right_one_stays_good(
    pairing: PairingStore,
) -> None:
    code = pairing.new_code(NOW).typed
    outcomes = Counter(
        outcome(pairing, f"{number:08}", address=f"198.51.{number % 100}.1")
        for number in range(1000)
    )
    assert outcomes == {Code.PAIRING_REFUSED: TRIES_OF_ALL, Code.TOO_MANY_ATTEMPTS: 940}
    assert outcome(pairing, code) is Code.TOO_MANY_ATTEMPTS
    assert len(pairing.load().tries) == TRIES_OF_ALL
    assert outcome(pairing, code, now=NOW + WINDOW) is None


def test_one_address_that_guesses_keeps_no_other_one_out(pairing: PairingStore) -> None:
    code = pairing.new_code(NOW).typed
    network = [f"2001:db8::{number}" for number in range(1, 100)]
    outcomes = [outcome(pairing, WRONG, address=address) for address in network]
    assert outcomes.count(Code.PAIRING_REFUSED) == TRIES_OF_ONE
    assert outcome(pairing, code, address=network[0]) is Code.TOO_MANY_ATTEMPTS
    assert outcome(pairing, code, address="2001:db8:0:1::1") is None


def test_guesses_are_counted_where_no_code_is_open_too(pairing: PairingStore) -> None:
    outcomes = [outcome(pairing, WRONG) for _ in range(TRIES_OF_ONE + 1)]
    assert outcomes == [Code.PAIRING_REFUSED] * TRIES_OF_ONE + [Code.TOO_MANY_ATTEMPTS]


def test_a_try_that_is_throttled_writes_nothing(pairing: PairingStore) -> None:
    for _ in range(TRIES_OF_ONE):
        outcome(pairing, WRONG)
    before = writing_of(pairing.path)
    assert outcome(pairing, WRONG) is Code.TOO_MANY_ATTEMPTS
    assert writing_of(pairing.path) == before


def test_a_try_that_is_throttled_waits_for_nobody_and_reads_nothing(
    pairing: PairingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(TRIES_OF_ONE):
        outcome(pairing, WRONG)
    assert outcome(pairing, WRONG) is Code.TOO_MANY_ATTEMPTS
    monkeypatch.setattr(module, "parse_pairing", None)
    with locked(pairing.path):
        assert outcome(pairing, WRONG) is Code.TOO_MANY_ATTEMPTS


def test_what_another_process_counted_counts(pairing: PairingStore, tmp_path: Path) -> None:
    other = store_in(tmp_path)
    for _ in range(TRIES_OF_ONE - 1):
        assert outcome(pairing, WRONG) is Code.PAIRING_REFUSED
    assert outcome(other, WRONG) is Code.PAIRING_REFUSED
    assert outcome(pairing, WRONG) is Code.TOO_MANY_ATTEMPTS
    assert outcome(other, other.new_code(NOW).typed, address="203.0.113.8") is None


def test_a_right_code_is_no_wrong_try(pairing: PairingStore) -> None:
    for _ in range(TRIES_OF_ONE + 2):
        assert outcome(pairing, pairing.new_code(NOW).typed) is None


# The code of a link


def test_a_link_pairs_as_its_typed_code_does_and_uses_it_up(pairing: PairingStore) -> None:
    for first, second in (("typed", "link"), ("link", "typed"), ("link", "link")):
        code = pairing.new_code(NOW)
        assert outcome(pairing, getattr(code, first)) is None
        assert outcome(pairing, getattr(code, second)) is Code.PAIRING_REFUSED
    assert len(paired(pairing)) == 3


def test_a_link_is_good_for_ten_minutes(pairing: PairingStore) -> None:
    early, late = pairing.new_code(NOW).link, pairing.new_code(NOW).link
    assert outcome(pairing, early, now=NOW + CODE_LIFETIME - 1) is None
    assert outcome(pairing, late, now=NOW + CODE_LIFETIME) is Code.PAIRING_REFUSED


@pytest.mark.parametrize("guesses", [TRIES_OF_ONE, TRIES_OF_ALL, 1000])
def test_no_flood_of_guesses_keeps_a_link_from_working(pairing: PairingStore, guesses: int) -> None:
    code = pairing.new_code(NOW)
    for number in range(guesses):
        outcome(pairing, f"{number:08}", address=f"198.51.{number % 100}.1")
    for _ in range(TRIES_OF_ONE):
        outcome(pairing, WRONG)
    assert outcome(pairing, code.typed) is Code.TOO_MANY_ATTEMPTS
    assert outcome(pairing, code.link) is None


def test_a_link_that_is_wrong_counts_against_nobody_and_writes_nothing(
    pairing: PairingStore,
) -> None:
    code = pairing.new_code(NOW)
    before = file_version(pairing.path)
    with locked(pairing.path):
        for number in range(TRIES_OF_ALL + 1):
            wrong = f"{number:026}"
            assert outcome(pairing, wrong) is Code.PAIRING_REFUSED
    assert file_version(pairing.path) == before
    assert outcome(pairing, code.typed) is None


def test_a_code_that_an_older_version_gave_out_is_good_as_it_was(pairing: PairingStore) -> None:
    code = pairing.new_code(NOW)
    old = pairing.path.read_text().replace("v: 2", "v: 1")
    kept = [line for line in old.splitlines()[1:] if "link_sha256" not in line]
    pairing.path.write_text("\n".join(kept) + "\n")
    assert outcome(pairing, WRONG_LINK) is Code.PAIRING_REFUSED
    assert outcome(pairing, code.link) is Code.PAIRING_REFUSED
    pairing.new_code(NOW)
    assert "v: 2" in pairing.path.read_text()
    assert outcome(pairing, code.typed) is None


# Many at once


def _race(folder: Path, code: str, barrier: Barrier, results: "multiprocessing.Queue[str]") -> None:
    store = store_in(folder)
    barrier.wait()
    refused = outcome(store, code, address=f"198.51.100.{os.getpid() % 250}")
    results.put("in" if refused is None else refused.public)


def test_of_two_workers_with_one_code_one_makes_a_terminal(
    pairing: PairingStore, tmp_path: Path
) -> None:
    code = pairing.new_code(NOW).typed
    barrier, results = SPAWN.Barrier(4), SPAWN.Queue()
    racers = [
        SPAWN.Process(target=_race, args=(tmp_path, code, barrier, results)) for _ in range(4)
    ]
    for racer in racers:
        racer.start()
    outcomes = sorted(results.get(timeout=60) for _ in racers)
    for racer in racers:
        racer.join(60)
    assert outcomes == ["in", *["pairing_refused"] * 3]
    assert paired(pairing) == ["Phone"]


def test_of_two_browsers_with_one_code_one_is_let_in(pairing: PairingStore) -> None:
    code = pairing.new_code(NOW).typed
    barrier, outcomes = ThreadBarrier(4), []

    def browser(number: int) -> None:
        barrier.wait()
        outcomes.append(outcome(pairing, code, address=f"198.51.100.{number}"))

    threads = [Thread(target=browser, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert outcomes.count(None) == 1
    assert outcomes.count(Code.PAIRING_REFUSED) == 3
    assert paired(pairing) == ["Phone"]


def test_two_browsers_with_a_code_each_are_both_let_in(pairing: PairingStore) -> None:
    codes = [pairing.new_code(NOW).typed, pairing.new_code(NOW).typed]
    threads = [Thread(target=outcome, args=(pairing, code)) for code in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(paired(pairing)) == 2


# Files that can't be used


@pytest.mark.parametrize("file", ["pairing.yaml", "terminals.yaml"])
@pytest.mark.parametrize("fault", ["broken", "newer", "readable", "folder", "link"])
def test_a_file_that_cant_be_used_refuses_all_codes_alike_and_uses_none_up(
    pairing: PairingStore, tmp_path: Path, file: str, fault: str
) -> None:
    outcome(pairing, pairing.new_code(NOW).typed)
    code = pairing.new_code(NOW).typed
    path, aside = tmp_path / file, tmp_path / "aside"
    path.rename(aside)
    if fault == "broken":
        path.write_text("{")
    elif fault == "newer":
        path.write_bytes(aside.read_bytes().replace(b"v: ", b"v: 1"))
        path.chmod(0o600)
    elif fault == "readable":
        path.write_bytes(aside.read_bytes())
        path.chmod(0o644)
    elif fault == "folder":
        path.mkdir()
    else:
        path.symlink_to(aside)
    assert outcome(pairing, code) is Code.PAIRING_STORE_DOWN
    if fault == "folder":
        path.rmdir()
    aside.replace(path)
    assert outcome(pairing, code) is None


def test_who_cant_count_a_wrong_try_refuses_right_ones_too(
    pairing: PairingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = pairing.new_code(NOW).typed

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    assert outcome(pairing, WRONG) is Code.PAIRING_STORE_DOWN
    assert outcome(pairing, code) is Code.PAIRING_STORE_DOWN
    monkeypatch.undo()
    assert paired(pairing) == []
    assert outcome(pairing, code) is None


def test_who_waits_for_the_lock_too_long_is_refused(
    pairing: PairingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = pairing.new_code(NOW).typed
    monkeypatch.setattr(module, "_LOCK_WAIT", 0.0)
    with locked(pairing.path):
        assert outcome(pairing, code) is Code.PAIRING_STORE_DOWN
    with locked(pairing._terminals.path):
        assert outcome(pairing, code) is Code.PAIRING_STORE_DOWN  # and the code is used up
    assert outcome(pairing, code) is Code.PAIRING_REFUSED
    assert paired(pairing) == []


# What the owner is told


def test_a_file_that_keeps_everybody_out_is_told_before_anybody_comes(
    pairing: PairingStore, caplog: pytest.LogCaptureFixture
) -> None:
    pairing.follow()
    assert not pairing.problems
    pairing.path.write_text("v: 2\ncodes: 3\n")
    pairing.path.chmod(0o600)
    pairing.follow()
    pairing.follow()
    assert {problem.file for problem in pairing.problems} == {str(pairing.path)}
    assert caplog.text.count("nobody can be paired") == 1
    pairing.path.unlink()
    pairing.follow()
    assert pairing.problems == ()


def test_a_try_that_couldnt_be_noted_is_told_for_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = 0.0
    path, terminals = tmp_path / "pairing.yaml", TerminalStore(tmp_path / "terminals.yaml")
    store = PairingStore(path, terminals, steady=lambda: steady)

    def is_full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", is_full)
        assert outcome(store, WRONG) is Code.PAIRING_STORE_DOWN
    told = "a device couldn't be paired: No space left on device: make room on its disk"
    assert told in "\n".join(map(str, store.problems))
    steady = 61.0
    assert not store.problems
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", is_full)
        assert outcome(store, WRONG) is Code.PAIRING_STORE_DOWN
    assert outcome(store, store.new_code(NOW).typed) is None
    assert store.problems == ()
