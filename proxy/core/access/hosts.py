"""Which of our hosts a request is for: the Portal itself or one of its apps, by ``Host``.

A Host that isn't ours is refused (421) before anything else is looked at. Nothing that is signed,
forwarded or decided is taken from the received Host beyond this choice. Where the owner has one
name alone, apps are named in envelopes and nowhere else: hosts below it may be anybody's.
Source: RFC 9110, sections 7.2 and 7.4.
"""

import re
from dataclasses import dataclass, field

from proxy.core.errors import Code, Refusal
from proxy.core.http.origin import Origin, is_dns_label

_HOST = re.compile(rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")

_MOST_LOCATED = 256
_Name = tuple[str, frozenset[str] | None]


@dataclass(frozen=True)
class Hosts:
    """The Portal's public origin, and further hosts (``host`` or ``host:port``) that are us.

    An alias without a port is us at any port: it stands for a proxy of the owner's that rewrites.
    """

    origin: Origin
    aliases: tuple[str, ...] = ()
    only: str | None = None
    """The one app that is served here; None serves all. Another's host isn't ours."""
    of_apps: bool = True
    """Whether apps have hosts that the world sees; without them only envelopes name an app."""
    _names: tuple[_Name, ...] = field(init=False, repr=False, compare=False)
    _located: dict[bytes, str | None] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    """Hosts that were found to be us, and whose they are; strangers can fill it, so it is small."""

    def __post_init__(self) -> None:
        names: list[_Name] = [(self.origin.host, frozenset({"", str(self.origin.port)}))]
        for alias in self.aliases:
            match = _HOST.fullmatch(alias.lower().encode("ascii"))
            if match is None:
                raise ValueError(f"{alias!r} isn't of the form host or host:port")
            port = match[2]
            names.append((match[1].decode("ascii"), frozenset({port.decode()}) if port else None))
        object.__setattr__(self, "_names", tuple(names))

    def locate(self, host: bytes) -> str | None:
        """Return the app that ``host`` names, or None for the Portal itself.

        Raises ``Refusal`` (``MISDIRECTED``). The app needn't exist; its name is a DNS label.
        """
        if host in self._located:
            return self._located[host]
        app = self._locate(host)
        if len(self._located) >= _MOST_LOCATED:
            self._located.clear()
        self._located[host] = app
        return app

    def _locate(self, host: bytes) -> str | None:
        match = _HOST.fullmatch(host)
        if match is None:
            raise self._not_ours(host)
        name, port = match[1].decode("ascii").lower(), (match[2] or b"").decode("ascii")
        for ours, ports in self._names:
            if ports is not None and port not in ports:
                continue
            if name == ours:
                return None
            app = name.removesuffix("." + ours)
            if app != name and is_dns_label(app) and self.only in (None, app):
                return app
        raise self._not_ours(host)

    def _not_ours(self, host: bytes) -> Refusal:
        hint = f"this Portal is {self.origin.authority}; does the web server in front pass Host on?"
        return Refusal(Code.MISDIRECTED, f"Host {host[:300]!r}: {hint}")

    def refuse_app(self, host: bytes, app: str | None) -> None:
        """Refuse ``host``, which names ``app``, as one that isn't ours if apps have no hosts.

        For what came in no envelope. Raises ``Refusal`` (``MISDIRECTED``).
        """
        if app is not None and not self.of_apps:
            raise Refusal(Code.MISDIRECTED, f"Host {host[:300]!r}: app_hosts is false")

    def leads_to(self, host: bytes, app: str) -> bool:
        """Tell whether ``host``, which may be anything, names ``app``."""
        try:
            return self.locate(host) == app
        except Refusal:
            return False
