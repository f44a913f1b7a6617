"""The best Python to measure with, of those that this machine has: ours and peers run on the same.

``python3 bench/interpreter.py`` prints its path. One that was built with optimisations (a profile
of its own, --enable-optimizations) comes before one that wasn't, as pyenv builds them unless it is
told otherwise: 5 to 30 % lie between them. A distribution's packages count as optimised, whatever
they say of themselves. Among equals the newest comes first.
"""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 15)
"""The Pythons that the proxy is tested with."""
_FOLDERS = (".pyenv/versions/*/bin", ".local/share/uv/python/*/bin")
"""Where one's own Pythons are, in one's home."""
_ALWAYS = (Path("/usr/bin"), Path("/usr/local/bin"))
_PROBE = """
import ensurepip, json, runpy, sys, venv
module = runpy.run_path({module!r}, run_name="probe")
print(json.dumps([list(sys.version_info[:3]), module["is_optimised"](), sys.executable]))
"""


def is_optimised() -> bool:
    """Tell whether the running Python was built with a profile of its own, as far as it says."""
    flags = ("CONFIG_ARGS", "PY_CFLAGS", "PY_CFLAGS_NODIST", "PY_CORE_CFLAGS")
    said = " ".join(str(sysconfig.get_config_var(name)).replace("'", "") for name in flags)
    signs = ("--enable-optimizations", "-fprofile-use", "--prefix=/usr ")
    return any(sign in said for sign in signs)


def build() -> str:
    """Return the running Python's version and build, for people."""
    version = ".".join(map(str, sys.version_info[:3]))
    return f"CPython {version} ({'optimised' if is_optimised() else 'not optimised'})"


def best() -> str | None:
    """Return the path of the best Python that the proxy runs on; None where there is none."""
    found = []
    for path in dict.fromkeys(_candidates()):
        line = [path, "-c", _PROBE.format(module=str(Path(__file__).resolve()))]
        try:
            done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603 - found on the path
            version, optimised, executable = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError):
            continue
        if OLDEST <= tuple(version[:2]) <= NEWEST:
            found.append((optimised, version, executable))
    return max(found)[2] if found else None


def _candidates() -> Iterator[str]:
    """Yield the paths at which a Python may be; of some there is none, and some are the same."""
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    folders = [Path(one) for one in os.environ.get("PATH", "").split(":") if one]
    folders += _ALWAYS
    for pattern in _FOLDERS:
        folders += Path.home().glob(pattern)
    for folder in folders:
        yield from (str(folder / name) for name in names if os.access(folder / name, os.X_OK))


if __name__ == "__main__":
    chosen = best()
    print(chosen or "")
    sys.exit(chosen is None)
