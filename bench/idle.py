"""The memory of idle connections: resident bytes before and after, in a fresh process each."""

from bench.accounting import resident_bytes
from bench.crew import Crew, Member
from bench.load import Wire, Wrong, exchange
from bench.subjects import Apps, Subject
from bench.work import GET

CONNECTIONS = 1000
_WARM_SECONDS = 1.0
_MEGABYTE = 1e6


def measure_idle(subject: Subject, crew: Crew, apps: Apps) -> float:
    """Return the megabytes that 1,000 connections cost which were used once and are kept.

    Raises ``NotStarted`` and ``Wrong``.
    """
    member = subject.start(crew, apps.pages.port)
    wires: list[Wire] = []
    try:
        # What a server allocates once, for any load, isn't the idle connections'.
        _open(member, wires, 8)
        exchange(wires, _WARM_SECONDS)
        before = resident_bytes(member.process.pid)
        _open(member, wires, CONNECTIONS)
        return (resident_bytes(member.process.pid) - before) / _MEGABYTE
    except OSError as error:
        raise Wrong(f"{error}; its log: {member.last_words}") from None
    finally:
        for wire in wires:
            wire.close()
        crew.end(member)


def _open(member: Member, wires: list[Wire], count: int) -> None:
    """Open connections one after the other, so that the app behind sees one at a time."""
    request, answer = GET.request(member.host), GET.answer
    for _ in range(count):
        wire = Wire(member.port, request, answer)
        wires.append(wire)
        exchange([wire], 0.0)
