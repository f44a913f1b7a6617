"""Where the app's own Portal is, and the token that it knows the app by."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from portal_peers.errors import NotConfigured

ENTRANCE = "http://portal_core"
"""Where a Portal is found by an app that was told nothing: at an entrance of the app's own."""
_TOKEN = re.compile(r"[!-~]{1,512}")


@dataclass(frozen=True)
class Settings:
    """Where to send calls; the token goes there and nowhere else, and shows in no ``repr``."""

    url: str = ENTRANCE
    """Scheme, host and port."""
    socket: str = ""
    """The path of a Unix socket that leads there."""
    token: str = field(default="", repr=False)
    token_file: str = ""
    """A file whose token is read anew when the Portal doesn't know the one of before."""
    transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None = None
    """What stands in for the network in tests."""

    def read_token(self) -> str:
        """Return the token, "" where none is needed."""
        if not self.token_file:
            return self.token
        try:
            text = Path(self.token_file).read_text("ascii").strip()
        except (OSError, ValueError) as error:
            raise NotConfigured(f"The token can't be read: {error}") from error
        return _checked_token(text, self.token_file)


def settings_for(url: str, token: str = "", token_file: str = "") -> Settings:
    """Return the settings for a Portal at ``url``: ``http://HOST:PORT`` or ``unix:PATH``."""
    if token and token_file:
        raise NotConfigured("Give a token or a file with one, not both.")
    checked = _checked_token(token, "The token") if token else ""
    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise NotConfigured(f"{url!r} isn't unix: and a path that begins with /")
        return Settings(socket=path, token=checked, token_file=token_file)
    return Settings(_origin(url), token=checked, token_file=token_file)


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Read ``PORTAL_CORE_URL`` and ``PORTAL_TOKEN``, or ``HTTP_PROXY`` with its userinfo.

    With neither, the Portal is at ``http://portal_core`` and wants no token. Raises
    ``NotConfigured`` where they can't be used, or could send a token to somebody else's proxy.
    """
    environ = os.environ if environ is None else environ
    token, file = environ.get("PORTAL_TOKEN", ""), environ.get("PORTAL_TOKEN_FILE", "")
    if url := environ.get("PORTAL_CORE_URL", ""):
        return settings_for(url, token, file)
    found = _from_proxy(_proxy_variable(environ))
    if found is None:
        return settings_for(ENTRANCE, token, file)
    if file or token not in {"", found.token}:
        raise NotConfigured(
            "PORTAL_TOKEN isn't the token in HTTP_PROXY, which may be the proxy of somebody else. "
            "Set PORTAL_CORE_URL to the Portal's address."
        )
    return found


def _proxy_variable(environ: Mapping[str, str]) -> str:
    if value := environ.get("http_proxy", ""):
        return value
    # In CGI a client's field "Proxy" becomes HTTP_PROXY: anybody could turn the calls to himself.
    return "" if "REQUEST_METHOD" in environ else environ.get("HTTP_PROXY", "")


def _from_proxy(value: str) -> Settings | None:
    """Read the value of ``HTTP_PROXY``; None where it has no token, so is no Portal's."""
    text = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(text)
        token = parts.password
    except ValueError as error:
        raise NotConfigured("HTTP_PROXY isn't an address.") from error
    if parts.scheme.lower() != "http" or not token:
        return None
    host = parts.netloc.rpartition("@")[2]
    return Settings(_origin(f"http://{host}"), token=_checked_token(unquote(token), "HTTP_PROXY"))


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise NotConfigured(f"The Portal's address can't be read: {error}") from error
    if "@" in parts.netloc:
        raise NotConfigured("The Portal's address has no name and token in it: use PORTAL_TOKEN.")
    if parts.scheme.lower() != "http" or not host:
        raise NotConfigured(f"{url!r} isn't the Portal's address: http://HOST:PORT or unix:PATH")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise NotConfigured(f"{url!r} has more than the Portal's host and port")
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}" if port is None else f"http://{shown}:{port}"


def _checked_token(token: str, where: str) -> str:
    if _TOKEN.fullmatch(token) is None:
        raise NotConfigured(f"{where}: that isn't a token, which is visible ASCII on one line.")
    return token


_here: ContextVar[Settings | None] = ContextVar("portal_peers_settings", default=None)
_everywhere: list[Settings] = []


def current() -> Settings:
    """Return the settings that hold where no others are given."""
    here = _here.get()
    if here is not None:
        return here
    return _everywhere[-1] if _everywhere else from_environment()


@contextmanager
def settings_here(settings: Settings) -> Iterator[None]:
    """Let ``settings`` hold within: for this task, or thread, and what it starts."""
    token = _here.set(settings)
    try:
        yield
    finally:
        _here.reset(token)


@contextmanager
def settings_everywhere(settings: Settings) -> Iterator[None]:
    """Let ``settings`` hold in the whole process, until the end of the context."""
    _everywhere.append(settings)
    try:
        yield
    finally:
        _everywhere.remove(settings)
