"""The owner's terminals on disk: who they are, and the codes by which a new one is paired.

``format`` is the files' text, ``edits`` are the changes to the list, ``store`` is the list's file
that processes share, and a running proxy's view of it, ``pairing`` the codes' file.
"""

from proxy.state.terminals.edits import renamed, without_devices_of, without_terminal
from proxy.state.terminals.format import parse_terminals
from proxy.state.terminals.pairing import NewCode, PairingStore
from proxy.state.terminals.store import TerminalStore, TerminalWatch

__all__ = [
    "NewCode",
    "PairingStore",
    "TerminalStore",
    "TerminalWatch",
    "parse_terminals",
    "renamed",
    "without_devices_of",
    "without_terminal",
]
