"""What a sealed message is bound to: its direction, its request, its key, its suite."""

import pytest

from proxy.core.sealing.hpke import Aead, SealingKey, WeakKey
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing.request import RequestOpener, RequestSealer
from tests.core.sealing.sealed_exchange import (
    DIRECTIONS,
    EPHEMERAL,
    KEY,
    KEY_ID,
    Direction,
    opened,
    request_opener,
    request_sealer,
    response_sealer,
    sealed,
)
from tests.core.sealing.test_hpke import AEADS, SMALL_ORDER

AES = Aead.AES_128_GCM


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda each: each.name)
def test_no_direction_opens_the_other(direction: Direction) -> None:
    [other] = [each for each in DIRECTIONS if each is not direction]
    header, *_ = direction.seal(AES, [b"first", b"last"])
    theirs, *chunks = other.seal(AES, [b"first", b"last"])
    assert opened(direction.opener(AES), [header, *chunks]).refusal == (
        "chunk 0 isn't the one that was sealed"
    )
    assert opened(direction.opener(AES), [theirs, *chunks]).refusal is not None


@AEADS
def test_a_response_belongs_to_its_request_alone(aead: Aead) -> None:
    first, second = (request_sealer(aead, ephemeral=bytes((n,)) * 32) for n in (1, 2))
    units = sealed(response_sealer(first), [b"hello", b""])
    assert opened(first.response_opener(), units).plaintext == b"hello"
    outcome = opened(second.response_opener(), units)
    assert (outcome.plaintext, outcome.refusal is None) == (b"", False)


def test_each_nonce_gives_a_response_keys_of_its_own() -> None:
    sealer, opener = request_sealer(), request_opener()
    opener.feed(sealer.header)
    one, two = (sealed(opener.response_sealer(bytes((n,)) * 16), [b"a", b"b"]) for n in (1, 2))
    assert one[1:] != two[1:]
    assert opened(sealer.response_opener(), one).plaintext == b"ab"
    assert opened(sealer.response_opener(), two).plaintext == b"ab"
    assert opened(sealer.response_opener(), [one[0], *two[1:]]).refusal is not None


def test_what_was_sealed_to_a_deleted_key_opens_for_nobody() -> None:
    keys = {KEY_ID: KEY}
    units = sealed(request_sealer(), [b"secret", b""])
    assert opened(RequestOpener(keys.get), units).plaintext == b"secret"
    del keys[KEY_ID]
    outcome = opened(RequestOpener(keys.get), units)
    assert (outcome.plaintext, outcome.refusal) == (b"", "there is no key 7")


def test_what_was_sealed_to_another_key_does_not_open_under_its_name() -> None:
    units = sealed(request_sealer(), [b"secret", b""])
    opener = RequestOpener({KEY_ID: SealingKey(bytes(32))}.get)
    outcome = opened(opener, units)
    assert (outcome.plaintext, outcome.refusal) == (b"", "chunk 0 isn't the one that was sealed")
    assert not opener.has_opened


def test_a_request_under_another_keys_name_does_not_open() -> None:
    header, *chunks = sealed(request_sealer(), [b"secret", b""])
    opener = RequestOpener(lambda _: KEY)
    assert opened(opener, [b"\x08" + header[1:], *chunks]).refusal == (
        "chunk 0 isn't the one that was sealed"
    )


@pytest.mark.parametrize(
    "suite", ["002000010002", "00200001ffff", "002000030001", "001000010001", "002100010001"]
)
def test_a_suite_that_is_not_offered_is_refused_before_a_key_is_looked_for(suite: str) -> None:
    asked: list[int] = []
    opener = RequestOpener(asked.append)
    header = bytes((KEY_ID,)) + bytes.fromhex(suite) + request_sealer().enc
    assert opened(opener, [header]).refusal == f"suite {suite} isn't offered"
    assert asked == []


def test_the_suite_cannot_be_changed_on_the_way() -> None:
    header, *chunks = sealed(request_sealer(), [b"secret", b""])
    changed = header[:6] + b"\x03" + header[7:]
    assert opened(request_opener(), [changed, *chunks]).refusal is not None


@pytest.mark.parametrize("enc", SMALL_ORDER, ids=bytes.hex)
def test_an_enc_of_small_order_is_refused(enc: bytes) -> None:
    opener = request_opener()
    outcome = opened(opener, [request_sealer().header[:7] + enc])
    assert outcome.refusal == "enc is a public key of small order"
    assert opener.held == 0


@pytest.mark.parametrize("public", SMALL_ORDER, ids=bytes.hex)
def test_nothing_is_sealed_to_a_key_of_small_order(public: bytes) -> None:
    with pytest.raises(WeakKey):
        RequestSealer(KeyConfig(KEY_ID, public, (AES,)), ephemeral=EPHEMERAL)
