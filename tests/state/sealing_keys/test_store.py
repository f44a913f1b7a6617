"""Sealing keys on disk: offered while they may be used, deleted for good when that is over."""

import base64
import logging
import multiprocessing
import os
import shutil
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from proxy.core.errors import Invalid
from proxy.core.sealing.key_config import KeyConfig
from proxy.core.sealing_rotation import SHORTEST_ROTATION
from proxy.state.files import delete, locked
from proxy.state.sealing_keys import SealingKeyStore
from tests.envelopes import opens, sealed_to

NOW = 1_700_000_000
DAY = 86_400
END = DAY + 3600 + 120
SPAWN = multiprocessing.get_context("spawn")
IS_ROOT = os.geteuid() == 0


class Steady:
    """A clock that nobody sets: seconds since something."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "sealing"


def opened(folder: Path, now: float = NOW, *, accepting: bool = True) -> SealingKeyStore:
    store = SealingKeyStore(folder, DAY, accepting=accepting)
    store.open(now)
    return store


def offered(store: SealingKeyStore, now: float) -> KeyConfig:
    """Return the one key that documents name."""
    ((config, until),) = store.published(now)
    assert until > now
    return config


def key_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".key")


def file_of(folder: Path, config: KeyConfig) -> Path:
    return folder / f"{config.key_id}.key"


def private_bytes(path: Path) -> bytes:
    return base64.b64decode(path.read_bytes().split()[-1])


def is_anywhere(secret: bytes, folder: Path) -> bool:
    """Tell whether the bytes stand in any file below ``folder``, in any common spelling."""
    forms = (secret, base64.b64encode(secret), secret.hex().encode(), secret.hex().upper().encode())
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return any(form in data for form in forms for data in files)


def test_a_first_start_makes_a_key_for_us_alone_in_a_folder_that_backups_leave_out(
    folder: Path,
) -> None:
    config = offered(opened(folder), NOW)
    assert folder.stat().st_mode & 0o7777 == 0o700
    path = file_of(folder, config)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert sorted(entry.name for entry in folder.iterdir()) == sorted([path.name, "CACHEDIR.TAG"])
    tag = (folder / "CACHEDIR.TAG").read_bytes()
    assert tag.startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")
    assert len(config.serialise()) == 3 + 32 + 2 + 2 * 4  # both suites are offered


def test_a_restart_offers_the_same_key_until_the_same_time(folder: Path) -> None:
    before = opened(folder).published(NOW)
    assert before[0].until == NOW + DAY + 3600
    assert opened(folder, NOW + DAY - 1).published(NOW + DAY - 1) == before


def test_a_key_is_replaced_after_a_day_and_still_opens_what_was_sealed_to_it(folder: Path) -> None:
    store = opened(folder)
    first = offered(store, NOW)
    envelope = sealed_to(first)
    store.follow(NOW + DAY - 1)
    assert offered(store, NOW + DAY - 1) == first
    store.follow(NOW + DAY)
    second = offered(store, NOW + DAY)
    assert second.key_id != first.key_id
    assert second.public != first.public
    for now in (NOW + DAY, NOW + END - 1):
        store.follow(now)
        assert opens(store, envelope)
        assert opens(opened(folder, now), envelope)
    assert opens(store, sealed_to(second))


def test_what_was_sealed_to_a_deleted_key_cant_be_opened(folder: Path) -> None:
    store = opened(folder)
    first = offered(store, NOW)
    envelope, secret = sealed_to(first), private_bytes(file_of(folder, first))
    assert opens(store, envelope)
    assert is_anywhere(secret, folder.parent)
    store.follow(NOW + DAY)
    store.follow(NOW + END)
    assert not opens(store, envelope)
    assert not opens(opened(folder, NOW + END), envelope)
    assert not opens(opened(folder, NOW), envelope)  # not even where the clock is set back
    assert not is_anywhere(secret, folder.parent)


def test_a_start_deletes_what_is_over_before_anything_is_served(folder: Path) -> None:
    envelope = sealed_to(offered(opened(folder), NOW))
    store = opened(folder, NOW + END)
    assert not opens(store, envelope)
    assert key_files(folder) == [f"{offered(store, NOW + END).key_id}.key"]


def test_a_key_that_is_over_opens_nothing_even_where_it_cant_be_deleted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(folder)
    envelope = sealed_to(offered(store, NOW))

    def refuse(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr("proxy.state.sealing_keys.store.delete", refuse)
    for second in range(5):
        store.follow(NOW + END + second)
    assert not opens(store, envelope)
    assert store.published(NOW + END)
    (problem,) = store.problems
    assert "its time is over, and it can't be deleted" in problem.what
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    monkeypatch.undo()
    store.follow(NOW + END + 5)
    assert store.problems == ()
    assert len(key_files(folder)) == 1


def test_keys_that_live_at_once_have_ids_of_their_own(folder: Path) -> None:
    store = SealingKeyStore(folder, SHORTEST_ROTATION)
    store.open(NOW)
    for now in range(NOW, NOW + 3 * DAY, SHORTEST_ROTATION):
        store.follow(now)
        assert len(key_files(folder)) <= 8
        assert offered(store, now).key_id in range(256)


# Clocks


def test_a_clock_that_jumped_ahead_and_back_leaves_no_key_from_the_future(folder: Path) -> None:
    store = opened(folder)
    store.follow(NOW + 10 * DAY)
    ahead = offered(store, NOW + 10 * DAY)
    store.follow(NOW + 60)
    assert offered(store, NOW + 60) != ahead
    assert not file_of(folder, ahead).exists()
    assert not opens(store, sealed_to(ahead))


def test_a_clock_that_is_a_little_back_loses_nothing(folder: Path) -> None:
    store = opened(folder)
    first = offered(store, NOW)
    for back in (1, 60, 120):
        store.follow(NOW - back)
        assert offered(store, NOW - back) == first
        assert opens(store, sealed_to(first))


def test_a_key_made_while_the_clock_was_ahead_is_deleted_at_the_next_start(folder: Path) -> None:
    ahead = offered(opened(folder, NOW + 121), NOW + 121)
    assert offered(opened(folder, NOW), NOW) != ahead
    assert len(key_files(folder)) == 1


def test_a_clock_that_is_set_back_again_and_again_doesnt_keep_a_key_alive(folder: Path) -> None:
    steady = Steady()
    store = SealingKeyStore(folder, DAY, steady=steady)
    store.open(NOW)
    first = offered(store, NOW)
    envelope = sealed_to(first)
    for _ in range(END // 60 - 1):
        steady.seconds += 60
        store.follow(NOW)
    assert offered(store, NOW) != first
    assert opens(store, envelope)
    steady.seconds += 60
    store.follow(NOW)
    assert not opens(store, envelope)
    assert not file_of(folder, first).exists()


def test_a_machine_that_slept_deletes_by_the_clock_that_went_on(folder: Path) -> None:
    store = SealingKeyStore(folder, DAY, steady=Steady())
    store.open(NOW)
    envelope = sealed_to(offered(store, NOW))
    store.follow(NOW + END)
    assert not opens(store, envelope)


# Files that are wrong


@pytest.mark.parametrize(
    ("data", "because"),
    [
        (b"", "isn't a sealing key"),
        (b"\x00" * 40, "isn't a sealing key"),
        (b"portal-sealing-key-1 7 1699999999 " + b"A" * 43 + b"=", "isn't a sealing key"),
        (b"portal-sealing-key-1 07 1699999999 " + b"A" * 43 + b"=\n", "isn't a sealing key"),
        (b"portal-sealing-key-1 7 1699999999 " + b"A" * 42 + b"B=\n", "isn't a sealing key"),
        (b"portal-sealing-key-2 7 1699999999 " + b"A" * 43 + b"=\n", "isn't a sealing key"),
        (b"portal-sealing-key-3 7 1699999999 " + b"A" * 43 + b"=\n", "knows 2 at most"),
        (b"portal-sealing-key-10 x", "is of version 10"),
        (b"portal-sealing-key-1 8 1699999999 " + b"A" * 43 + b"=\n", "of another sealing key"),
        (b"A" * 2000, "larger than"),
    ],
)
def test_a_broken_file_is_told_kept_and_costs_no_other_key(
    folder: Path, data: bytes, because: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(parents=True, mode=0o700)
    broken = folder / "7.key"
    broken.write_bytes(data)
    broken.chmod(0o600)
    os.utime(broken, (NOW, NOW))
    store = opened(folder)
    store.follow(NOW + 1)
    (problem,) = store.problems
    assert problem.file == str(broken)
    assert because in problem.what
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert b"A" * 40 not in caplog.text.encode()
    assert offered(store, NOW).key_id != 7
    assert broken.read_bytes() == data
    store.follow(NOW + END)  # it may have been a key, and its time is over as a key's is
    assert not broken.exists()
    assert store.problems == ()


@pytest.mark.parametrize("damage", ["readable", "link", "folder", "pipe"])
def test_an_unsafe_file_is_no_key_and_another_one_is_made(folder: Path, damage: str) -> None:
    first = offered(opened(folder), NOW)
    envelope, path = sealed_to(first), file_of(folder, first)
    match damage:
        case "readable":
            path.chmod(0o640)
        case "link":
            path.rename(folder.parent / "elsewhere")
            path.symlink_to(folder.parent / "elsewhere")
        case "folder":
            path.unlink()
            path.mkdir()
        case _:
            path.unlink()
            os.mkfifo(path, 0o600)
    os.utime(path, (NOW, NOW), follow_symlinks=False)
    store = opened(folder)
    assert not opens(store, envelope)
    assert offered(store, NOW).key_id != first.key_id
    assert [problem.file for problem in store.problems] == [str(path)]


def test_a_file_that_is_mended_is_a_key_again(folder: Path) -> None:
    store = opened(folder)
    first = offered(store, NOW)
    envelope, path = sealed_to(first), file_of(folder, first)
    path.chmod(0o640)
    store.follow(NOW + 1)
    assert not opens(store, envelope)
    path.chmod(0o600)
    store.follow(NOW + 2)
    assert opens(store, envelope)
    assert store.problems == ()


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_key_of_another_user_is_no_key(folder: Path) -> None:
    first = offered(opened(folder), NOW)
    os.chown(file_of(folder, first), 12345, -1)
    store = opened(folder)
    assert offered(store, NOW) != first
    assert "belongs to user 12345" in store.problems[0].what


@pytest.mark.parametrize("name", ["7.key~", "07.key", "256.key", "notes", ".7.key.swp", "x.new"])
def test_a_file_that_isnt_ours_is_told_and_left_alone(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, mode=0o700)
    (folder / name).write_text("perhaps a copy of a key")
    store = opened(folder)
    store.follow(NOW + 10 * DAY)
    assert (folder / name).exists()
    (problem,) = store.problems
    assert problem.file == str(folder / name)
    assert problem in store.inspect(NOW)


def test_what_a_crash_left_half_written_is_deleted(folder: Path) -> None:
    first = offered(opened(folder), NOW)
    left = folder / f".{first.key_id}.key.0123456789abcdef.new"
    os.link(file_of(folder, first), left)
    store = opened(folder)
    assert not left.exists()
    assert offered(store, NOW) == first
    os.link(file_of(folder, first), left)  # another process crashed meanwhile
    store.follow(NOW + 1)
    assert not left.exists()


def test_a_folder_full_of_broken_files_offers_no_key_and_says_why(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    for key_id in range(256):
        (folder / f"{key_id}.key").touch(0o600)
        os.utime(folder / f"{key_id}.key", (NOW, NOW))
    store = opened(folder)
    assert store.published(NOW) == ()
    assert "in the place of every key ID" in store.problems[-1].what
    (folder / "77.key").unlink()
    store.follow(NOW + 1)
    assert offered(store, NOW + 1).key_id == 77


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_can_write_to_is_refused(folder: Path, mode: int) -> None:
    folder.mkdir(parents=True)
    folder.chmod(mode)
    with pytest.raises(Invalid, match=r"sealing: others can write to it .* chmod go-w"):
        opened(folder)
    assert SealingKeyStore(folder, DAY).inspect(NOW)[0].file == str(folder)


def test_a_folder_that_is_opened_to_others_later_is_told_and_nothing_new_in_it_is_read(
    folder: Path,
) -> None:
    store = opened(folder)
    first = offered(store, NOW)
    folder.chmod(0o777)
    (file,) = folder.glob("*.key")
    file.unlink()
    store.follow(NOW + 1)
    assert "others can write to it" in store.problems[0].what
    assert offered(store, NOW + 1) == first
    folder.chmod(0o700)
    store.follow(NOW + 2)
    assert store.problems == ()
    assert offered(store, NOW + 2).public != first.public


def test_a_file_in_the_folders_place_is_refused(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("")
    with pytest.raises(Invalid, match="sealing: "):
        opened(folder)


def test_a_folder_that_is_removed_takes_its_keys_along(folder: Path) -> None:
    store = opened(folder)
    first = offered(store, NOW)
    shutil.rmtree(folder)
    store.follow(NOW + 1)
    assert not opens(store, sealed_to(first))
    assert offered(store, NOW + 1).public != first.public
    assert folder.stat().st_mode & 0o7777 == 0o700
    assert (folder / "CACHEDIR.TAG").exists()


def test_a_look_changes_nothing(folder: Path) -> None:
    assert SealingKeyStore(folder, DAY).inspect(NOW) == ()
    assert not folder.exists()
    opened(folder)
    before = [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())]
    assert SealingKeyStore(folder, DAY).inspect(NOW + 10 * DAY) == ()
    assert [(path.name, path.stat().st_mtime_ns) for path in sorted(folder.iterdir())] == before


# Owners who take no sealed calls


def test_who_takes_no_sealed_calls_makes_no_key(folder: Path) -> None:
    store = opened(folder, accepting=False)
    store.follow(NOW + 1)
    assert store.published(NOW) == ()
    assert not folder.exists()


def test_who_takes_none_any_more_is_rid_of_the_keys_when_their_time_is_over(folder: Path) -> None:
    opened(folder)
    store = opened(folder, NOW + 1, accepting=False)
    assert store.published(NOW + 1) == ()
    assert len(key_files(folder)) == 1
    store.follow(NOW + END)
    assert key_files(folder) == []


# Several processes


def test_a_key_that_another_process_made_is_found_before_the_next_look(folder: Path) -> None:
    one, other = opened(folder), opened(folder)
    other.follow(NOW + DAY - 0.5)
    one.follow(NOW + DAY)
    envelope = sealed_to(offered(one, NOW + DAY))
    assert not opens(other, envelope)
    other.look_again()
    assert opens(other, envelope)


@pytest.mark.parametrize("other", ["a look", "its owner"])
def test_a_key_that_goes_while_it_is_deleted_is_no_mistake(
    folder: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    store = opened(folder)
    first = offered(store, NOW)

    def delete_first(path: Path) -> None:
        if other == "its owner":
            path.unlink()
        delete(path)

    def delete_and_look(path: Path) -> None:
        delete_first(path)
        store.look_again()

    monkeypatch.setattr("proxy.state.sealing_keys.store.delete", delete_and_look)
    store.follow(NOW + END)
    assert store.problems == ()
    assert not file_of(folder, first).exists()
    assert store.find(first.key_id) is None
    assert offered(store, NOW + END) != first


def test_who_finds_the_folder_locked_offers_what_there_is_and_doesnt_wait(folder: Path) -> None:
    store = opened(folder)
    first = offered(store, NOW)
    with locked(folder):
        store.follow(NOW + DAY)
        assert offered(store, NOW + DAY) == first
        assert not store.problems
        store.follow(NOW + DAY + 3600)
        assert store.published(NOW + DAY + 3600) == ()
        (problem,) = store.problems
        assert "being changed by somebody else" in problem.what
    store.follow(NOW + DAY + 3601)
    assert offered(store, NOW + DAY + 3601) != first
    assert store.problems == ()


STEPS, WORKERS = 40, 3


def _work(folder: Path, post: Path, worker: int, barrier: Barrier) -> None:
    """Live through rotations; exit status 1 where what any worker offers can't be opened."""
    store = SealingKeyStore(folder, SHORTEST_ROTATION)
    for step in range(STEPS):
        now = NOW + step * SHORTEST_ROTATION // 2
        barrier.wait(60)
        if step:
            store.follow(now)
        else:
            store.open(now)
        config = offered(store, now)
        (post / f"{step}-{worker}").write_bytes(sealed_to(config))
        barrier.wait(60)
        store.look_again()
        for envelope in post.glob(f"{step}-*"):
            assert opens(store, envelope.read_bytes()), envelope


def test_workers_that_rotate_at_once_open_what_any_of_them_offers(
    folder: Path, tmp_path: Path
) -> None:
    post, barrier = tmp_path / "post", SPAWN.Barrier(WORKERS)
    post.mkdir()
    workers = [
        SPAWN.Process(target=_work, args=(folder, post, worker, barrier))
        for worker in range(WORKERS)
    ]
    for process in workers:
        process.start()
    for process in workers:
        process.join(120)
    assert [process.exitcode for process in workers] == [0] * WORKERS
    assert len(key_files(folder)) <= 8  # they made one key a rotation together, not one each
