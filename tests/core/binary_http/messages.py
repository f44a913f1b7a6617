"""Messages that must be refused, each beside a harmless twin that must be read: as data."""

from dataclasses import dataclass

from proxy.core.binary_http.reader import MAX_INFORMATIONAL
from proxy.core.http.headers import Field
from proxy.core.http1.grammar import MAX_FIELDS, MAX_HEAD
from tests.core.binary_http.forms import (
    FORMS,
    GET,
    REQUESTS,
    RESPONSES,
    Fields,
    Form,
    integer,
    lines,
    string,
)


@dataclass(frozen=True)
class Row:
    """``forged`` is refused with ``status``; ``twin`` is one message with ``content``."""

    name: str
    forged: bytes
    twin: bytes
    content: bytes = b"hello"
    method: bytes = b"GET"
    """What a response is the response to."""
    status: int = 400

    def __str__(self) -> str:
        return self.name


_HARMLESS = (b"x-a", b"b")


def _rows_with_field(name: str, field: Field, twin: Field = _HARMLESS) -> list[Row]:
    return [
        Row(f"{name} in a {form}", form.message([_HARMLESS, field]), form.message([twin]))
        for form in FORMS
    ]


def _fields() -> list[Row]:
    names = {
        "upper case": b"X-a", "a colon": b"x:a", "a space": b"x a", "a space at the end": b"x ",
        "NUL": b"x\0", "CR LF": b"x\r\ny", "LF, to look like two fields": b"x\ny\nz",
        "DEL": b"x\x7f", "a byte above ASCII": b"x\xff", "a slash": b"x/y",
    }  # fmt: skip
    values = {
        "NUL": b"a\0b", "CR LF": b"a\r\nx: y", "LF, to look like two fields": b"a\nx-b\nc",
        "LF": b"a\nb", "CR": b"a\rb", "LF at the end": b"a\n", "DEL": b"a\x7f", "ESC": b"\x1b[0m",
        "a space before it": b" a", "a space behind it": b"a ", "a tab before it": b"\ta",
        "a tab behind it": b"a\t", "nothing but a space": b" ",
    }  # fmt: skip
    pseudo = (b":method", b":scheme", b":authority", b":path", b":status", b":protocol")
    forbidden = (
        b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade",
        b"transfer-encoding", b"http2-settings", b"proxy-authorization", b"host", b"expect",
    )  # fmt: skip
    odd = (b"!#$%&'*+-.^_`|~09az", b"a \t\xff~!")
    rows = []
    for what, name in names.items():
        rows += _rows_with_field(f"a name with {what}", (name, b"b"), odd)
    for what, value in values.items():
        rows += _rows_with_field(f"a value with {what}", (b"x-b", value), (b"x-b", b""))
    for name in pseudo:
        rows += _rows_with_field(f"pseudo field {name.decode()}", (name, b"b"), (name[1:], b"b"))
    for name in forbidden:
        rows += _rows_with_field(name.decode(), (name, b"close"), (b"x-" + name, b"close"))
    return rows


def _content_length() -> list[Row]:
    length = b"content-length"
    bad: dict[str, Fields] = {
        "two content-lengths": [(length, b"5"), (length, b"5")],
        "a list as content-length": [(length, b"5, 5")],
        "a sign": [(length, b"+5")],
        "a leading zero": [(length, b"05")],
        "no digits": [(length, b"")],
        "hexadecimal": [(length, b"0x5")],
        "digits of another alphabet": [(length, b"\xd9\xa5")],
        "more digits than any length": [(length, b"5" * 16)],
        "content shorter than content-length": [(length, b"6")],
        "content longer than content-length": [(length, b"4")],
        "content where content-length is 0": [(length, b"0")],
    }
    return [
        Row(f"{what} in a {form}", form.message(fields), form.message([(length, b"5")]))
        for form in FORMS
        for what, fields in bad.items()
    ]


def _bodiless() -> list[Row]:
    length = [(b"content-length", b"5")]
    rows = []
    for form in RESPONSES:
        for method, status in ((b"HEAD", 200), (b"GET", 304), (b"GET", 204), (b"HEAD", 404)):
            name = f"content in a {form} to {method.decode()} with status {status}"
            control = (status,)
            announced = form.message(length, (), control)
            rows.append(Row(name, form.message(length, control=control), announced, b"", method))
            plain = form.message((), (), control)
            forged = form.message((), control=control)
            rows.append(Row(f"{name}, not announced", forged, plain, b"", method))
    return rows


def _control() -> list[Row]:
    method, scheme, authority, target = GET
    rest = (scheme, authority, target)
    bad = {
        "no method": (b"", *rest),
        "a method with a space": (b"GET /", *rest),
        "a method with LF": (b"GET\n", *rest),
        "CONNECT": (b"CONNECT", *rest),
        "no scheme": (method, b"", authority, target),
        "scheme ftp": (method, b"ftp", authority, target),
        "a scheme in upper case": (method, b"HTTPS", authority, target),
        "no authority": (method, scheme, b"", target),
        "an authority with a space": (method, scheme, b"a b", target),
        "an authority with CR LF": (method, scheme, b"a\r\nx: y", target),
        "an authority outside ASCII": (method, scheme, b"\xc3\xa4", target),
        "no target": (method, scheme, authority, b""),
        "a target without a slash": (method, scheme, authority, b"x"),
        "a target in absolute form": (method, scheme, authority, b"http://a.example/x"),
        "an asterisk": (b"OPTIONS", scheme, authority, b"*"),
        "a target with a space": (method, scheme, authority, b"/ HTTP/1.1"),
        "a target with LF": (method, scheme, authority, b"/\n"),
        "a target with NUL": (method, scheme, authority, b"/\0"),
        "a target outside ASCII": (method, scheme, authority, b"/\xc3\xa4"),
    }
    twin = (b"M-SEARCH", b"http", b"[::1]:8080", b"/;@?#")
    return [
        Row(f"{what} in a {form}", form.message(control=control), form.message(control=twin))
        for form in REQUESTS
        for what, control in bad.items()
    ]


def _statuses() -> list[Row]:
    rows = []
    for form in RESPONSES:
        for status in (0, 99, 600, 1000, 16384, 2**32 + 200, 2**62 - 1):
            forged = form.message(control=(status,))
            rows.append(Row(f"status {status} in a {form}", forged, form.message(control=(599,))))
        interim = integer(199) + form.section([(b"link", b"x")])
        final = form.message([_HARMLESS])
        early = final[:1] + interim + final[1:]
        for name, forged in {
            "101": final[:1] + integer(101) + form.section(()) + final[1:],
            "101 as the final status": form.message(control=(101,)),
            "199 as the final status": form.message(control=(199,)),
            "100 and nothing else": form.head(control=(100,)),
            "100 and no fields": form.control((100,)),
            "199 with a bad field": early.replace(b"link", b"Link"),
            "199 with a hop's field": early.replace(b"\4link", b"\4host"),
        }.items():
            rows.append(Row(f"{name} in a {form}", forged, early))
        most = final[:1] + interim * MAX_INFORMATIONAL + final[1:]
        more = final[:1] + interim * (MAX_INFORMATIONAL + 1) + final[1:]
        rows.append(Row(f"too many 1xx in a {form}", more, most))
    return rows


def head_of(form: Form, size: int) -> bytes:
    """Return a head of ``size`` bytes, nearly all of them in the value of one field."""
    around = len(form.control()) + len(b"\1x") + 4 + (4 if form.is_known else len(b"\0"))
    section = string(b"x") + string(b"y" * (size - around), 4)
    if form.is_known:
        return form.control() + string(section, 4)
    return form.control() + section + b"\0"


def _limits() -> list[Row]:
    rows = []
    for form in FORMS:
        most = [(b"x", b"")] * MAX_FIELDS
        more = form.message([*most, _HARMLESS])
        name = f"more than {MAX_FIELDS} fields in a {form}"
        rows.append(Row(name, more, form.message(most), status=431))
        behind = form.content([b"hello"]) + b"\0"
        largest, larger = (head_of(form, size) + behind for size in (MAX_HEAD, MAX_HEAD + 1))
        rows.append(Row(f"too large a head of a {form}", larger, largest, status=431))
    return rows


def _framing() -> list[Row]:
    rows = []
    for form in FORMS:
        twin = form.message()
        for indicator in (4, 63, 64, 2**62 - 1):
            forged = integer(indicator) + twin[1:]
            rows.append(Row(f"framing indicator {indicator} for a {form}", forged, twin))
        end = twin[:-1]
        for name, tail in {
            "trailers": form.section([(b"x", b"y")]),
            "trailers that announce much": integer(2**40),
            "padding with a byte that isn't zero": b"\0\0\0\1\0",
            "padding of ones": b"\0\1",
        }.items():
            rows.append(Row(f"{name} in a {form}", end + tail, end + bytes(99)))
        for width in (2, 4, 8):
            # any width may be chosen for any integer, the terminators' zero included
            wide = integer(form.indicator, width) + twin[1:-1] + integer(0, width)
            forged = wide[:-1] + b"\1"
            rows.append(Row(f"trailers in {width} bytes in a {form}", forged, wide))
        rows.append(Row(f"no bytes of a {form}", b"", twin))
    return rows


def _sections() -> list[Row]:
    """Field sections that end within a line, or lines that end before their section."""
    rows = []
    for form in FORMS:
        if not form.is_known:
            continue
        start, twin = form.control(), form.message([_HARMLESS])
        whole = lines([_HARMLESS])
        behind = form.content([b"hello"]) + b"\0"
        for name, section in {
            "a name without a value": b"\3x-a",
            "a name that is cut": b"\4x-a",
            "a value that is cut": whole[:-1],
            "a value that would reach the terminator": b"\1x\1",
            "a name of no bytes": whole + b"\0",
            "a name of no bytes with a value": b"\0\1b" + whole,
            "half an integer": whole + b"\x40",
            "only half an integer": b"\xc0\0",
        }.items():
            rows.append(Row(f"{name} in a {form}", start + string(section) + behind, twin))
    return rows


ROWS = [
    *_fields(), *_content_length(), *_bodiless(), *_control(), *_statuses(), *_limits(),
    *_framing(), *_sections(),
]  # fmt: skip
