"""Django in one file, for WSGI and for ASGI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path, re_path

if TYPE_CHECKING:
    from django.http import HttpRequest

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    USE_X_FORWARDED_HOST=True,
    USE_X_FORWARDED_PORT=True,
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
)
_NAMES = ("REQUEST_METHOD", "PATH_INFO", "SCRIPT_NAME", "REMOTE_ADDR", "REMOTE_USER",
          "SERVER_NAME", "QUERY_STRING", "SCRIPT_URL", "REDIRECT_URL")  # fmt: skip


def seen(request: HttpRequest, page: str) -> JsonResponse:
    facts = {
        "page": page,
        "method": request.method,
        "path": request.path,
        "inner": request.path_info,
        "url": request.build_absolute_uri(),
        **{name: request.META.get(name) for name in _NAMES},
    }
    return JsonResponse(facts)


urlpatterns = [
    path("private/secret", seen, {"page": "private"}),
    re_path("^public/", seen, {"page": "public"}),
    re_path("", seen, {"page": "other"}),
]
app = get_wsgi_application()
asgi = get_asgi_application()
