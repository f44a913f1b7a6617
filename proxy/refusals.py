"""Refusals of the small Starlette apps, in the one form that every refusal has."""

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from proxy.core.answers import refusal_answer
from proxy.core.errors import Code, Refusal
from proxy.request_log import shown

log = logging.getLogger("proxy.service")


async def refuse(request: Request, error: Exception) -> Response:
    """Answer Starlette's own errors in the one form that every refusal has."""
    if not isinstance(error, Refusal):
        status = error.status_code if isinstance(error, HTTPException) else 404
        code = {405: Code.METHOD_NOT_ALLOWED}.get(status, Code.NOT_FOUND)
        error = Refusal(code, "no such path or method")
    log.warning("%s %s refused: %s", request.method, shown(request.url.path.encode()), error)
    answer = refusal_answer(error)
    headers = {name.decode("ascii"): value.decode("ascii") for name, value in answer.fields}
    return Response(answer.body, answer.status, headers)
