"""What the two Starlette apps (the owner's and the peer service) answer where they refuse."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from proxy.core.errors import Code, Refusal
from proxy.core.http.problem import refusal_response
from proxy.transfer.access_log import line_of


async def refuse(request: Request, error: Exception) -> Response:
    """Answer Starlette's own errors in the one form that every refusal has."""
    if not isinstance(error, Refusal):
        is_method = isinstance(error, HTTPException) and error.status_code == 405  # noqa: PLR2004
        code = Code.METHOD_NOT_ALLOWED if is_method else Code.NOT_FOUND
        error = Refusal(code, "no such path or method")
    line = line_of(request.scope)
    line.refuse(error)
    response = refusal_response(error, request_id=line.request_id)
    headers = {name.decode("ascii"): value.decode("ascii") for name, value in response.fields}
    return Response(response.body, response.status, headers)
