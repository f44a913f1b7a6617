"""The environment by which an app finds its Portal, and the two forms in which it is written.

``HTTP_PROXY`` is what most HTTP libraries read. Who reads it has to know what isn't for the
proxy, which is no way to the internet: that is ``NO_PROXY``.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

from proxy.cli.output import USAGE, Stop
from proxy.core.access.call_routes import ECOSYSTEM_HOSTS
from proxy.core.text_files.text import shown

OF_APPS = ("PORTAL_CORE_URL", "PORTAL_TOKEN")
"""What is an app's alone, and begins as the variables of the proxy's own settings do."""

_LOOPBACK = ("127.0.0.1", "::1")
"""Not ``[::1]``, as undici would have it: with that httpx raises where a client is made."""
_LOCALHOST = "localhost"
_HTTPS = "*:443"
"""Node's undici sends https through ``HTTP_PROXY`` too where there is no ``HTTPS_PROXY``, or an
empty one. Up to 7.21 and from 8.11 on it reads this as every host at port 443; between these it
knows no star, and hosts have to be named, or the ends of their names. To other clients, as far as
they are known, it is the name of no host."""


_DIRECT = re.compile(r"[A-Za-z0-9.:_*/-]{1,255}")

NoProxy = Annotated[
    list[str] | None,
    typer.Option(
        "--no-proxy",
        metavar="HOST",
        help="A host that the app reaches without the proxy, as its database; repeatable.",
    ),
]


def environment_of(
    app: str,
    token: str,
    listener: str,
    *,
    peer_hosts: Iterable[str] = (),
    direct: Iterable[str] = (),
) -> dict[str, str]:
    """Return the variables of ``app``; ``listener`` is ``host:port`` as the app reaches it.

    ``direct`` is what else isn't for the proxy. ``peer_hosts`` are those of the peers that it may
    call: what stands for one of them is left out, since such a call would pass by the proxy.
    """
    names = [_LOCALHOST] if not any(map(_is_below_localhost, peer_hosts)) else []
    excepted = ",".join(dict.fromkeys((*names, *_LOOPBACK, _HTTPS, *direct)))
    through = f"http://{app}:{token}@{listener}"
    return {
        # curl reads the name in small letters alone, and others the one in capitals alone.
        "HTTP_PROXY": through,
        "http_proxy": through,
        "NO_PROXY": excepted,
        "no_proxy": excepted,
        "PORTAL_CORE_URL": f"http://{listener}",
        "PORTAL_TOKEN": token,
    }


def direct_hosts(hosts: Iterable[str]) -> list[str]:
    """Return what was typed as hosts; refuses what would keep the app's calls from the proxy."""
    found = [host for typed in hosts for host in typed.split(",")]
    for host in found:
        if _DIRECT.fullmatch(host) is None:
            expected = "expected a host, host:port, .domain or a network"
            raise Stop(f"--no-proxy: {expected}, not {shown(host)}", status=USAGE)
        if host in ECOSYSTEM_HOSTS or set(host) <= {"*", "."}:
            what = "then the app's calls would pass by the proxy, and reach nobody"
            raise Stop(f"--no-proxy {host}: {what}", status=USAGE)
    return found


def as_shell(variables: Mapping[str, str]) -> str:
    """Return lines that a shell can ``eval``."""
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    return "".join(lines)


def as_env_file(variables: Mapping[str, str]) -> str:
    """Return lines as ``env_file`` of Compose, ``docker run --env-file`` and Node read them.

    They know no quotes, or differ about them: no value may need any, nor does one of ours.
    """
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def _is_below_localhost(host: str) -> bool:
    """Tell whether most clients, which compare the ends of names, take this for ``localhost``."""
    return host == _LOCALHOST or host.endswith(f".{_LOCALHOST}")
