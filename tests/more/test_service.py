"""A service from nothing: installed, made, served and asked, by root and by the service's user.

In a mount namespace of its own, so that this machine has no such user or folder afterwards. systemd
itself isn't run: a socket takes what the proxy tells it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wire.harness.portals import reserve_port

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = Path(f"/usr/bin/python3.{sys.version_info.minor}")
INSIDE = Path(__file__).with_name("service_inside.sh")


def can_have_mounts(folder: Path) -> bool:
    """Tell whether a namespace with an overlay can be had here."""
    (folder / "up").mkdir()
    (folder / "work").mkdir()
    script = (
        f"mount -t tmpfs tmpfs {folder} && mkdir {folder}/up {folder}/work && mount -t overlay \
overlay -o lowerdir=/etc,upperdir={folder}/up,workdir={folder}/work /etc"
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.more
def test_each_command_works_for_root_and_for_the_service_s_user(tmp_path: Path) -> None:
    needed = ("unshare", "setpriv", "useradd")
    if os.geteuid() != 0 or not SYSTEM.exists() or not all(map(shutil.which, needed)):
        pytest.skip("needs root, a Python of the system's, unshare, setpriv and useradd")
    if not can_have_mounts(tmp_path):
        pytest.skip("no overlay can be mounted here")
    packages = next(each for each in sys.path if each.endswith("site-packages"))
    ports = []
    for holder, port in (reserve_port() for _ in range(3)):
        holder.close()
        ports.append(str(port))
    done = subprocess.run(
        ["unshare", "-m", "bash", str(INSIDE), str(tmp_path), str(SYSTEM), packages,
         str(ROOT / "proxy"), *ports],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert not [line for line in said if line.startswith("as ") and not line.endswith(": well")]
    assert "Made       user portal" in said
    assert "READY=1" in said
    assert said.count("as root: well") == said.count("as portal: well") == 5
    assert "files of others: 0" in said
    assert said[-1] == "STOPPING=1"
