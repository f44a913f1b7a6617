"""Puts each app's token where its proxy.yaml asks for it, and tries again where it couldn't be."""

import logging
import time
from collections.abc import Callable, Mapping

from proxy.config.apps import App
from proxy.core.errors import Invalid, Problem
from proxy.state.files import Busy, Unsafe
from proxy.state.tokens import TokenStore

AGAIN = 5.0
"""Seconds after which what couldn't be written is tried again."""

_log = logging.getLogger("proxy")


class TokenFiles:
    """Of the tokens in ``tokens``."""

    def __init__(self, tokens: TokenStore, steady: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._steady = steady
        self._is_wanted = False
        self._tried = 0.0
        self.problems: tuple[Problem, ...] = ()
        """Tokens that couldn't be written."""

    def want(self) -> None:
        """Note that apps or tokens changed."""
        self._is_wanted = True

    def is_due(self) -> bool:
        """Tell whether to deliver: what changed, or couldn't be written a while ago."""
        late = bool(self.problems) and self._steady() - self._tried >= AGAIN
        return self._is_wanted or late

    def deliver(self, apps: Mapping[str, App]) -> None:
        """Write each token that isn't there yet. Waits for the disk; raises nothing foreseen."""
        self._is_wanted, self._tried = False, self._steady()
        found = []
        for name, app in apps.items():
            try:
                if app.token_file is not None and self._tokens.deliver(name, app.token_file):
                    _log.info("wrote the token of %s to %s", name, app.token_file)
                else:
                    self._tokens.token(name)
            except (OSError, Invalid, Unsafe, Busy) as error:
                problem = Problem(name, "token_file", str(error))
                found.append(problem)
                if problem not in self.problems:
                    _log.error("no token for %s: %s", name, error)
        self.problems = tuple(found)
