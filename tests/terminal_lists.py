"""Terminals for the tests of their files."""

from proxy.core.terminals.terminals import Terminal, TerminalList, token_digest

NOW = 1_700_000_000
PHONE = Terminal("abc123", "Phone", token_digest(b"phone"), NOW - 1000, NOW - 100)
LAPTOP = Terminal("123456", "Büro, \N{PERSONAL COMPUTER}", token_digest(b"laptop"), NOW - 900, NOW)
CALENDAR = Terminal(
    "7k3n0t", "Phone's calendar", token_digest(b"calendar"), NOW - 800, NOW - 50, "calendar"
)
"""No browser: it comes to one app, by a token."""
BOTH = TerminalList((PHONE, LAPTOP))
WITH_TOKEN = TerminalList((PHONE, LAPTOP, CALENDAR))
