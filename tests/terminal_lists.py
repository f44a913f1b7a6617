"""Terminals for the tests of their files."""

from proxy.core.terminals.terminals import Terminal, TerminalList, token_digest

NOW = 1_700_000_000
PHONE = Terminal("abc123", "Phone", token_digest(b"phone"), NOW - 1000, NOW - 100)
LAPTOP = Terminal("123456", "Büro, \N{PERSONAL COMPUTER}", token_digest(b"laptop"), NOW - 900, NOW)
BOTH = TerminalList((PHONE, LAPTOP))
