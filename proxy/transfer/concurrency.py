"""How many requests run at once, of each peer and for each app, and nobody's above their bound.

One who is at the bound is refused at once and holds nobody else up: nothing waits here.
"""

from proxy.config.limits import Bounds
from proxy.core.errors import Code, Refusal


class Occupancy:
    """The requests that run at one listener."""

    def __init__(self, bounds: Bounds, app_full: Code) -> None:
        """``app_full`` is what one hears whose request is one too many for its app."""
        self._callers = _Places(bounds.requests_per_peer, Code.TOO_MANY_REQUESTS)
        self._apps = _Places(bounds.requests_per_app, app_full)

    def of(self, caller: str, app: str) -> "_Stay":
        """Return the context in which a request of ``caller`` to ``app`` runs, "" where none is.

        To enter it raises ``Refusal``: then no place was taken.
        """
        return _Stay(self._callers, caller, self._apps, app)

    def __len__(self) -> int:
        """Return how many places are taken, those of callers and those of apps."""
        return len(self._callers) + len(self._apps)


class _Places:
    """As many as ``most`` for each name; "" has no bound."""

    def __init__(self, most: int, full: Code) -> None:
        self._most = most
        self._full = full
        self._taken: dict[str, int] = {}

    def take(self, name: str) -> None:
        taken = self._taken.get(name, 0)
        if taken >= self._most and name:
            raise Refusal(self._full, f"{name}: {taken} at once")
        self._taken[name] = taken + 1

    def give_back(self, name: str) -> None:
        left = self._taken[name] - 1
        if left:
            self._taken[name] = left
        else:
            del self._taken[name]  # or every name that ever came would stay

    def __len__(self) -> int:
        return sum(self._taken.values())


class _Stay:
    """A place with both, from the beginning of a request to its end, whichever that is."""

    __slots__ = ("_app", "_apps", "_caller", "_callers")

    def __init__(self, callers: _Places, caller: str, apps: _Places, app: str) -> None:
        self._callers = callers
        self._caller = caller
        self._apps = apps
        self._app = app

    def __enter__(self) -> None:
        self._callers.take(self._caller)
        try:
            self._apps.take(self._app)
        except Refusal:
            self._callers.give_back(self._caller)
            raise

    def __exit__(self, *_: object) -> None:
        self._callers.give_back(self._caller)
        self._apps.give_back(self._app)
