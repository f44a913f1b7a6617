"""Real Portals around an app under test, run by the proxy's own command line.

They live in a temporary folder and at this machine's loopback, know each other, and need neither
DNS nor certificates. The fixture ``portals`` makes them; this module is for other test runners.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from portal_peers.app_servers import LOOPBACK, CommandServer, serve_in_thread
from portal_peers.portal_under_test import PATIENCE, PortalUnderTest

__all__ = ["DEFAULT_PATHS", "PortalUnderTest", "Portals"]

DEFAULT_PATHS = {"": "private", "/public/": "public", "/peer/": "peer"}
"""What an app's paths ask of callers where no app.json says so."""

_NAMES = ("Ada", "Bob")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ADDRESSES = ("http://", "https://", "unix:")

AsgiOrWsgi = Callable[..., Any]
AppUnderTest = AsgiOrWsgi | str | Sequence[str]


class Portals:
    """Makes Portals around apps, and ends them: a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended = ExitStack()
        self._made = 0

    def __call__(
        self,
        app: AppUnderTest | None = None,
        *,
        factory: Callable[[], AsgiOrWsgi] | None = None,
        names: Sequence[str] = _NAMES,
        app_json: Mapping[str, Any] | str | Path | None = None,
        paths: Mapping[str, str] | None = None,
        app_name: str = "app",
    ) -> list[PortalUnderTest]:
        """Return a Portal for each of ``names``, with the same app behind each; all are friends.

        ``app`` is an ASGI or WSGI app, which runs here in a thread, once for each Portal; or the
        words of a command, in which ``{port}`` is where the app must listen (``PORT`` in its
        environment, too); or the address of an app that runs already, or one for each Portal.
        ``factory`` makes a new app for each Portal. What its paths ask of callers stands in
        ``app_json``, the author's file or its members, or in ``paths``, prefixes with ``public``,
        ``peer`` or ``private``.
        """
        if (app is None) == (factory is None):
            raise ValueError("Portals are made around an app or a factory: give one of the two.")
        if app_json is not None and paths is not None:
            raise ValueError("What paths ask of callers stands in app.json or in paths.")
        if not names:
            raise ValueError("Each Portal has a name: give one at least.")
        if _NAME.fullmatch(app_name) is None:
            raise ValueError(f"An app's name has a-z, 0-9 and hyphens: {app_name!r} isn't one.")
        several = _addresses(app)
        if several is not None and len(several) not in {1, len(names)}:
            raise ValueError(f"{len(names)} Portals need as many apps, or one: {several}")
        rules = {path: {"access": access} for path, access in (paths or DEFAULT_PATHS).items()}
        told = app_json or {"v": "3.2", "name": app_name, "paths": rules}
        if isinstance(told, str):
            told = Path(told)
        made = [self._portal(name, app_name) for name in names]
        with ThreadPoolExecutor(len(made)) as pool:
            places = [_upstream(app, at, portal) for at, portal in enumerate(made)]
            list(pool.map(PortalUnderTest.set_up, made, [told] * len(made), places))
            for portal in made:
                self._serve(app if factory is None else factory(), portal)
            others = [[each for each in made if each is not portal] for portal in made]
            list(pool.map(PortalUnderTest.befriend, made, others))
            list(pool.map(PortalUnderTest.wait_until_known, made, others))
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all Portals, and the apps that were started."""
        self._ended.close()

    def _portal(self, name: str, app_name: str) -> PortalUnderTest:
        self._made += 1
        folder = self._folder / f"{self._made}"
        folder.mkdir()
        portal = PortalUnderTest(folder, name, app_name)
        self._ended.callback(portal.close)
        return portal

    def _serve(self, app: AppUnderTest | None, portal: PortalUnderTest) -> None:
        if callable(app):
            self._ended.callback(serve_in_thread(app, portal.app_port, portal.settings))
        elif app is not None and _addresses(app) is None:
            command = [word.replace("{port}", str(portal.app_port)) for word in app]
            own = {**portal.environment, "PORT": str(portal.app_port)}
            server = CommandServer(command, own, portal.folder / "app.log")
            self._ended.callback(server.close)
            server.wait(portal.app_port, PATIENCE)


def _addresses(app: AppUnderTest | None) -> list[str] | None:
    """Return the addresses of apps that run already; None for a command, and what is called."""
    if app is None or callable(app):
        return None
    several = [app] if isinstance(app, str) else list(app)
    if several and all(each.startswith(_ADDRESSES) for each in several):
        return several
    if isinstance(app, str):
        raise ValueError(  # noqa: TRY004
            f"{app!r} isn't an app's address; a command is a list of words"
        )
    return None


def _upstream(app: AppUnderTest | None, at: int, portal: PortalUnderTest) -> str:
    several = _addresses(app)
    if several is None:
        return f"http://{LOOPBACK}:{portal.app_port}"
    return several[0] if len(several) == 1 else several[at]
