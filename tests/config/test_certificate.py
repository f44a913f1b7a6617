"""The owner's certificate: what is taken, what is refused, and what is said about it."""

import os
import random
import ssl
import time
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from proxy.config.certificate import SOON, load_certificate
from proxy.core.errors import Invalid
from tests.certificates import DAY, authority, write_pair

HOST = "8271dd.p.getportal.org"


def problems(certificate: Path, key: Path) -> list[str]:
    with pytest.raises(Invalid) as caught:
        load_certificate(certificate, key)
    return [f"{Path(problem.file).name}: {problem.what}" for problem in caught.value.problems]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_pair(tmp_path, authority().issue(HOST, f"*.{HOST}"))


def test_a_pair_is_read(pair: tuple[Path, Path]) -> None:
    loaded = load_certificate(*pair)
    assert loaded.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert loaded.names == {HOST, f"*.{HOST}"}
    assert loaded.problem(time.time()) is None
    assert loaded.warning(time.time()) is None


@pytest.mark.parametrize(
    ("names", "host", "is_covered"),
    [
        (("a.example",), "a.example", True),
        (("A.Example",), "a.example", True),
        (("a.example",), "b.a.example", False),
        (("*.a.example",), "a.example", False),
        (("*.a.example",), "b.a.example", True),
        (("*.a.example",), "c.b.a.example", False),
        (("*.a.example",), "*.a.example", True),
        (("b.a.example",), "*.a.example", False),
        (("::1", "127.0.0.1"), "[::1]", True),
        (("::1", "127.0.0.1"), "127.0.0.1", True),
        ((), "leaf", False),
    ],
)
def test_it_is_for_the_names_that_it_has(
    tmp_path: Path, names: tuple[str, ...], host: str, *, is_covered: bool
) -> None:
    loaded = load_certificate(*write_pair(tmp_path, authority().issue(*names)))
    assert loaded.covers(host) == is_covered


def test_its_time_is_told(pair: tuple[Path, Path]) -> None:
    loaded = load_certificate(*pair)
    assert str(loaded.problem(loaded.ends)).startswith(f"{pair[0]}: has expired, on 2")
    assert str(loaded.problem(loaded.begins - 1)).startswith(f"{pair[0]}: isn't valid before 2")
    assert loaded.warning(loaded.ends) is None
    assert "wasn't renewed yet" in str(loaded.warning(loaded.ends - 1))
    assert "wasn't renewed yet" in str(loaded.warning(loaded.ends - SOON))
    assert loaded.warning(loaded.ends - SOON - 1) is None
    assert SOON == 14 * DAY


def test_certbots_links_are_followed(tmp_path: Path) -> None:
    made = write_pair(tmp_path / "archive", authority().issue(HOST))
    (tmp_path / "live").mkdir()
    for path in made:
        (tmp_path / "live" / path.name).symlink_to(f"../archive/{path.name}")
    assert load_certificate(*(tmp_path / "live" / path.name for path in made)).covers(HOST)


def test_one_file_may_hold_both_and_more(tmp_path: Path) -> None:
    certificate, key = authority().issue(HOST)
    both = tmp_path / "both.pem"
    both.touch(0o600)
    both.write_bytes(b"# mine\n" + certificate + authority().pem + key)
    assert load_certificate(both, both).covers(HOST)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o602])
def test_a_key_of_ours_that_others_can_use_is_refused(pair: tuple[Path, Path], mode: int) -> None:
    pair[1].chmod(mode)
    if os.geteuid() == 0 and mode == 0o640:
        load_certificate(*pair)  # root's, who let a group read it
        return
    (problem,) = problems(*pair)
    assert problem.startswith("privkey.pem: others can read or change it")
    assert f"(mode {mode:04o}): chmod 06" in problem


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("behind_a_link", [True, False])
def test_a_key_of_another_user_is_refused(pair: tuple[Path, Path], *, behind_a_link: bool) -> None:
    certificate, key = pair
    os.chown(key, 12345, -1)
    if behind_a_link:
        link = key.with_name("link.pem")
        link.symlink_to(key)
        key = link
    (problem,) = problems(certificate, key)
    assert "belongs to user 12345" in problem


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    _, other = write_pair(tmp_path / "other", authority().issue(HOST))
    (problem,) = problems(pair[0], other)
    assert problem == f"privkey.pem: isn't the key of the certificate in {pair[0]}"


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_refused_and_nobody_is_asked(
    pair: tuple[Path, Path], form: PrivateFormat
) -> None:
    key = load_pem_private_key(pair[1].read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    pair[1].write_bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret")))
    assert problems(*pair) == [
        "privkey.pem: is encrypted: the proxy needs a key without a passphrase"
    ]


def test_every_problem_of_both_files_is_told(tmp_path: Path) -> None:
    certificate, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    assert problems(certificate, key) == [
        "fullchain.pem: can't be read: No such file or directory",
        "privkey.pem: is missing",
    ]
    certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    key.touch(0o600)
    key.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    assert problems(certificate, key) == [
        "fullchain.pem: holds no certificate in PEM that can be read",
        "privkey.pem: holds a private key that can't be read",
    ]
    key.write_text("secret")
    assert "privkey.pem: holds no private key in PEM" in problems(certificate, key)
    key.unlink()
    os.mkfifo(key)
    assert problems(certificate, key)[1].startswith("privkey.pem: isn't a regular file")


def test_a_half_written_key_is_refused(pair: tuple[Path, Path]) -> None:
    whole = pair[1].read_bytes()
    for length in range(0, len(whole) - 1, 7):
        pair[1].write_bytes(whole[:length])
        assert len(problems(*pair)) == 1


def test_what_openssl_takes_for_too_weak_is_refused(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)
    weak = authority().issue(HOST, key=key)[0]
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (problem,) = problems(*write_pair(tmp_path, (weak, pem)))
    assert problem.startswith("fullchain.pem: can't be used together with")
    assert "small" in problem.lower()


def _damaged(data: bytes, chance: random.Random) -> bytes:
    spoilt = bytearray(data)
    spoilt[chance.randrange(len(spoilt))] ^= 1 << chance.randrange(8)
    return bytes(spoilt)


@pytest.mark.filterwarnings("ignore:Parsed a")  # the library's own opinion of a serial number
@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_file_is_refused_or_does_no_harm(pair: tuple[Path, Path], which: int) -> None:
    path, chance = pair[which], random.Random(which)
    whole = path.read_bytes()
    for _ in range(400):
        path.write_bytes(_damaged(whole, chance))
        with suppress(Invalid):
            load_certificate(*pair)


def test_no_flipped_bit_of_a_key_is_a_mistake_of_ours(pair: tuple[Path, Path]) -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    whole = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for at in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        pair[1].write_bytes(damaged)
        with pytest.raises(Invalid):
            load_certificate(*pair)
