"""Names of fields by which a server or an app takes another request than the one that was judged.

Another path, mount point, method, scheme, host, address, caller or CGI variable than the request
line and the connection tell. The rules hold for what the request line says; who could say by a
field what is served in its place gets past them. So nobody's such field reaches an app, in any
spelling.

- A web server in front writes some of them, and an app behind it believes them. Here the proxy
  tells of the way by ``X-Forwarded-For``, ``-Proto``, ``-Host`` and ``Forwarded`` alone.
- Servers that give their apps a field as a variable give ``Script-Name`` and ``Script_Name`` as
  the same one. That is why a name is compared by its ``spelling``.
- Methods that a field overrides (``X-HTTP-Method-Override``) aren't among them: no rule looks at a
  method, so nobody gets past one, and programs of today send them.

The list ages: the tests ask real servers with each of its names, and with more.
"""

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
        b"x-astro-path", b"x-astro-locals", b"x-astro-middleware-secret",  # Astro on Vercel
        b"x-react-router-prerender-data", b"x-react-router-spa-mode",  # CVE-2025-43864, -43865
        b"x-opennext-initial-url", b"x-opennext-initial-path", b"x-opennext-resolved-routes",
        b"x-netlify-original-path", b"x-netlify-original-pathname", b"x-netlify-original-url",
        # a whole request in a field: what runs apps on AWS Lambda
        b"x-apigateway-event", b"x-apigateway-context", b"x-amzn-request-context",
        b"x-amzn-lambda-context",
        b"raw-request-uri",  # Akka, Pekko
        b"request-base",  # Dancer
        b"x-http2-path", b"x-http2-scheme", b"x-http2-stream-id",  # Netty
        b"x-webserver-context", b"x-modcfml-sharedkey",  # mod_cfml, beside x-tomcat-docroot
        b"x-auth-request-uri", b"x-auth-request-url", b"x-original-request", b"x-ms-request-url",
    }
) | frozenset(
    before + b"-" + what
    for before in (b"x-orig", b"x-original", b"x-override", b"x-proxied", b"x-proxy", b"x-real",
                   b"x-replaced", b"x-rewrite", b"x-rewritten")
    for what in (b"host", b"method", b"path", b"pathname", b"port", b"prefix", b"proto",
                 b"protocol", b"query", b"request-uri", b"scheme", b"uri", b"url")
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
        b"x-alt-host",
        b"x-proxied-https", b"proxy-ssl-id", b"proxy-auth-cert",  # Jetty
        b"wl-proxy-ssl", b"wl-proxy-client-cert", b"wl-proxy-client-keysize",  # WebLogic
        # WebSphere, which writes them with a $: scheme, host, port, address, user, certificate
        b"-wsat", b"-wscc", b"-wscs", b"-wsis", b"-wspc", b"-wspr", b"-wspt", b"-wsra", b"-wsrh",
        b"-wsru", b"-wssc", b"-wssi", b"-wssn", b"-wssp",
    }
)  # fmt: skip
_FORWARDED = frozenset(
    b"x-forwarded-" + what
    for what in (
        b"access-token", b"base", b"base-path", b"base-url", b"basepath", b"client-cert",
        b"client-ip", b"context", b"context-path", b"contextpath", b"http-method", b"mount",
        b"mount-path", b"original-path", b"original-uri", b"original-url", b"pathname",
        b"query-string", b"servlet-path", b"subpath", b"tls-client-cert", b"tls-client-cert-info",
        b"email", b"for-ip", b"for-original", b"groups",
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
_CALLERS = frozenset(
    {
        # What stands in front of an app with a log-in of its own tells by these who is calling. An
        # app.json sets one of them, and its app reads the others of the same product, too.
        b"remote-name", b"remote-email", b"remote-groups",  # Authelia; Remote-User is CGI's
        b"x-remote-user", b"x-remote-group", b"x-remote-groups", b"x-remote-email",
        b"x-remote-name", b"x-remote-uid", b"x-remote-extra-scopes", b"x-remote-user-id",
        b"x-remote-user-name", b"x-remote-user-display-name",  # Kubernetes, Home Assistant
        b"x-auth-request-user", b"x-auth-request-email", b"x-auth-request-groups",
        b"x-auth-request-preferred-username", b"x-auth-request-access-token",  # oauth2-proxy
        b"x-webauth-user", b"x-webauth-name", b"x-webauth-fullname", b"x-webauth-email",
        b"x-webauth-groups", b"x-webauth-role", b"x-webauth-roles",  # Grafana, Gitea
        b"x-authentik-username", b"x-authentik-email", b"x-authentik-groups",
        b"x-authentik-name", b"x-authentik-uid", b"x-authentik-entitlements",
        b"x-authenticated-user", b"x-authenticated-userid", b"x-authenticated-groups",
        b"x-consumer-id", b"x-consumer-custom-id", b"x-consumer-username",
        b"x-consumer-groups", b"x-credential-identifier", b"x-anonymous-consumer",  # Kong
        b"x-vouch-user", b"x-vouch-idp-claims-email", b"x-pomerium-claim-email",
        b"x-pomerium-claim-user", b"x-pomerium-claim-groups",
        b"x-goog-authenticated-user-email", b"x-goog-authenticated-user-id",
        b"cf-access-authenticated-user-email", b"x-amzn-oidc-identity",
        b"x-ms-client-principal", b"x-ms-client-principal-id", b"x-ms-client-principal-idp",
        b"x-ms-client-principal-name", b"x-arr-clientcert",  # Azure
        b"ms-aspnetcore-clientcert", b"ms-aspnetcore-token", b"ms-aspnetcore-winauthtoken",
        b"tailscale-user-login", b"tailscale-user-name", b"tailscale-user-profile-pic",
        b"ssl-client-cert", b"ssl-client-s-dn", b"ssl-client-subject-dn", b"ssl-client-verify",
        b"x-ssl-client-cert", b"x-ssl-client-cn", b"x-ssl-client-dn", b"x-ssl-client-s-dn",
        b"x-ssl-client-verify", b"x-client-cert", b"x-client-dn", b"x-client-verify",
        b"client-cert", b"client-cert-chain",  # RFC 9440
        b"auth-user", b"oidc-claim-sub", b"oidc-claim-email", b"oidc-claim-preferred-username",
        b"eppn", b"shib-session-id", b"sm-user", b"sm-universalid", b"sm-userdn",
        b"tls-session-info", b"remote-address",  # Akka, Pekko
        b"x-envoy-internal",
    }
)  # fmt: skip

OVERRIDE_FIELDS = (
    _CGI | _PATHS | _SCHEMES_AND_HOSTS | _FORWARDED | _ADDRESSES | _CALLERS
) - INTERMEDIARY
"""Each as its ``spelling``, less what is dropped before (``INTERMEDIARY``)."""


def is_override_field(name: bytes) -> bool:
    """Tell whether ``name`` (lower case) is such a field, in any spelling."""
    return spelling(name) in OVERRIDE_FIELDS
