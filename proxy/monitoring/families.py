"""The names of all that is told just now, and how one number is made of several workers'."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

PREFIX = "portal_"


class Family(NamedTuple):
    """What figures of one name have in common."""

    meaning: str
    labels: tuple[str, ...] = ()
    combine: Callable[[Iterable[float]], float] | None = sum
    """Makes one number of all workers'; None tells each worker's, with its number as a label."""
    is_counter: bool = False


FIGURES = {
    "running": Family(
        "Requests that run: of kind request until their response begins, stream from then on, "
        "websocket once they are one.",
        ("listener", "app", "kind"),
    ),
    "connections": Family("Connections of clients that are open.", ("listener",)),
    "documents": Family("Identity documents of peers that are kept.", (), max),
    "apps": Family("Apps that are served.", (), max),
    "peers": Family("Contacts in the contact list.", (), max),
    "terminals": Family("Devices of the owner's.", (), max),
    "ready": Family("1 where all is well, as /readyz has it.", (), min),
    "problems": Family("What is wrong just now, as /readyz tells it.", (), max),
    "file_ok": Family("1 where the newest form of the file is in use.", ("file",), min),
    "reloads": Family("Changes of files that were taken over.", ("file",), max, is_counter=True),
    "replay_store_up": Family("1 where calls of peers can be carried out.", (), min),
    "replay_store_bytes": Family("Bytes of the replay store on disk.", (), max),
    "sealing_keys": Family("Sealing keys that are there.", (), max),
    "sealing_key_expiry_timestamp_seconds": Family(
        "Until when the offered sealing key may be used, 0 where none is offered.", (), max
    ),
    "certificate_expiry_timestamp_seconds": Family(
        "When the public listener's certificate expires.", (), min
    ),
    "log_lines_dropped": Family(
        "Lines of the log that couldn't be written.", ("worker",), None, is_counter=True
    ),
    "cpu_seconds": Family("CPU time, in seconds.", ("worker",), None, is_counter=True),
    "memory_bytes": Family("Resident memory.", ("worker",), None),
    "start_timestamp_seconds": Family("When the process began to serve.", ("worker",), None),
    "tasks": Family("Tasks in the event loop.", ("worker",), None),
}
