"""What a web server says where a Portal's response was due, and which of its settings does it.

Nobody vouches for any of it: whoever is on the way can write it. So it changes what an owner is
told, and nothing else. What is quoted of it is short and plain ASCII.
"""

import re
from dataclasses import dataclass

from proxy.core.http.headers import Fields, values_of
from proxy.core.http.problem import refusal_mark

_LONGEST_NAME = 40
_LONGEST_CODE = 40
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+() -]*")
_ADDRESS = re.compile(
    rb"(https?)://([A-Za-z0-9._-]{1,253}(?::[0-9]{1,5})?)(?:[/?#].*)?", re.IGNORECASE
)

_FAMILIES = {
    "openresty": "nginx", "tengine": "nginx", "nginx": "nginx", "caddy": "Caddy",
    "traefik": "Traefik", "apache": "Apache", "cloudflare": "Cloudflare", "haproxy": "HAProxy",
}  # fmt: skip
"""By what ``Server`` begins with, in lower case."""
_USUAL = ("nginx", "Caddy", "Traefik")
"""Of which the settings are shown where nobody says which one it is."""

_BODY = {
    "nginx": "client_max_body_size 0;",
    "Caddy": "no max_size in request_body",
    "Traefik": "no maxRequestBodyBytes in a buffering middleware",
    "Apache": "LimitRequestBody 0",
    "Cloudflare": "its plan limits bodies: let it pass the name on as DNS alone",
}
_HEAD = {
    "nginx": "large_client_header_buffers 4 64k;",
    "Traefik": "maxHeaderBytes of the entry point",
    "Apache": "LimitRequestFieldSize 65536",
    "HAProxy": "tune.bufsize",
}
_HOST = {
    "nginx": "proxy_set_header Host $http_host;",
    "Caddy": "no header_up Host in reverse_proxy",
    "Traefik": "passHostHeader: true",
    "Apache": "ProxyPreserveHost On",
    "HAProxy": "no http-request set-header Host",
}
_ROUTE = {
    "nginx": "server_name, and proxy_pass in location /",
    "Caddy": "the site's name, and reverse_proxy in it",
    "Traefik": "a router with a rule for this Host, without a PathPrefix",
    "Apache": "ServerName or ServerAlias, and ProxyPass /",
}
_BEHIND = {
    "nginx": "proxy_pass must name the proxy's listen.public",
    "Caddy": "reverse_proxy must name the proxy's listen.public",
    "Traefik": "the service's url must name the proxy's listen.public",
    "Apache": "ProxyPass must name the proxy's listen.public",
}
_PATIENCE = {
    "nginx": "proxy_read_timeout 2m; and proxy_send_timeout 2m;",
    "Caddy": "no response_header_timeout in reverse_proxy's transport",
    "Traefik": "responseHeaderTimeout of the serversTransport",
    "Apache": "ProxyTimeout 120",
    "HAProxy": "timeout server 120s",
    "Cloudflare": "it waits for 100 s: let it pass the name on as DNS alone",
}
_SLOW = {
    "nginx": "client_body_timeout 2m;",
    "Traefik": "respondingTimeouts.readTimeout: 0",
    "Apache": "RequestReadTimeout body=0",
    "HAProxy": "timeout client 120s",
}
_LOGIN = {
    "nginx": "auth_request off; and auth_basic off;",
    "Caddy": "no forward_auth and basic_auth",
    "Traefik": "no forwardAuth or basicAuth middleware",
    "Apache": "Require all granted",
    "Cloudflare": "an Access policy that lets everybody pass",
}
_RATES = {
    "nginx": "limit_req and limit_conn",
    "Traefik": "the rateLimit and inFlightReq middlewares",
}


@dataclass(frozen=True)
class _Reason:
    """Why a web server says something, and the settings of each family that are about that."""

    what: str
    settings: dict[str, str]
    where: str = ""
    """What there is to do in whatever web server it is."""

    def hint(self, family: str) -> str:
        """Return what to set; in each of the usual ones where it doesn't say which it is."""
        names = [family] if family else _USUAL
        known = [f"in {name}: {self.settings[name]}" for name in names if name in self.settings]
        settings = "; ".join(setting.rstrip(";") for setting in known)
        return " ".join(filter(None, (_sentence(settings), self.where)))


_OTHER_HOST = _Reason(
    "the Portal's proxy was asked for a host that isn't its own",
    _HOST,
    "Or the address here isn't its public_url.",
)
_REASONS = {
    400: _Reason("it can't read the request", _HEAD, "Or it waits for TLS, or for none."),
    401: _Reason("it asks for a login", _LOGIN, "The Portal proves by itself who is calling."),
    403: _Reason(
        "it forbids that", _LOGIN, "Or one of its rules: by address, country or kind of client."
    ),
    404: _Reason("it has another site at this name, or none", _ROUTE),
    405: _Reason("it doesn't pass that method on, as a site of files does", _ROUTE),
    408: _Reason("the body came too slowly for it", _SLOW),
    411: _Reason("it takes no body without a length", {}, "It must pass bodies on in chunks."),
    413: _Reason("it takes no body of this size", _BODY),
    414: _Reason("it takes no path of this length", _HEAD),
    421: _Reason(
        "it has another site for the name in TLS than for the one in Host",
        _ROUTE,
        "Sites that share a certificate must all know this name.",
    ),
    426: _Reason("it wants another protocol", {}, "It must speak HTTP/1.1."),
    429: _Reason("it limits how often it is asked", _RATES),
    431: _Reason("it takes no head of this size", _HEAD),
    500: _Reason(
        "something in it fails, as where it holds a body and can't write", {}, "See its error log."
    ),
    501: _Reason("it doesn't pass such requests on", {}, "It must pass on every method and body."),
    502: _Reason("it can't reach the proxy behind it, or not read it", _BEHIND, "Does that run?"),
    503: _Reason("it has nothing behind it just now", _BEHIND, "Does the proxy run?"),
    504: _Reason("the proxy behind it was silent for too long", _PATIENCE),
}
_REASONS |= {
    520: _REASONS[502], 521: _REASONS[502], 522: _REASONS[504], 523: _REASONS[502],
    524: _REASONS[504],
    525: _Reason("TLS between it and the Portal's web server fails", {}),
    526: _Reason("it doesn't believe the certificate of the Portal's web server", {}),
}  # fmt: skip
"""By status; from 520 on they are Cloudflare's own."""
_UPGRADE = _Reason(
    "",
    {
        "nginx": "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
        "proxy_set_header Connection $connection_upgrade;",
        "Apache": "ProxyPass with upgrade=websocket",
        "Cloudflare": "WebSockets, under Network",
    },
)
_PAGE = _Reason("it has a page for people there: of another site, or a login", _ROUTE)
_REDIRECT_TO_TLS = _Reason(
    "it redirects to https", {}, "The address must begin with https; peers follow no redirect."
)
_OTHER = _Reason("it isn't a Portal that speaks there", _ROUTE)


def explain_unproven(status: int, fields: Fields, host: str = "") -> str:
    """Say, for an owner, who answered in a Portal's place, why, and what to set.

    ``fields`` are those of the response, ``host`` is what was asked for.
    """
    server = _server(fields)
    family = _family(server)
    before = f"A web server before it, which calls itself {server}," if server else "A web server"
    code = refusal_mark(fields).code[:_LONGEST_CODE]
    if code == "misdirected":
        name = f" ({server})" if server else ""
        why = f"{_OTHER_HOST.what}: a web server before it{name} seems to change Host"
        return f"{_sentence(why)} {_OTHER_HOST.hint(family)}"
    if code:
        return f"A Portal's proxy seems to refuse it: {code}."
    reason = _reason(status, fields, host)
    return f"{before} says {status}: {reason.what}. {reason.hint(family)}".rstrip()


def explain_dropped_upgrade(fields: Fields) -> str:
    """Say what to set where a request that asked for a WebSocket came without asking for it."""
    return (
        f"A web server before it must pass upgrades on. {_UPGRADE.hint(_family(_server(fields)))}"
    )


def _reason(status: int, fields: Fields, host: str) -> _Reason:
    if 300 <= status < 400:  # noqa: PLR2004 - redirects
        return _redirect(fields, host)
    if status in _REASONS:
        return _REASONS[status]
    if _is_page(fields):
        return _PAGE
    return _OTHER


def _redirect(fields: Fields, host: str) -> _Reason:
    """Return what a redirect is about; of its target nothing is shown but scheme and host."""
    targets = values_of(fields, b"location")
    match = _ADDRESS.fullmatch(targets[0]) if len(targets) == 1 else None
    if match is None:
        return _Reason("it redirects, as to a page where people log in", _LOGIN)
    scheme, to = match[1].decode("ascii").lower(), match[2].decode("ascii").lower()
    if scheme == "https" and to.partition(":")[0] == host.partition(":")[0].lower():
        return _REDIRECT_TO_TLS
    what = f"it redirects to {to}, as to a page where people log in"
    return _Reason(what, _LOGIN, "The Portal proves by itself who is calling.")


def _is_page(fields: Fields) -> bool:
    return any(b"html" in value.lower() for value in values_of(fields, b"content-type"))


def _server(fields: Fields) -> str:
    """Return how it calls itself, cut short, "" where that isn't plain."""
    values = values_of(fields, b"server")
    text = values[0].decode("latin-1")[:_LONGEST_NAME].strip() if values else ""
    return text if _PLAIN_NAME.fullmatch(text) else ""


def _family(server: str) -> str:
    name = server.lower()
    return next((family for begin, family in _FAMILIES.items() if name.startswith(begin)), "")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""
