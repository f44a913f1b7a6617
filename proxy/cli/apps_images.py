"""What "apps add --image" knows of container images: a service for compose, and well-known apps."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from proxy.cli.output import USAGE, Stop
from proxy.core.http.origin import Origin

_IMAGE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:/@-]{0,252}[A-Za-z0-9])?")
_TAG = re.compile(r"(?:@.*|:[^/]*)\Z")


@dataclass(frozen=True)
class KnownImage:
    """What an app needs behind a proxy, as docs/apps.md has it."""

    port: int
    host: str = ""
    """What it must be told as its ``Host``, where it takes certain names alone."""
    environment: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""
    """What its owner must see to."""


_NAMES = "portal_core, portal-core, shard_core"
_ASKS_NOBODY = "it asks nobody for a password who comes from its own machine: keep it private"
_KNOWN = {
    "syncthing": KnownImage(8384, host="localhost", advice=_ASKS_NOBODY),
    "transmission": KnownImage(9091, host="localhost", advice=_ASKS_NOBODY),
    "qbittorrent": KnownImage(8080, host="localhost", advice="change its password"),
    "qbittorrent-nox": KnownImage(8080, host="localhost", advice="change its password"),
    "registry": KnownImage(5000, environment={"REGISTRY_HTTP_RELATIVEURLS": "true"}),
    "node-red": KnownImage(
        1880, advice="its editor runs what anybody who reaches it writes: keep it private"
    ),
    "nginx": KnownImage(80, advice="set absolute_redirect off, or redirects name its own port"),
    "home-assistant": KnownImage(
        8123,
        advice="its http section needs use_x_forwarded_for, and the proxy among trusted_proxies",
    ),
}


def known_image(image: str) -> KnownImage | None:
    """Return what is known of an image, by the last part of its name; refuses what is no name."""
    if _IMAGE.fullmatch(image) is None:
        what = "expected an image such as ghcr.io/ada/guestbook:1"
        raise Stop(f"--image: {what}, not {image!r:.80}", status=USAGE)
    return _KNOWN.get(_TAG.sub("", image).rpartition("/")[2].lower())


def compose_service(
    name: str,
    image: str,
    port: int,
    upstream: Origin,
    environment: Mapping[str, str],
    entrance: str = "",
) -> str:
    """Return a compose file with the app's service, reachable for the proxy and nobody else.

    That is by a network that the proxy's service is on, too; or, for a proxy on the machine itself,
    at a port of loopback. ``entrance`` is the name at which the app comes in there; "" for none.
    """
    lines = ["services:", f"  {name}:", f"    image: {image}", "    restart: unless-stopped"]
    if environment:
        lines.append("    environment:")
        lines += [f'      {key}: "{value}"' for key, value in environment.items()]
    if _is_loopback(upstream.host):
        return "\n".join([*lines, f'    ports: ["{upstream.host}:{upstream.port}:{port}"]', ""])
    if not entrance:
        lines.append(f"    env_file: [{env_file(name)}]")
    lines.append("    networks:")
    lines.append(f"      {name}: {{aliases: [{upstream.host}]}}" if upstream.host != name else
                 f"      {name}: {{}}")  # fmt: skip
    lines += [
        "networks:",
        "  # Put the proxy's service on it, too, and nobody else"
        + (", by the names that the app calls it by:" if entrance else "."),
        *([f"  #   {name}: {{aliases: [{entrance}, {_NAMES}]}}"] if entrance else []),
        f"  {name}: {{}}",
    ]
    return "\n".join([*lines, ""])


def env_file(name: str) -> str:
    """Return where the service finds what the app calls with."""
    return f"{name}.env"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
