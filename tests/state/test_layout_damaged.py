"""Each file of the state folder, damaged in any way: it is read as it was, or told to be wrong.

Never another exception, which a command would show as a traceback.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from proxy.core.errors import Invalid
from proxy.core.terminals.pairing_code import OpenCode, Pairing, WrongTry
from proxy.state.contacts import ContactStore
from proxy.state.contacts.format import serialise_contacts
from proxy.state.identity_key import create_identity, load_identity
from proxy.state.layout import State
from proxy.state.sealing_keys import SealingKeyStore
from proxy.state.sealing_keys.format import serialise
from proxy.state.surplus_responses import SurplusResponses
from proxy.state.terminals import PairingStore, TerminalStore
from proxy.state.terminals.format import serialise_pairing, serialise_terminals
from proxy.state.tokens import TokenStore
from tests.state.contacts.test_format import LIST
from tests.terminal_lists import BOTH, NOW

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 300
PAIRING = Pairing((OpenCode(b"\1" * 32, NOW, b"\2" * 32),), (WrongTry("192.0.2.1", NOW),))


def load_key(state: State) -> object:
    return load_identity(state.identity_key).public.portal_id


def load_contacts(state: State) -> object:
    return ContactStore(state.contacts, "p.example.org").load()


def load_terminals(state: State) -> object:
    return TerminalStore(state.terminals).load()


def load_pairing(state: State) -> object:
    return PairingStore(state.pairing, TerminalStore(state.terminals)).load()


def load_token(state: State) -> object:
    return TokenStore(state.tokens).token("app")


def load_sealing(state: State) -> object:
    store = SealingKeyStore(state.sealing, 86_400)
    if problems := store.inspect(NOW):
        raise Invalid(list(problems))
    key = store.find(7)
    return key.public if key is not None else None


def load_sightings(state: State) -> object:
    return SurplusResponses(state.surplus_responses).load()


FILES: dict[str, tuple[Callable[[State], object], bytes, bool]] = {
    "identity.key": (load_key, b"", True),
    "contacts.yaml": (load_contacts, serialise_contacts(LIST), True),
    "terminals.yaml": (load_terminals, serialise_terminals(BOTH), True),
    "pairing.yaml": (load_pairing, serialise_pairing(PAIRING), True),
    "sealing/7.key": (load_sealing, serialise(7, NOW - 60, bytes(range(32))), True),
    "tokens/app": (load_token, b"A" * 43, False),
    "surplus-responses.json": (load_sightings, b'{"v": 1, "seen": {"app": 99999999999}}', False),
}
"""How it is read, what is in it, and whether a damaged one can't be another one."""

files = pytest.mark.parametrize("file", FILES)


def laid_out(folder: Path, file: str) -> Path:
    """Make the file in a state folder, for us alone."""
    path = folder / file
    path.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
    if file == "identity.key":
        create_identity(path)
    else:
        path.write_bytes(FILES[file][1])
        path.chmod(0o600)
    return path


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return ``data`` with something done to it that a disk or a program could do."""
    spoilt = bytearray(data)
    at = chance.randrange(len(spoilt))
    length = chance.randrange(1, 40)
    match chance.randrange(8):
        case 0:
            spoilt[at] ^= 1 << chance.randrange(8)
        case 1:
            spoilt[at] = chance.randrange(256)
        case 2:
            del spoilt[at:]
        case 3:
            del spoilt[at : at + length]
        case 4:
            spoilt[at:at] = chance.randbytes(length)
        case 5:
            spoilt[at : at + length] = bytes(length)
        case 6:
            spoilt[at:at] = spoilt[at : at + length]
        case _:
            other = chance.randrange(len(spoilt))
            spoilt[at], spoilt[other] = spoilt[other], spoilt[at]
    return bytes(spoilt)


@files
def test_a_damaged_file_is_told_or_read_as_it_was(tmp_path: Path, file: str) -> None:
    load, _, is_told = FILES[file]
    path, state = laid_out(tmp_path / "state", file), State(tmp_path / "state")
    whole, data = load(state), path.read_bytes()
    chance = random.Random(file)
    for number in range(ROUNDS):
        path.write_bytes(damaged(data, chance))
        with suppress(Invalid):
            found = load(state)
            # The line that tells it may be gone as a whole: what follows is the owner's own then.
            assert not is_told or found == whole or not path.read_bytes().startswith(data[:9]), (
                number
            )


_OTHERS: dict[str, bytes] = {
    "nothing": b"",
    "NULs": bytes(4096),
    "noise": random.Random(1).randbytes(4096),
    "much": b"# x\n" * (3 << 20),
    "a byte order mark": b"\xef\xbb\xbf",
    "UTF-16": "peers: []\n".encode("utf-16"),
    "deep": b"[" * 5000,
    "anchors": b"a: &a [x]\nb: *a\n",
    "a number": b"1\n",
    "a database": b"SQLite format 3\0" + bytes(4000),
}


@files
@pytest.mark.parametrize("other", _OTHERS)
def test_another_thing_in_its_place_is_told(tmp_path: Path, file: str, other: str) -> None:
    path = laid_out(tmp_path / "state", file)
    path.write_bytes(_OTHERS[other])
    with pytest.raises(Invalid) as caught:
        FILES[file][0](State(tmp_path / "state"))
    assert path.name in str(caught.value)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


@files
def test_line_ends_of_windows_are_told_or_do_no_harm(tmp_path: Path, file: str) -> None:
    load = FILES[file][0]
    path, state = laid_out(tmp_path / "state", file), State(tmp_path / "state")
    whole = load(state)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with suppress(Invalid):
        assert load(state) == whole
