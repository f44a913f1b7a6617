"""What ``check`` says about ``trusted_proxies`` of portal.yaml."""

from collections.abc import Iterator

from proxy.config.portal_yaml import Config
from proxy.core.errors import Problem

_PLACE = "trusted_proxies"


def doubts(file: str, config: Config) -> Iterator[Problem]:
    """Warn of trust that goes further than anybody means, or nowhere."""
    for network in config.trusted_proxies.networks:
        if network.prefixlen == 0:
            what = f"{network} is everybody: any client can tell apps any address, scheme and ID"
            yield Problem(file, _PLACE, what)
    if config.trusted_proxies.unix and not config.listen.public.unix:
        what = f"unix is for a unix socket, and listen.public is at {config.listen.public}"
        yield Problem(file, _PLACE, what)


def notices(file: str, config: Config) -> Iterator[Problem]:
    """Tell of what is right for some owners, and an oversight of others."""
    if not (config.is_plain_http or config.tls or config.trusted_proxies):
        what = (
            "is https, and this proxy speaks no TLS: if a web server before it does, name it under "
            f"{_PLACE}, or apps and the log take its address for that of every client"
        )
        yield Problem(file, "public_url", what)
