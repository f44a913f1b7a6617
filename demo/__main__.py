"""``make demo`` and ``make compose-demo``: sets the stage, lets the Portals talk, cleans up."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from demo.browser import pairing_address
from demo.containers import Containers
from demo.conversation import APPS, acquaint, converse
from demo.processes import Processes
from demo.report import tell
from demo.stage import DemoError, Portal, Stage

_ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run the demo; return 0 only where every step was as it must be."""
    parser = argparse.ArgumentParser(prog="demo", description="Three Portals that send postcards.")
    parser.add_argument("--once", action="store_true", help="end after the conversation")
    parser.add_argument("--fresh", action="store_true", help="new Portals, forgotten at the end")
    parser.add_argument("--containers", action="store_true", help="with Docker Compose")
    parser.add_argument("--keep", action="store_true", help="leave the containers running")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    try:
        if options.containers:
            _in_containers(keep=options.keep)
        else:
            with _stage_folder(fresh=options.fresh or options.once) as root:
                _in_processes(root, once=options.once)
    except DemoError as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        tell("\nStopped before the end.")
        return 130
    return 0


def _in_processes(root: Path, *, once: bool) -> None:
    with Processes(root) as stage:
        tell("Three Portals on this machine, each a proxy in front of two apps.")
        try:
            stage.prepare()
            portals = acquaint(stage)
            stage.start()
            converse(stage, portals)
        except DemoError as error:
            raise DemoError(f"{error}\n{stage.log_tails()}") from error
        tell("\nEvery step was as it should be.")
        if not once:
            _show_pages(stage, portals)
            _wait(stage)


def _in_containers(*, keep: bool) -> None:
    with Containers(keep=keep) as stage:
        tell("Three Portals in containers, each a proxy in front of two apps.")
        try:
            stage.start()
            portals = acquaint(stage)
            converse(stage, portals)
            stage.try_the_walls()
        except DemoError as error:
            raise DemoError(f"{error}\n{stage.log_tails()}") from error
        tell("\nEvery step was as it should be.")
        if keep:
            stage.connect_directly(portals)
            _show_pages(stage, portals)
            tell(f"They keep running. To end them: {stage.end_command}")


def _show_pages(stage: Stage, portals: dict[str, Portal]) -> None:
    tell("\nThe pages, for a browser on this machine:")
    for portal in portals.values():
        for app in APPS:
            page = portal.page(app) + ("public/" if app == "files" else "")
            tell(f"   {portal.name + ',':6}{app:11}{page}")
    tell("\nThe postcards are private. Here your browser becomes one of their owner's devices:")
    for portal in portals.values():
        tell(f"   {portal.name + ',':17}{pairing_address(stage, portal)}")
    tell("   Each address is good once, for ten minutes. Another code:")
    tell(f"   {stage.command_line('ada')} terminals pair")


def _wait(stage: Processes) -> None:
    try:
        tell("\nCtrl-C ends everything.")
        while not (gone := stage.ended()):
            time.sleep(0.5)
    except KeyboardInterrupt:
        tell("\nStopping.")
    else:
        raise DemoError(f"the process '{gone}' has ended by itself\n{stage.log_tails()}")


@contextmanager
def _stage_folder(*, fresh: bool) -> Iterator[Path]:
    """Give the folder with config/ and demo/state/: this one, or a copy with no state of its own.

    The paths in config/ are relative, so a copy keeps its keys beside itself.
    """
    if not fresh:
        yield _ROOT
        return
    with tempfile.TemporaryDirectory(prefix="portal-demo-") as folder:
        shutil.copytree(_ROOT / "config", Path(folder) / "config")
        yield Path(folder)


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Take SIGTERM like Ctrl-C: what was started is ended."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
