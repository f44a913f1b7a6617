"""Disks that are full, read-only or slow."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.wire.harness.disks import FileSystem
from tests.wire.harness.recorder import eventually
from tests.wire.harness.terminals import from_the_page, send_form

from .fault import Fault, Seen
from .stage import FINE, Stage, on_stage, outcome

_SIZE = 16 << 20
_DOWN = "503 replay_store_down"


@contextmanager
def _small_disk(folder: Path) -> Iterator[tuple[Stage, Path]]:
    """Give the cast, with Bob's folder on a file system of its own, which is in a file."""
    disk, image = folder / "disk", folder / "image"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(_SIZE)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    _mount(disk)
    try:
        with on_stage(folder, bobs=disk / "bob") as stage:
            for portal in stage.portals:
                portal.start()
            yield stage, disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _mount(disk: Path) -> None:
    image = str(disk.with_name("image"))
    mount = ["mount", "-o", "loop,errors=remount-ro", image, str(disk)]
    subprocess.run(mount, check=True)


def _mend(disk: Path) -> None:
    """Do what its owner does about such an error; nobody may use the file system meanwhile."""
    subprocess.run(["umount", str(disk)], check=True)
    subprocess.run(["e2fsck", "-p", str(disk.with_name("image"))], check=False, capture_output=True)
    _mount(disk)


def _break(disk: Path) -> None:
    """Let the system find an error on the file system, after which it doesn't write to it."""
    subprocess.run(["sync", "--file-system", str(disk)], check=True)
    device = subprocess.run(
        ["findmnt", "-n", "-o", "SOURCE", str(disk)], check=True, capture_output=True, text=True
    ).stdout.strip()
    Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("1", "ascii")


def _full(folder: Path, rounds: int, seen: Seen) -> None:
    with _small_disk(folder) as (stage, disk):
        space = FileSystem(disk)
        for _ in range(rounds):
            stage.recovers()
            space.fill(stage.bob)
            _refuses_and_tells(stage, seen)
            space.empty(stage.bob)
            _is_well(stage, seen)
            seen.rounds += 1


def _read_only(folder: Path, rounds: int, seen: Seen) -> None:
    with _small_disk(folder) as (stage, disk):
        for _ in range(rounds):
            stage.recovers()
            _break(disk)
            _refuses_and_tells(stage, seen)
            seen.expect(
                "read-only" in stage.bob.run("check").stdout.lower(), "check doesn't say so"
            )
            seen.equal(stage.bob.stop(), 0, "exit status")
            _mend(disk)
            stage.bob.start()
            _is_well(stage, seen)
            seen.rounds += 1


def _refuses_and_tells(stage: Stage, seen: Seen) -> None:
    bob = stage.bob
    eventually(lambda: stage.signed() == _DOWN)
    done = len(stage.app.done)
    seen.equal((stage.signed(), stage.sealed()), (_DOWN, _DOWN), "calls")
    seen.expect(len(stage.app.done) == done, "a refused call was carried out")
    seen.equal(stage.stranger(), "ok", "a stranger")
    got = outcome(send_form(bob, "ABCD-EFGH", from_the_page(bob)))
    seen.expect(got in ("503 pairing_store_down", "403 pairing_refused"), f"pairing: {got}")
    eventually(bob.health)
    seen.equal(bob.run("health").returncode, 1, "`health` exits with")
    seen.equal(bob.run("check").returncode, 1, "`check` exits with")


def _is_well(stage: Stage, seen: Seen) -> None:
    stage.recovers()
    eventually(lambda: not stage.bob.health())
    seen.equal(stage.bob.run("health").returncode, 0, "afterwards `health` exits with")
    seen.equal(stage.all_ways(), FINE, "afterwards")


_TELLS = "A problem under `/health` with its remedy; `health` and `check` exit 1"

FAULTS = (
    Fault(
        "A disk that is full",
        "The state folder's, a file system of its own",
        "Calls of peers are refused (503 `replay_store_down`): what can't be remembered isn't "
        "carried out. Strangers are served. All is well as soon as there is room",
        _TELLS,
        _full,
        needs=("root", "mkfs.ext4"),
    ),
    Fault(
        "A disk that is read-only",
        "The system finds an error on the state folder's file system, and mounts it so",
        "The same",
        f"{_TELLS}; `check` says that it is read-only",
        _read_only,
        needs=("root", "mkfs.ext4"),
    ),
)
