"""The published examples, byte for byte and in both roles."""

from typing import Any

import pytest

from proxy.core.sealing.chunks import FINAL, not_final
from proxy.core.sealing.hpke import Aead, SealingKey, setup_receiver, setup_sender
from proxy.core.sealing.kdf import expand, extract
from proxy.core.sealing.key_config import KeyConfig, parse_key_config
from proxy.core.sealing.request import INFO, RequestOpener, RequestSealer
from proxy.core.sealing.response import EXPORTER_CONTEXT, ResponseSecret
from tests.core.sealing.sealed_exchange import vector

_HPKE = vector("rfc9180.json")["vectors"]
_CHUNKED = {name: value for name, value in vector("chunked_ohttp.json").items() if name != "about"}
_WHOLE = {name: value for name, value in vector("rfc9458.json").items() if name != "about"}
_CHUNKED_BYTES = {name: bytes.fromhex(value) for name, value in _CHUNKED.items()}
_WHOLE_BYTES = {name: bytes.fromhex(value) for name, value in _WHOLE.items()}
_WHOLE_INFO = b"message/bhttp request\x00"
_WHOLE_EXPORTER_CONTEXT = b"message/bhttp response"


def _config(vectors: dict[str, bytes]) -> KeyConfig:
    config = parse_key_config(vectors["key_config"])
    assert config is not None
    return config


@pytest.mark.parametrize("case", _HPKE, ids=["aes-128-gcm", "chacha20-poly1305"])
def test_hpke_is_that_of_the_rfc_in_both_roles(case: dict[str, Any]) -> None:
    [aead] = [each for each in Aead if each.identifier == case["aead_id"]]
    key = SealingKey(bytes.fromhex(case["receiver_secret_key"]))
    assert key.public.hex() == case["receiver_public_key"]
    info = bytes.fromhex(case["info"])
    enc, sender = setup_sender(key.public, info, aead, bytes.fromhex(case["ephemeral_secret_key"]))
    assert enc.hex() == case["enc"]
    receiver = setup_receiver(key, enc, info, aead)
    plaintext = bytes.fromhex(case["plaintext"])
    expected = {each["sequence"]: each["ciphertext"] for each in case["encryptions"]}
    for sequence in range(max(expected) + 1):
        associated = b"Count-%d" % sequence
        ciphertext = sender.seal(associated, plaintext)
        assert expected.pop(sequence, ciphertext.hex()) == ciphertext.hex()
        assert receiver.open(associated, ciphertext) == plaintext
    assert not expected
    for each in case["exports"]:
        value = bytes.fromhex(each["value"])
        for context in (sender, receiver):
            secret = context.export(bytes.fromhex(each["exporter_context"]), each["length"])
            assert secret == value


def test_a_chunked_request_is_sealed_as_in_the_draft() -> None:
    case = _CHUNKED_BYTES
    config = _config(case)
    assert config == KeyConfig(1, config.public, (Aead.AES_128_GCM, Aead.CHACHA20_POLY1305))
    assert config.serialise() == case["key_config"]
    sealer = RequestSealer(config, ephemeral=case["client_ephemeral_secret_key"])
    assert sealer.enc == case["client_ephemeral_public_key"]
    assert INFO + sealer.header[:7] == case["hpke_info"]
    message = case["request_bhttp"]
    written = sealer.header + sealer.seal(message[:12]) + sealer.seal(message[12:])
    assert written + sealer.finish() == case["encapsulated_request"]


def test_a_chunked_response_is_sealed_as_in_the_draft() -> None:
    case = _CHUNKED_BYTES
    key = SealingKey(case["gateway_secret_key"])
    opener = RequestOpener({1: key}.get)
    assert opener.feed(case["encapsulated_request"]) == [
        case["request_bhttp"][:12],
        case["request_bhttp"][12:],
    ]
    assert opener.end() == b""
    assert opener.enc == case["client_ephemeral_public_key"]
    nonce, message = case["encapsulated_response"][:16], case["response_bhttp"]
    assert opener.response_nonce_length == len(nonce)
    sealer = opener.response_sealer(nonce)
    written = sealer.header + sealer.seal(message[:1]) + sealer.seal(message[1:])
    assert written + sealer.finish() == case["encapsulated_response"]


def test_a_chunked_response_is_opened_as_in_the_draft() -> None:
    case = _CHUNKED_BYTES
    sealer = RequestSealer(_config(case), ephemeral=case["client_ephemeral_secret_key"])
    opener = sealer.response_opener()
    message = case["response_bhttp"]
    assert opener.feed(case["encapsulated_response"]) == [message[:1], message[1:]]
    assert opener.end() == b""


def _check_keys(case: dict[str, bytes], value: bytes) -> ResponseSecret:
    """Compare all that a response's keys are derived by; return where they come from."""
    enc, nonce = case["client_ephemeral_public_key"], case["encapsulated_response"][:16]
    assert value == case["response_secret"]
    assert enc + nonce == case["response_salt"]
    assert extract(enc + nonce, value) == case["response_prk"]
    assert expand(case["response_prk"], b"key", 16) == case["response_aead_key"]
    assert expand(case["response_prk"], b"nonce", 12) == case["response_aead_base_nonce"]
    return ResponseSecret(Aead.AES_128_GCM, enc, value)


def test_a_chunked_response_has_the_keys_and_nonces_of_the_draft() -> None:
    case = _CHUNKED_BYTES
    key = SealingKey(case["gateway_secret_key"])
    enc = case["client_ephemeral_public_key"]
    context = setup_receiver(key, enc, case["hpke_info"], Aead.AES_128_GCM)
    secret = _check_keys(case, context.export(EXPORTER_CONTEXT, 16))
    nonces = case["response_nonces_in_order"]
    assert nonces[:12] == case["response_aead_base_nonce"]
    cipher = secret.cipher(case["encapsulated_response"][:16])
    written = b""
    for number, part in enumerate((b"\x01", b"\x40\xc8")):
        assert cipher._nonce() == nonces[12 * number : 12 * number + 12]
        written += b"".join(not_final(cipher.seal(b"", part)))
    assert cipher._nonce() == nonces[24:]
    written += FINAL + cipher.seal(b"final", b"")
    assert written == case["encapsulated_response"][16:]


def test_a_whole_request_is_sealed_and_opened_as_in_rfc_9458() -> None:
    case = _WHOLE_BYTES
    key, config = SealingKey(case["gateway_secret_key"]), _config(case)
    assert config.public == key.public
    written = case["encapsulated_request"]
    header, enc, ciphertext = written[:7], written[7:39], written[39:]
    assert _WHOLE_INFO + header == case["hpke_info"]
    ephemeral = case["client_ephemeral_secret_key"]
    ours, sender = setup_sender(config.public, _WHOLE_INFO + header, config.preferred, ephemeral)
    assert ours == enc == case["client_ephemeral_public_key"]
    assert sender.seal(b"", case["request_bhttp"]) == ciphertext
    receiver = setup_receiver(key, enc, case["hpke_info"], Aead.AES_128_GCM)
    assert receiver.open(b"", ciphertext) == case["request_bhttp"]
    assert sender.export(b"x", 32) == receiver.export(b"x", 32)


def test_a_whole_response_is_sealed_and_opened_as_in_rfc_9458() -> None:
    case = _WHOLE_BYTES
    key = SealingKey(case["gateway_secret_key"])
    enc = case["client_ephemeral_public_key"]
    context = setup_receiver(key, enc, case["hpke_info"], Aead.AES_128_GCM)
    secret = _check_keys(case, context.export(_WHOLE_EXPORTER_CONTEXT, 16))
    nonce, ciphertext = case["encapsulated_response"][:16], case["encapsulated_response"][16:]
    assert secret.cipher(nonce).seal(b"", case["response_bhttp"]) == ciphertext
    assert secret.cipher(nonce).open(b"", ciphertext) == case["response_bhttp"]
