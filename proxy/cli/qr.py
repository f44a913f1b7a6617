"""A QR code (ISO/IEC 18004) in a terminal: two rows of modules in each line of text."""

import sys

from proxy.cli.output import Stop

_QUIET = 4
"""Modules of quiet zone on each side, without which readers don't find the code."""
_BLOCKS = {(False, False): " ", (True, False): "\u2580", (False, True): "\u2584", (True, True): "█"}
"""By whether the upper and the lower module are drawn."""
_BLACK_ON_WHITE, _AS_BEFORE = "\x1b[30;107m", "\x1b[0m"


def show_qr(text: str, *, wanted: bool | None) -> None:
    """Print ``text`` as a QR code on stdout: at a terminal black on white, whatever its colours.

    Elsewhere it is drawn for dark text on light. Where nobody said whether it is ``wanted``, it is
    at a terminal that can show it.
    """
    if wanted is None:
        wanted = sys.stdout.isatty() and _is_showable()
    if not wanted:
        return
    if not _is_showable():
        raise Stop("no QR code: stdout's encoding has no such characters; try PYTHONUTF8=1")
    begin, end = (_BLACK_ON_WHITE, _AS_BEFORE) if sys.stdout.isatty() else ("", "")
    for line in qr_lines(text):
        print(f"{begin}{line}{end}")
    sys.stdout.flush()


def qr_lines(text: str) -> list[str]:
    """Return the lines of the QR code of ``text``, the quiet zone included."""
    import segno  # noqa: PLC0415 - only who draws one pays for it

    code = segno.make_qr(text, error="m")
    rows = [[bool(module) for module in row] for row in code.matrix_iter(border=_QUIET)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    return [
        "".join(_BLOCKS[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]


def _is_showable() -> bool:
    """Tell whether what stdout is encoded in has the characters that a QR code is made of."""
    try:
        "".join(_BLOCKS.values()).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
