"""Autobahn's fuzzing client at an app directly and through the proxy: each case ends the same.

``AUTOBAHN_CASES=*`` runs all of them, in half an hour; of the compressed ones the usual run
leaves out the large.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.wire.harness.portals import Portal, environment
from tests.wire.harness.sockets import WebSocketApp

_ROOT = Path(__file__).resolve().parents[2]
_SUITE = _ROOT / ".venv-autobahn" / "bin" / "wstest"
_FOLDER = Path(__file__).with_name("autobahn")

pytestmark = [
    pytest.mark.more,
    pytest.mark.skipif(not _SUITE.exists(), reason="no Autobahn: it needs a Python 2.7"),
]

_OPEN = """{"v": "3.2", "port": 80, "paths": {"": {"access": "public"}}}"""
_MINUTES = 40
_USUAL = [
    *(f"{section}.*" for section in (1, 2, 3, 4, 5, 6, 7, 9, 10)),
    *(f"12.{group}.{row}" for group in range(1, 6) for row in range(1, 7)),
    *(f"13.{group}.{row}" for group in range(1, 8) for row in range(1, 7)),
]
_LEAST = 300
"""Fewer cases than this, and the suite didn't run."""
_RACES = {
    *("3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"),
    *("6.4.1", "6.4.2", "6.4.3", "6.4.4"),
}
"""A good frame and a bad one come together: whether the app still answers the first is a race.

It is one at the bare app, too: "OK" where it won, "NON-STRICT" where it lost.
"""
Results = dict[str, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    """Run the suite at both ends; give what it found, by agent and case."""
    folder = tmp_path_factory.mktemp("autobahn")
    with ExitStack() as stack:
        app = stack.enter_context(WebSocketApp())
        portal = Portal(folder / "wendy", "Wendy")
        stack.callback(portal.release)
        portal.add_app("sock", _OPEN, app.port)
        portal.start()
        urls = {
            "bare": f"ws://127.0.0.1:{app.port}/public/echo",
            "proxied": f"ws://{portal.app_host('sock')}/public/echo",
        }
        spec = {
            "outdir": str(folder / "reports"),
            "servers": [{"agent": agent, "url": url} for agent, url in urls.items()],
            "cases": os.environ.get("AUTOBAHN_CASES", " ".join(_USUAL)).split(),
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        (folder / "spec.json").write_text(json.dumps(spec), "utf-8")
        ran = subprocess.run(
            [
                _SUITE.with_name("python"),
                _FOLDER / "patient.py",
                "-m",
                "fuzzingclient",
                "-s",
                "spec.json",
            ],
            cwd=folder,
            env=environment() | {"PYTHONPATH": str(_FOLDER)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_MINUTES * 60,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout[-2000:]
        assert "Traceback" not in portal.log, portal.log
        found: Results = json.loads((folder / "reports" / "index.json").read_text("utf-8"))
        yield found


def _outcome(case: str, result: dict[str, Any]) -> tuple[str, str, int | None]:
    behaviour = result["behavior"]
    if case in _RACES and behaviour == "NON-STRICT":
        behaviour = "OK"
    return behaviour, result["behaviorClose"], result["remoteCloseCode"]


def test_each_case_ends_through_the_proxy_as_at_the_app_itself(results: Results) -> None:
    bare, proxied = results["bare"], results["proxied"]
    assert bare.keys() == proxied.keys()
    if "AUTOBAHN_CASES" not in os.environ:
        assert len(bare) > _LEAST
    differing = {
        case: (_outcome(case, bare[case]), _outcome(case, proxied[case]))
        for case in bare
        if _outcome(case, bare[case]) != _outcome(case, proxied[case])
    }
    assert differing == {}


def test_what_is_compared_is_worth_it(results: Results) -> None:
    good = [result for result in results["proxied"].values() if result["behavior"] == "OK"]
    assert len(good) > len(results["proxied"]) * 0.9
