"""The identity key on disk: made once and whole, refused wherever somebody else could have it."""

import multiprocessing
import os
import subprocess
import sys
from contextlib import suppress
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import Invalid
from proxy.core.identity import PrivateKey
from proxy.state.identity_key import (
    IdentityWatch,
    create_identity,
    has_id_line,
    id_line,
    load_identity,
)

SPAWN = multiprocessing.get_context("spawn")
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
STATED = id_line(PrivateKey(bytes(range(32)))).encode()
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
IS_ROOT = os.geteuid() == 0


def pem(
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def put(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def refusal_of(path: Path) -> str:
    with pytest.raises(Invalid) as caught:
        load_identity(path)
    return str(caught.value)


def test_a_made_key_is_private_and_loads_as_the_same_portal(tmp_path: Path) -> None:
    path = tmp_path / "state" / "identity.key"
    made = create_identity(path)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.parent.stat().st_mode & 0o7777 == 0o700
    assert load_identity(path).public == made.public
    assert load_identity(path).sign(b"x") == made.sign(b"x")
    assert sorted(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_the_umask_has_no_say(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        create_identity(tmp_path / "identity.key")
    finally:
        os.umask(before)
    assert (tmp_path / "identity.key").stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("kind", ["a key", "an empty file", "a dangling link", "a folder"])
def test_what_is_there_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "identity.key"
    match kind:
        case "a key":
            put(path, pem(ED25519))
        case "an empty file":
            put(path, b"")
        case "a dangling link":
            path.symlink_to(tmp_path / "elsewhere")
        case "a folder":
            path.mkdir()
    before = path.lstat()
    with pytest.raises(FileExistsError):
        create_identity(path)
    assert path.lstat().st_ino == before.st_ino
    assert [entry.name for entry in tmp_path.iterdir()] == ["identity.key"]


def make_at_once(path: Path, barrier: Barrier) -> str:
    barrier.wait()
    try:
        return create_identity(path).public.portal_id
    except FileExistsError:
        return ""


def _make_and_tell(path: Path, barrier: Barrier, results: "multiprocessing.Queue[str]") -> None:
    results.put(make_at_once(path, barrier))


def test_of_two_inits_at_once_one_makes_the_key(tmp_path: Path) -> None:
    barrier, results = SPAWN.Barrier(2), SPAWN.Queue()
    path = tmp_path / "identity.key"
    inits = [SPAWN.Process(target=_make_and_tell, args=(path, barrier, results)) for _ in "12"]
    for init in inits:
        init.start()
    responses = sorted(results.get(timeout=60) for _ in inits)
    for init in inits:
        init.join(60)
    assert responses == ["", load_identity(path).public.portal_id]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o677])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = put(tmp_path / "identity.key", pem(ED25519), mode)
    assert "chmod 0600" in refusal_of(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_of_ours_alone_is_taken(tmp_path: Path, mode: int) -> None:
    load_identity(put(tmp_path / "identity.key", pem(ED25519), mode))


def test_a_link_is_refused_even_to_a_good_key(tmp_path: Path) -> None:
    good = put(tmp_path / "good.key", pem(ED25519))
    link = tmp_path / "identity.key"
    link.symlink_to(good)
    assert "symbolic link" in refusal_of(link)


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_key_of_another_user_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "identity.key", pem(ED25519))
    os.chown(path, 12345, -1)
    assert "belongs to user 12345" in refusal_of(path)


def test_a_folder_in_the_keys_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "identity.key").mkdir(0o700)
    assert "regular file" in refusal_of(tmp_path / "identity.key")


def test_a_pipe_in_the_keys_place_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    os.mkfifo(path, 0o600)
    script = (
        "import sys, pathlib, proxy.state.identity_key as k;"
        "k.load_identity(pathlib.Path(sys.argv[1]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, timeout=60, check=False
    )
    assert b"regular file" in run.stderr


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "one PEM block"),
        (b"not a key\n", "one PEM block"),
        (bytes(range(256)), "one PEM block"),
        (b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "one PEM block"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "can't be read"),
        (pem(ED25519)[:-30], "one PEM block"),
        (pem(ED25519) + pem(ED25519), "one PEM block"),
        (b"\n" + pem(ED25519), "one PEM block"),
        (b"# a comment\n" + pem(ED25519), "one PEM block"),
        (STATED * 2 + pem(ED25519), "one PEM block"),
        (STATED.rstrip(b"\n") + pem(ED25519), "one PEM block"),
        (STATED, "one PEM block"),
        (b"Portal ID: \n" + pem(ED25519), "Put the file of your backup"),
        (STATED[:11] + STATED[11:].upper() + pem(ED25519), "Put the file of your backup"),
        (STATED.replace(b"\n", b" \n") + pem(ED25519), "Put the file of your backup"),
        (STATED + pem(OTHER), "Put the file of your backup"),
        (pem(ED25519) + b"x", "one PEM block"),
        (pem(ED25519, encryption=BestAvailableEncryption(b"secret")), "encrypted"),
        (pem(ED25519, PrivateFormat.OpenSSH), "PKCS#8"),
        (pem(RSA), "Ed25519"),
        (pem(RSA, PrivateFormat.TraditionalOpenSSL), "PKCS#8"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "Ed25519"),
        (b"A" * 100_000, "larger than"),
    ],
)
def test_what_is_not_one_ed25519_key_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    assert reason in refusal_of(put(tmp_path / "identity.key", data))


def test_a_refusal_tells_nothing_of_the_key(tmp_path: Path) -> None:
    secret = pem(ED25519).splitlines()[1]
    damaged = pem(ED25519).replace(b"MC4C", b"MC4D")
    assert secret[4:].decode() not in refusal_of(put(tmp_path / "identity.key", damaged))
    assert repr(ED25519.private_bytes_raw())[2:-1] not in repr(
        load_identity(put(tmp_path / "identity.key", pem(ED25519)))
    )


@pytest.mark.parametrize("stated", [b"", STATED])
def test_windows_line_ends_are_taken(tmp_path: Path, stated: bytes) -> None:
    data = (stated + pem(ED25519)).replace(b"\n", b"\r\n")
    load_identity(put(tmp_path / "identity.key", data))


def test_a_made_key_says_whose_it_is_and_one_of_openssl_is_taken_as_it_is(tmp_path: Path) -> None:
    made = create_identity(tmp_path / "identity.key")
    first = (tmp_path / "identity.key").read_text().splitlines()[0]
    assert first == f"Portal ID: {made.public.portal_id}"
    assert has_id_line(tmp_path / "identity.key")

    plain = put(tmp_path / "plain.key", pem(ED25519))
    assert not has_id_line(plain)
    assert load_identity(plain).public == PrivateKey(bytes(range(32))).public


def test_openssl_reads_a_made_key(tmp_path: Path) -> None:
    create_identity(tmp_path / "identity.key")
    command = ["openssl", "pkey", "-in", str(tmp_path / "identity.key"), "-pubout"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no openssl here")
    assert done.stdout == load_identity(tmp_path / "identity.key").public.pem


def test_no_flipped_bit_makes_another_portal_of_it(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    own_id, whole = create_identity(path).public.portal_id, path.read_bytes()
    for at in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        path.write_bytes(damaged)
        with suppress(Invalid):
            assert load_identity(path).public.portal_id == own_id, at


@pytest.mark.parametrize("length", range(0, 237, 7))
def test_no_part_of_it_is_another_portal(tmp_path: Path, length: int) -> None:
    path = tmp_path / "identity.key"
    create_identity(path)
    path.write_bytes(path.read_bytes()[:length])
    assert "backup" in refusal_of(path)


def test_a_missing_key_names_the_command_that_makes_it(tmp_path: Path) -> None:
    assert "portal-proxy init" in refusal_of(tmp_path / "identity.key")
    assert "portal-proxy init" in refusal_of(tmp_path / "nowhere" / "identity.key")


@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777])
def test_a_folder_where_others_can_swap_the_key_is_refused(tmp_path: Path, mode: int) -> None:
    path = put(tmp_path / "identity.key", pem(ED25519))
    tmp_path.chmod(mode)
    assert "chmod go-w" in refusal_of(path)
    with pytest.raises(Invalid):
        create_identity(tmp_path / "other.key")
    assert not (tmp_path / "other.key").exists()


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1777])
def test_a_folder_where_only_we_can_swap_the_key_is_taken(tmp_path: Path, mode: int) -> None:
    path = put(tmp_path / "identity.key", pem(ED25519))
    tmp_path.chmod(mode)
    load_identity(path)


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "identity.key", pem(ED25519))
    os.chown(tmp_path, 12345, -1)
    assert "12345" in refusal_of(path)


@given(st.integers(0, len(pem(ED25519)) - 1), st.integers(0, 255))
def test_a_damaged_byte_gives_a_refusal_or_a_key(
    tmp_path_factory: pytest.TempPathFactory, index: int, byte: int
) -> None:
    data = bytearray(pem(ED25519))
    data[index] = byte
    path = put(tmp_path_factory.getbasetemp() / "damaged.key", bytes(data))
    with suppress(Invalid):
        assert len(load_identity(path).sign(b"x")) == 64


def test_a_running_proxy_tells_what_became_of_its_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, aside = tmp_path / "identity.key", tmp_path / "aside"
    watch = IdentityWatch(path, create_identity(path).public.portal_id)

    def told() -> str:
        watch.refresh()
        return "; ".join(problem.what for problem in watch.problems)

    assert told() == ""
    path.rename(aside)
    assert "put the file of your backup in its place" in told()
    other = create_identity(path).public.portal_id
    assert told().startswith(f"is the key of another Portal, {other}: put the file")
    path.write_bytes(b"junk")
    assert "isn't one PEM block" in told()
    aside.replace(path)
    assert told() == ""
    assert caplog.text.count("wouldn't start again with it") == 3
