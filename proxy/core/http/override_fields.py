"""Names of fields by which a server or an app takes another request than the one that was judged.

Another path, mount point, method, scheme, host, address or CGI variable than the request line and
the connection tell. The rules hold for what the request line says; who could say by a field what
is served in its place gets past them. So nobody's such field reaches an app, in any spelling.

- A web server in front writes some of them, and an app behind it believes them. Here the proxy
  tells of the way by ``X-Forwarded-For``, ``-Proto``, ``-Host`` and ``Forwarded`` alone.
- Servers that give their apps a field as a variable give ``Script-Name`` and ``Script_Name`` as
  the same one. That is why a name is compared by its ``spelling``.
- Methods that a field overrides (``X-HTTP-Method-Override``) aren't among them: no rule looks at a
  method, so nobody gets past one, and programs of today send them.

The list ages: the tests ask real servers with each of its names, and with more.
"""

from functools import lru_cache

from proxy.core.http.headers import INTERMEDIARY, spelling

_CGI = frozenset(
    {
        # RFC 3875, and what Apache, nginx, IIS, PHP and gunicorn (``forwarder_headers``) add.
        b"auth-type", b"context-document-root", b"context-prefix", b"document-root",
        b"document-uri", b"gateway-interface", b"http-host", b"https", b"orig-path-info",
        b"orig-script-name", b"path-info", b"path-translated", b"php-self", b"query-string",
        b"raw-uri", b"redirect-path-info", b"redirect-query-string", b"redirect-status",
        b"redirect-url", b"remote-addr", b"remote-host", b"remote-ident", b"remote-port",
        b"remote-user", b"request-method", b"request-path", b"request-scheme", b"request-uri",
        b"script-filename", b"script-name", b"script-uri", b"script-url", b"server-addr",
        b"server-name", b"server-port", b"server-protocol", b"unencoded-url", b"wsgi-url-scheme",
        b"http-url", b"iis-wasurlrewritten", b"logon-user", b"root-path", b"wsgi-script-name",
    }
)  # fmt: skip
_PATHS = frozenset(
    {
        b"daphne-root-path",  # Daphne
        b"x-script-name",  # Radicale, the snippet "ReverseProxied" of Flask apps, Plack
        b"x-traversal-path",  # Plack, paste.proxy
        b"x-vhm-root", b"x-vhm-host",  # Pyramid, repoze.vhm
        b"x-tomcat-docroot", b"x-webobjects-adaptor-version", b"x-accel-mapping", b"x-sendfile",
        b"x-sendfile-type",  # Rack::Sendfile (CVE-2025-61780)
        b"x-accel-redirect", b"x-lighttpd-send-file", b"x-reproxy-url",
        # IIS, ARR and Azure; Symfony and Zend (CVE-2018-14773); nginx's recipes for auth_request
        b"x-original-path", b"x-original-pathname", b"x-original-prefix", b"x-original-query",
        b"x-original-request-uri", b"x-original-method", b"x-original-host", b"x-original-proto",
        b"x-original-scheme", b"x-original-for", b"x-original-remote-addr", b"x-original-uri-path",
        b"x-original-forwarded-for", b"x-original-forwarded-host", b"x-original-forwarded-proto",
        b"x-rewrite-uri", b"x-rewrite-path", b"x-override-url", b"x-override-uri",
        b"x-override-path", b"x-replaced-path", b"x-waws-unencoded-url", b"x-ms-original-url",
        b"x-iisnode-request-uri", b"x-appservice-proto", b"x-arr-ssl", b"x-arr-log-id",
        b"disguised-host", b"x-http-path-override", b"x-http-destinationurl",
        b"x-destination-path", b"x-auth-request-redirect", b"x-request-method",
        # how proxies of any kind tell an app where it is mounted
        b"x-base-href", b"x-base-path", b"x-base-url", b"x-base-uri", b"base-url", b"x-mount-path",
        b"x-mount-point", b"x-path-prefix", b"x-path-info", b"x-prefix", b"x-root-path",
        b"x-root-url", b"x-context-path", b"x-application-context", b"x-proxycontextpath",
        b"x-proxypath", b"x-proxy-path", b"x-proxy-prefix", b"x-proxy-url", b"x-proxyhost",
        b"x-proxyport", b"x-proxyscheme",  # Apache NiFi
        b"x-external-path", b"x-external-prefix", b"x-external-url", b"x-external-uri",
        b"x-ingress-path", b"x-hass-ingress-path",  # Home Assistant
        b"x-gateway-path", b"x-gateway-prefix", b"x-gateway-base-path", b"x-service-prefix",
        b"x-subpath", b"x-sub-path", b"x-url-prefix", b"x-uri-prefix", b"x-app-root",
        b"x-app-prefix", b"x-request-base", b"x-request-path", b"x-request-uri", b"x-request-url",
        b"x-real-uri", b"x-real-url", b"x-real-path", b"x-real-host",
        b"x-real-scheme", b"x-real-proto", b"x-script-url", b"x-script-uri",
        b"x-envoy-original-path", b"x-envoy-original-method", b"x-envoy-original-host",
        b"x-envoy-original-dst-host", b"x-envoy-original-url", b"x-envoy-decorator-operation",
        # Next.js and its like, on Vercel and elsewhere (CVE-2025-29927)
        b"x-matched-path", b"x-invoke-path", b"x-invoke-query", b"x-invoke-output",
        b"x-invoke-status", b"x-invoke-error", b"x-vercel-original-path",
        b"x-vercel-original-pathname", b"x-vercel-original-url", b"x-vercel-path",
        b"x-now-route-matches", b"x-vercel-invoke-path", b"x-nf-original-path",
        b"x-nf-original-pathname",
        b"x-nf-request-url", b"x-nf-original-request-uri", b"x-firebase-hosting-path",
        b"x-middleware-subrequest", b"x-middleware-subrequest-id", b"x-middleware-rewrite",
        b"x-middleware-next", b"x-middleware-redirect", b"x-middleware-invoke",
        b"x-middleware-set-cookie", b"x-middleware-override-headers",
        b"x-next-resume-state-length", b"x-nextjs-rewrite", b"x-nextjs-matched-path",
        b"x-rewritten-path", b"x-rewritten-query",
    }
)  # fmt: skip
_SCHEMES_AND_HOSTS = frozenset(
    {
        b"x-scheme", b"x-url-scheme", b"x-proto", b"x-http-scheme", b"x-https",
        b"x-ssl", b"front-end-https", b"x-client-scheme", b"x-client-proto", b"x-edge-proto",
        b"x-external-host", b"x-external-proto", b"x-external-scheme", b"x-host",
        b"x-host-override", b"x-http-host", b"x-http-host-override", b"x-original-url-host",
        b"x-proxied-host", b"x-proxy-host", b"x-proxy-port", b"x-proxy-proto", b"x-proxy-scheme",
        b"x-backend-host", b"x-backend-server", b"x-server-name", b"x-server-port",
        b"cloudfront-forwarded-proto", b"x-cloudfront-forwarded-proto", b"cf-visitor",
        b"x-alt-host", b"x-real-port",
    }
)  # fmt: skip
_FORWARDED = frozenset(
    b"x-forwarded-" + what
    for what in (
        b"access-token", b"base", b"base-path", b"base-url", b"basepath", b"client-cert",
        b"client-ip", b"context", b"context-path", b"email", b"for-ip", b"for-original", b"groups",
        b"host-name", b"hostname", b"https", b"method", b"original-host", b"path", b"path-prefix",
        b"pathbase", b"pathinfo", b"preferred-username", b"protocol", b"query", b"remote-addr",
        b"remote-user", b"request", b"request-uri", b"resource", b"root", b"root-path", b"schema",
        b"script-name", b"service", b"ssl-client", b"tlsversion", b"uri", b"url", b"user",
    )
)  # fmt: skip
_ADDRESSES = frozenset(
    {
        b"x-remote-ip", b"x-remote-addr", b"x-remote-host", b"x-cluster-client-ip",
        b"x-originating-ip", b"client-ip", b"true-client-ip", b"x-true-client-ip",
        b"cf-connecting-ip", b"cf-connecting-ipv6", b"cf-pseudo-ipv4", b"fastly-client-ip",
        b"fly-client-ip", b"x-envoy-external-address", b"x-azure-clientip", b"x-azure-socketip",
        b"x-appengine-user-ip", b"x-appengine-remote-addr", b"x-custom-ip-authorization",
        b"x-proxyuser-ip", b"x-forward-for", b"forwarded-for", b"forwarded-for-ip",
        b"x-nf-client-connection-ip", b"x-vercel-forwarded-for", b"x-vercel-proxied-for",
        b"x-bluecoat-via", b"x-source-ip", b"x-client-addr", b"x-peer-ip", b"x-forwarded",
        b"x-real-client-ip", b"x-clientip", b"x-realip", b"x-tailscale-client-ip",
        b"cloudfront-viewer-address", b"ali-cdn-real-ip", b"cdn-src-ip", b"wl-proxy-client-ip",
        b"proxy-client-ip", b"x-sucuri-clientip", b"incap-client-ip",
    }
)  # fmt: skip

OVERRIDE_FIELDS = (_CGI | _PATHS | _SCHEMES_AND_HOSTS | _FORWARDED | _ADDRESSES) - INTERMEDIARY
"""Each as its ``spelling``, less what is dropped before (``INTERMEDIARY``)."""
_KEPT = 1024


@lru_cache(maxsize=_KEPT)
def is_override_field(name: bytes) -> bool:
    """Tell whether ``name`` (lower case) is such a field, in any spelling."""
    return spelling(name) in OVERRIDE_FIELDS
