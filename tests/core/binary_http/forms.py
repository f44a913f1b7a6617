"""Messages in the four forms of RFC 9292, written here by its text and not by the writer's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.core.http.headers import Field

Fields = Sequence[Field]
GET = (b"GET", b"https", b"a.example", b"/x?y")
OK = (200,)
HELLO = (b"hello",)


def integer(value: int, width: int = 0) -> bytes:
    """Return a variable-length integer in ``width`` bytes, or in as few as it takes."""
    width = width or next(each for each in (1, 2, 4, 8) if value < 1 << (8 * each - 2))
    return (value | (width.bit_length() - 1) << (8 * width - 2)).to_bytes(width, "big")


def string(data: bytes, width: int = 0) -> bytes:
    """Return ``data`` with its length before it."""
    return integer(len(data), width) + data


def lines(fields: Iterable[Field]) -> bytes:
    """Return field lines."""
    return b"".join(string(name) + string(value) for name, value in fields)


@dataclass(frozen=True)
class Form:
    """A request or a response, of known or of indeterminate length."""

    is_request: bool
    is_known: bool

    @property
    def indicator(self) -> int:
        """The framing indicator."""
        return 2 * (not self.is_known) + (not self.is_request)

    def section(self, fields: Fields) -> bytes:
        """Return a field section."""
        return string(lines(fields)) if self.is_known else lines(fields) + b"\0"

    def content(self, pieces: Iterable[bytes]) -> bytes:
        """Return content; ``pieces`` aren't empty."""
        if self.is_known:
            return string(b"".join(pieces))
        return b"".join(map(string, pieces)) + b"\0"

    def control(self, control: Sequence[bytes | int] = ()) -> bytes:
        """Return the indicator and control data; without any given, those of a harmless message."""
        start = integer(self.indicator)
        for each in control or (GET if self.is_request else OK):
            start += integer(each) if isinstance(each, int) else string(each)
        return start

    def head(self, fields: Fields = (), control: Sequence[bytes | int] = ()) -> bytes:
        """Return all that precedes the content."""
        return self.control(control) + self.section(fields)

    def message(
        self,
        fields: Fields = (),
        pieces: Iterable[bytes] = HELLO,
        control: Sequence[bytes | int] = (),
    ) -> bytes:
        """Return a message without trailers or padding."""
        return self.head(fields, control) + self.content(pieces) + self.section(())

    def __str__(self) -> str:
        kind = "request" if self.is_request else "response"
        return f"{kind} of {'known' if self.is_known else 'indeterminate'} length"


FORMS = [Form(is_request, is_known) for is_request in (True, False) for is_known in (True, False)]
REQUESTS = [form for form in FORMS if form.is_request]
RESPONSES = [form for form in FORMS if not form.is_request]
