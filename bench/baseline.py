"""Another revision of this project, as a tree of its own beside the results, to be measured too."""

import shutil
import subprocess
from pathlib import Path

from bench.crew import ROOT


class NoBaseline(Exception):
    """What was named is no revision of this project, and no folder that has one."""


def tree_of(name: str, folder: Path) -> Path:
    """Return a tree of the revision ``name``, made in ``folder``, or the folder that it names.

    Raises ``NoBaseline``.
    """
    path = Path(name)
    if (path / "proxy" / "__main__.py").is_file():
        return path.resolve()
    revision = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
    if not revision:
        raise NoBaseline(f"{name} is neither a revision of this project nor a folder with it")
    # Below a name with a dot: else what looks for modules and packages here would find its too.
    tree = (folder / ".baselines" / revision[:12]).resolve()
    if not (tree / "proxy" / "__main__.py").is_file():
        shutil.rmtree(tree, ignore_errors=True)
        _git("worktree", "prune")
        _git("worktree", "add", "--detach", "--quiet", str(tree), revision)
    if not (tree / "proxy" / "__main__.py").is_file():
        raise NoBaseline(f"{name} couldn't be laid out in {tree}")
    return tree


def _git(*words: str) -> str:
    """Return what git said of this project; "" where it could not."""
    git = shutil.which("git")
    if git is None:
        raise NoBaseline("there is no git here")
    done = subprocess.run([git, *words], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - found on the path
    return done.stdout
