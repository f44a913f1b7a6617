"""Where a Python of some version can be had: here, by uv, or from Debian's unstable packages.

What is fetched goes below ``.pythons``. Nothing is installed, and nothing of the machine's changes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

FETCHED = Path(__file__).resolve().parents[3] / ".pythons"
_FOLDERS = (".pyenv/versions/{}*/bin", ".local/share/uv/python/*-{}*/bin")
"""Where one's own are, in one's home."""
_PATIENCE = 300.0
_PROBE = "import ctypes, json, sqlite3, ssl, sys, venv; print(json.dumps(sys.version_info[:2]))"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def find(version: str) -> Path | None:
    """Return the program of a Python 3.x with all that the proxy needs of it, or None."""
    for path in _candidates(version):
        if is_one(path, version):
            return path
    return None


def fetch(version: str) -> Path | None:
    """Return one that was fetched; None where nobody has it, or the network keeps it from us."""
    for way in (_by_uv, _from_unstable):
        try:
            path = way(version)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"Python {version}: {_reason(error)}", flush=True)
            continue
        if path is not None and is_one(path, version):
            return path
    return None


def is_one(path: Path, version: str) -> bool:
    """Tell whether the program runs, is that version, and has what the proxy needs."""
    line = [str(path), "-c", _PROBE]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
        return ".".join(map(str, json.loads(done.stdout))) == version
    except (OSError, subprocess.SubprocessError, ValueError):
        return False


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    for pattern in _FOLDERS:
        yield from sorted(Path.home().glob(f"{pattern.format(version)}/{name}"), reverse=True)
    for folder in [*os.environ.get("PATH", "").split(":"), "/usr/bin", "/usr/local/bin"]:
        if folder and (Path(folder) / name).exists():
            yield Path(folder) / name
    yield from sorted(FETCHED.glob(f"uv/*-{version}*/bin/{name}"), reverse=True)
    yield _unpacked(version)


def _by_uv(version: str) -> Path | None:
    """Have uv, from PyPI, fetch a build that runs anywhere."""
    into = FETCHED / "uv"
    line = [_tool("uv"), "python", "install", "--no-bin", "--install-dir", str(into), version]
    _run(line, UV_HTTP_TIMEOUT="20", UV_HTTP_RETRIES="0")
    return next(iter(sorted(into.glob(f"*-{version}*/bin/python{version}"))), None)


def _from_unstable(version: str) -> Path | None:
    """Unpack Debian's own package, with all that it depends on, its C library included."""
    if not (_KEYRING.exists() and shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None
    mirror = _mirror()
    if mirror is None:
        return None
    root = _unpacked(version).parents[2]
    apt = root.parent / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").write_text("")  # nothing is there: all of it is fetched
    (apt / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror} unstable main\n")
    options = {
        "Dir::Etc::SourceList": apt / "sources.list", "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": apt / "lists", "Dir::State::Status": apt / "status",
        "Dir::Cache": apt / "cache", "APT::Install-Recommends": "0", "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
    }  # fmt: skip
    line = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*line, "update"])
    _run([*line, "--download-only", "--yes", "install", f"python{version}-venv"])
    for package in sorted((apt / "cache" / "archives").glob("*.deb")):
        _run(["dpkg-deb", "-x", str(package), str(root)])
    shutil.rmtree(apt)
    _use_own_libraries(root, _unpacked(version))
    return _unpacked(version)


def _use_own_libraries(root: Path, program: Path) -> None:
    """Have the program loaded by the C library beside it: the machine's is an older one."""
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    loader = next(libraries.glob("ld-linux*"))
    patch = [_tool("patchelf"), "--set-interpreter", str(loader)]
    # Unlike RUNPATH, RPATH holds for what its libraries need, too.
    _run([*patch, "--force-rpath", "--set-rpath", str(libraries), str(program)])


def _unpacked(version: str) -> Path:
    return FETCHED / "debian" / version / "root" / "usr" / "bin" / f"python{version}"


def _mirror() -> str | None:
    """Return where this machine gets Debian's packages from."""
    if "debian" not in _os_id():
        return None
    line = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)"]
    told = subprocess.run(line, capture_output=True, text=True, check=False).stdout
    rows = (row.split() for row in told.splitlines())
    return next((row[1] for row in rows if row[:1] == ["Debian"] and row[1:]), None)


def _os_id() -> str:
    try:
        return platform.freedesktop_os_release().get("ID", "")
    except OSError:
        return ""


def _tool(name: str) -> str:
    """Return the program of that name, from the package of that name on PyPI."""
    folder = FETCHED / "tools" / name
    program = folder / "bin" / name
    if not program.exists():
        _run([sys.executable, "-m", "pip", "install", "-qq", "--target", str(folder), name])
    return str(program)


def _run(line: Sequence[str], **variables: str) -> None:
    subprocess.run(
        line, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=True, timeout=_PATIENCE,
    )  # fmt: skip


def _reason(error: OSError | subprocess.SubprocessError) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        last = str(error.stderr).strip().splitlines()[-1:] or ["it said nothing"]
        return f"{Path(error.cmd[0]).name} couldn't get it: {last[0][:200]}"
    return str(error)
