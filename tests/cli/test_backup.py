"""``backup`` and ``restore``: a Portal that is lost is itself again."""

from __future__ import annotations

import io
import json
import re
import shutil
import stat
import tarfile
from typing import TYPE_CHECKING

import pyrage
import pytest

from proxy.cli.backup_archive import BadBackup, pack, read_archive, unpack
from proxy.state.identity_key import load_identity
from tests.cli.conftest import FILES, GUESTBOOK, Home

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = "four words would do"
FRIEND = "8271dd" + "a" * 97


@pytest.fixture
def secret(tmp_path: Path) -> list[str]:
    """Give the option that names a file with the passphrase."""
    path = tmp_path / "secret"
    path.write_text(f"{PASSPHRASE}\nnot this line\n")
    return ["--passphrase-file", str(path)]


@pytest.fixture
def used(ada: Home) -> Home:
    """Ada's Portal, with an app, a contact and a device."""
    ada.add_app("guestbook", GUESTBOOK, "upstream: http://127.0.0.1:9001\n")
    ada.add_app("files", FILES)
    assert ada.call("peers", "add", FRIEND, "--name", "Bob").status == 0
    assert ada.call("apps", "token", "guestbook").status == 0
    return ada


def tree(home: Home) -> dict[str, bytes]:
    """Return all files of a Portal that a backup is of."""
    wanted = ("portal.yaml", "app.json", "proxy.yaml", "identity.key", "contacts.yaml")
    return {
        str(path.relative_to(home.path)): path.read_bytes()
        for path in home.path.rglob("*")
        if path.name in wanted
    }


def test_a_portal_that_is_lost_is_itself_again(used: Home, secret: list[str]) -> None:
    file = str(used.path / "ada.age")
    made = used.call("backup", file, *secret)
    assert made.status == 0, made.stderr
    assert stat.S_IMODE((used.path / "ada.age").stat().st_mode) == 0o600
    before, own_id = tree(used), used.own_id()
    shutil.rmtree(used.config)
    shutil.rmtree(used.state)
    restored = used.call("restore", file, *secret)
    assert restored.status == 0, restored.stderr
    assert f"Portal ID  {own_id}" in restored.stdout
    assert tree(used) == before
    assert stat.S_IMODE((used.state / "identity.key").stat().st_mode) == 0o600
    assert used.call("init").status == 0
    checked = json.loads(used.call("check", "--json").stdout)
    assert checked["ok"], checked
    assert "never backed up" not in str(checked)


def test_check_warns_of_an_identity_that_was_never_backed_up(ada: Home, secret: list[str]) -> None:
    assert "this identity was never backed up" in ada.call("check").stdout
    assert ada.call("backup", str(ada.path / "a.age"), *secret).status == 0
    assert "never backed up" not in ada.call("check").stdout
    assert ada.call("init", "--new-identity").status == 0
    assert "this identity was never backed up" in ada.call("check").stdout


def test_neither_sealing_keys_nor_nonces_nor_tokens_are_in_it(
    used: Home, secret: list[str]
) -> None:
    (used.state / "sealing").mkdir(exist_ok=True)
    (used.state / "sealing" / "07-1.key").write_text("a sealing key")
    assert used.call("backup", str(used.path / "a.age"), *secret).status == 0
    files = unpack((used.path / "a.age").read_bytes(), PASSPHRASE)
    assert (
        sorted(files)
        == [
            "apps/files/app.json",
            "apps/guestbook/app.json",
            "apps/guestbook/proxy.yaml",
            "portal.yaml",
            "state/contacts.yaml",
            "state/identity.key",
            "state/terminals.yaml",
        ]
        or "state/terminals.yaml" not in files
    )


def test_what_is_there_and_differs_stays_unless_it_is_to_be_replaced(
    used: Home, secret: list[str]
) -> None:
    file = str(used.path / "a.age")
    assert used.call("backup", file, *secret).status == 0
    old = used.contacts_text()
    assert used.call("peers", "rename", "Bob", "Robert").status == 0
    new = used.contacts_text()
    kept = used.call("restore", file, *secret)
    assert kept.status == 0
    assert "contacts.yaml, which differs from the backup's" in kept.stdout
    assert used.contacts_text() == new
    assert used.call("restore", file, "--replace", *secret).status == 0
    assert used.contacts_text() == old
    assert (used.state / "contacts.yaml.before").read_text() == new


@pytest.fixture(scope="module")
def bob(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Another Portal, with a backup of it: ``bob.age``."""
    bob = Home(tmp_path_factory.mktemp("bob"))
    (bob.path / "secret").write_text(PASSPHRASE)
    assert bob.call("init", "--name", "Bob", "--domain", "x.example").status == 0
    secret = ["--passphrase-file", f"{bob.path}/secret"]
    assert bob.call("backup", f"{bob.path}/bob.age", *secret).status == 0
    return bob


@pytest.mark.parametrize("loss", ["nothing", "the key", "the settings"])
@pytest.mark.parametrize("replace", [[], ["--replace"]])
def test_no_identity_is_replaced_by_another(
    ada: Home, bob: Home, secret: list[str], loss: str, replace: list[str]
) -> None:
    file = bob.path / "bob.age"
    own_id = ada.own_id()
    if loss == "the key":
        (ada.state / "identity.key").unlink()
    elif loss == "the settings":
        shutil.rmtree(ada.config)
    before = tree(ada)
    outcome = ada.call("restore", str(file), *replace, *secret)
    assert outcome.status == 1
    assert own_id in outcome.stderr
    assert bob.own_id() in outcome.stderr
    left = tree(ada)
    changed = {name for name in left if left[name] != before.get(name)}
    assert changed <= ({"config/portal.yaml"} if loss == "the settings" else set())
    if loss != "the key":
        assert load_identity(ada.state / "identity.key").public.portal_id == own_id


def test_no_backup_is_overwritten(ada: Home, secret: list[str]) -> None:
    file = ada.path / "a.age"
    file.write_text("an older one")
    assert ada.call("backup", str(file), *secret).status == 1
    assert file.read_text() == "an older one"


def test_a_short_passphrase_and_nobody_to_type_one_are_refused(ada: Home, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("elevenchars\n")
    file = str(ada.path / "a.age")
    short = ada.call("backup", file, "--passphrase-file", str(tmp_path / "short"))
    assert short.status == 1
    assert "at least 12 characters" in short.reason
    nobody = ada.run("backup", file)
    assert nobody.status == 2
    assert "--passphrase-file" in nobody.reason
    assert not (ada.path / "a.age").exists()


def test_the_passphrase_is_in_no_output(used: Home, secret: list[str]) -> None:
    file = str(used.path / "a.age")
    for words in (["backup", file], ["restore", file]):
        outcome = used.call(*words, *secret)
        assert PASSPHRASE not in outcome.stdout + outcome.stderr


def archive(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return an archive of these members, as a backup is before it is encrypted."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(data), kind
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def sealed(*members: tuple[str, bytes]) -> bytes:
    """Return an archive of these members, encrypted as a backup is: this takes a second."""
    made: bytes = pyrage.passphrase.encrypt(archive(*members), PASSPHRASE)
    return made


YAML, KEY = ("portal.yaml", b"x"), ("state/identity.key", b"x")


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([YAML, KEY, ("../evil", b"x")], "which no backup of ours does"),
        ([YAML, KEY, ("/etc/evil", b"x")], "which no backup of ours does"),
        ([YAML, KEY, ("state/sealing/1.key", b"x")], "which no backup of ours does"),
        ([YAML, KEY, ("apps/../evil/app.json", b"x")], "which no backup of ours does"),
        ([YAML, KEY, YAML], "which no backup of ours does"),
        ([YAML], "holds no state/identity.key"),
        ([KEY], "holds no portal.yaml"),
    ],
)
def test_an_archive_of_anything_else_is_refused(members: list[tuple[str, bytes]], why: str) -> None:
    with pytest.raises(BadBackup, match=why):
        read_archive(archive(*members))


VERSIONS = ("version.json", b'{"v": 1, "state": 3}')


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"v": 2, "parts": []}', "is of version 2, and this program knows 1 at most: restore it"),
        (b'{"v": 1, "state": 4}', "holds a state of version 4, and this program knows 3 at most"),
        (b'{"v": 1}', "doesn't say of which version it is"),
        (b'{"v": "1", "state": 3}', "doesn't say of which version it is"),
        (b'{"v": 0, "state": 3}', "doesn't say of which version it is"),
        (b'{"v": true, "state": 3}', "doesn't say of which version it is"),
        (b"", "doesn't say of which version it is"),
    ],
)
def test_a_backup_of_a_later_program_is_refused_whatever_is_in_it(data: bytes, why: str) -> None:
    with pytest.raises(BadBackup, match=why):
        read_archive(archive(("version.json", data), ("parts/1", b"x")))


def test_so_is_one_with_a_file_of_a_later_version() -> None:
    contacts = ("state/contacts.yaml", b"v: 2\nfriends: []\n")
    with pytest.raises(BadBackup, match=r"holds state/contacts.yaml: is of version 2, and this"):
        read_archive(archive(VERSIONS, YAML, KEY, contacts))


def test_one_of_before_there_were_versions_is_read() -> None:
    assert read_archive(archive(YAML, KEY)) == dict((YAML, KEY))
    assert read_archive(archive(VERSIONS, YAML, KEY)) == dict((YAML, KEY))
    with pytest.raises(BadBackup, match="which no backup of ours does"):
        read_archive(archive(YAML, KEY, VERSIONS))


def test_a_later_backup_puts_nothing_in_place(used: Home, secret: list[str]) -> None:
    (used.path / "later.age").write_bytes(sealed(("version.json", b'{"v": 2}'), YAML, KEY))
    before = {path: path.read_bytes() for path in used.path.rglob("*") if path.is_file()}
    done = used.call("restore", f"{used.path}/later.age", "--replace", *secret)
    assert done.status == 1
    assert "later.age is of version 2, and this program knows 1 at most" in done.stderr
    assert {path: path.read_bytes() for path in used.path.rglob("*") if path.is_file()} == before


def test_a_link_in_an_archive_is_refused() -> None:
    with pytest.raises(BadBackup, match="which no backup of ours does"):
        read_archive(archive(YAML, KEY, kind=tarfile.SYMTYPE))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "isn't encrypted by age"),
        (b"PK\x03\x04", "isn't encrypted by age"),
        (b"age-encryption.org/v1\nnonsense", "doesn't open with this passphrase"),
    ],
)
def test_what_is_no_backup_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(BadBackup, match=why):
        unpack(data, PASSPHRASE)


def test_a_machine_that_seems_too_slow_for_a_moment_opens_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decrypt = pyrage.passphrase.decrypt
    refused: list[str] = []

    def busy(data: bytes, passphrase: str) -> object:
        if len(refused) == 3:
            return decrypt(data, passphrase)
        refused.append(passphrase)
        return decrypt(with_work(data, 63), passphrase)

    monkeypatch.setattr(pyrage.passphrase, "decrypt", busy)
    assert unpack(sealed(YAML, KEY), PASSPHRASE) == dict((YAML, KEY))
    assert len(refused) == 3


def test_a_machine_that_is_too_slow_says_so() -> None:
    with pytest.raises(BadBackup, match="many times faster than this one"):
        unpack(with_work(sealed(YAML, KEY), 63), PASSPHRASE)


def with_work(data: bytes, factor: int) -> bytes:
    """Return a backup whose passphrase takes 2 to the power of ``factor`` steps to be tried."""
    return re.sub(rb"(?m)^(-> scrypt \S+) \d+$", rb"\1 %d" % factor, data, count=1)


def test_what_is_encrypted_and_no_archive_is_refused() -> None:
    with pytest.raises(BadBackup, match="no tar archive"):
        read_archive(b"no tar" * 200)


def test_another_passphrase_opens_nothing_and_no_part_passes_for_the_whole() -> None:
    data = pack(dict((YAML, KEY)), PASSPHRASE, made=0)
    assert unpack(data, PASSPHRASE) == dict((YAML, KEY))
    for wrong, passphrase in ((data, "four words"), (data[:-1], PASSPHRASE)):
        with pytest.raises(BadBackup, match="doesn't open"):
            unpack(wrong, passphrase)
