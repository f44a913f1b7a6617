"""How an envelope travels over HTTP: path, media types, fields, and the problem with its key.

Source: RFC 9458, sections 3 and 5.3; RFC 9540; draft-ietf-ohai-chunked-ohttp.
"""

from proxy.core.errors import Invalid
from proxy.core.http.headers import Field, Fields, values_of
from proxy.core.http.problem import KEY_PROBLEM, PROBLEM
from proxy.core.text_files.strict_json import parse_json

GATEWAY = b"/.well-known/ohttp-gateway"
KEY_LIST = b"application/ohttp-keys"
CHUNKED_REQUEST: Field = (b"content-type", b"message/ohttp-chunked-req")
CHUNKED_RESPONSE: Field = (b"content-type", b"message/ohttp-chunked-res")
INCREMENTAL: Field = (b"incremental", b"?1")
"""Asks whoever carries the message to pass its pieces on as they come."""
PROBLEM_LIMIT = 16384
"""Bytes of a problem document that are read to tell whether it is about the key."""


def media_type(fields: Fields) -> bytes:
    """Return the media type in lower case, without parameters; b"" where there isn't one."""
    values = values_of(fields, b"content-type")
    return values[0].partition(b";")[0].strip().lower() if len(values) == 1 else b""


def is_sealed_request(fields: Fields) -> bool:
    """Tell whether a request says that it is an envelope."""
    return media_type(fields) == CHUNKED_REQUEST[1]


def is_sealed_response(status: int, fields: Fields) -> bool:
    """Tell whether a response says that it is an envelope."""
    return status == 200 and media_type(fields) == CHUNKED_RESPONSE[1]  # noqa: PLR2004 - HTTP's OK


def may_be_key_problem(status: int, fields: Fields) -> bool:
    """Tell whether the body has to be looked at: a problem document with an error status."""
    return 400 <= status < 500 and media_type(fields) == PROBLEM  # noqa: PLR2004 - HTTP's 4xx


def is_key_problem(body: bytes) -> bool:
    """Tell whether a problem document says that the key configuration is out of date."""
    try:
        problem = parse_json("problem", body)
    except Invalid:
        return False
    return isinstance(problem, dict) and problem.get("type") == KEY_PROBLEM
