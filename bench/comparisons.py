"""What is compared with what: each comparison has its subjects, their work, and its ratios."""

import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import freeshard, nginx, portals, tls
from bench.crew import ROOT, Crew, NotStarted
from bench.endpoint import Endpoint
from bench.subjects import DIRECT, Apps, Running, Start, Subject, direct, hop, python
from bench.work import ALONE, DOWN, FAR_DOWN, FAR_UP, GET, GETS, HOP_CASES, POST, UP, Case

_BODIES = (DOWN, UP, FAR_DOWN, FAR_UP)
_CROWDS = GETS[3:]
"""What httpx would take most of a run for: its pool walks every connection at each request."""
_BARE = "bare_asyncio"
_PEER_DIRECT = "peer_direct"
_NO_AES_NO_SHA = "OPENSSL_ia32cap=~0x200000200000000:~0x60020000000"
"""Less AES, carry-less multiplication, SHA and their wide forms: OPENSSL_ia32cap(3)."""
_END = {GETS[4]: "c512", POST: "post"}
"""How rows of other cases than the usual one end."""


@dataclass(frozen=True)
class Pair:
    """One ratio: the CPU of ``ours`` over that of ``theirs``, on the same case."""

    row: str
    case: Case
    ours: str
    theirs: str
    column: str = ""
    """What they are called in the name; by default as the subject is."""

    @property
    def against(self) -> str:
        """What they are called."""
        return self.column or self.theirs

    @property
    def name(self) -> str:
        return f"{self.row}_vs_{self.against}"


@dataclass(frozen=True)
class Latency:
    """The median time that a hop adds to its app's, on one connection, over what theirs adds.

    Each of the two is a hop and what is asked without it.
    """

    name: str
    ours: tuple[str, str]
    theirs: tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """Subjects on the same work, each taking its turns in every round."""

    name: str
    subjects: tuple[Subject, ...]
    cases: tuple[Case, ...]
    pairs: tuple[Pair, ...]
    latencies: tuple[Latency, ...] = ()
    others: tuple[Pair, ...] = ()
    """Ratios of which neither side is ours: what machinery costs that decides less."""
    share: float = 1.0
    """Of the time that a run has for those that are still to come, this one counted."""

    @property
    def ours(self) -> frozenset[str]:
        """The names of our subjects: none of them may fail."""
        return frozenset(pair.ours for pair in self.pairs)


def hop_subjects() -> tuple[Subject, ...]:
    """Return our public hop and the others, each one process."""
    starts: dict[str, Start] = {
        "ours": portals.public_hop,
        "nginx": hop(nginx.start_hop),
        "asgiproxy": python("asgiproxy"),
        "fastapi_proxy_lib": python("fastapi_proxy_lib"),
        "aiohttp": python("aiohttp"),
    }
    large = Subject("nginx_64k", hop(partial(nginx.start_hop, large=True)), _BODIES)
    bare = Subject(_BARE, python("bare"), (GET, GETS[4], ALONE, POST))
    crowds = {"fastapi_proxy_lib": tuple(case for case in HOP_CASES if case not in _CROWDS)}
    return (
        *(Subject(name, start, crowds.get(name, HOP_CASES)) for name, start in starts.items()),
        large,
        bare,
    )


def comparisons(baseline: Path | None = None) -> tuple[Comparison, ...]:
    """Return all comparisons, with that of another revision of ours where ``baseline`` is one."""
    before = () if baseline is None else (_before(baseline),)
    usual = _streams(), _hop(), _tls(), _way_in(), _engine(), _without_aes()
    return _calls(), *before, *usual


def _before(tree: Path) -> Comparison:
    """Return what small requests cost, over what they cost the code in ``tree``."""
    hops: dict[str, tuple[Callable[[Path], Start], tuple[Case, ...]]] = {
        "public_hop": (lambda tree: partial(portals.public_hop, tree=tree), (GET, GETS[4], ALONE)),
        "signing_hop": (lambda tree: partial(portals.signing_hop, tree=tree), (GET, ALONE)),
        "verifying_hop": (lambda tree: partial(portals.verifying_hop, tree=tree), (GET, ALONE)),
        "sealed_call": (partial(portals.two_hops, "sealed"), (GET, POST)),
    }
    subjects = [Subject(DIRECT, direct, (ALONE,))]
    subjects.append(Subject(_PEER_DIRECT, portals.direct_to_peer, (ALONE,)))
    pairs, latencies = [], []
    for name, (start, cases) in hops.items():
        before = f"{name}_before"
        subjects += [Subject(name, start(ROOT), cases), Subject(before, start(tree), cases)]
        for case in cases:
            if case is ALONE:
                without = _PEER_DIRECT if name == "signing_hop" else DIRECT
                latencies.append(
                    Latency(f"p50_{name}_vs_baseline", (name, without), (before, without))
                )
            else:
                row = name if case is GET else f"{name}_{_END[case]}"
                pairs.append(Pair(row, case, name, before, column="baseline"))
    cases = (GET, GETS[4], POST, ALONE)
    return Comparison("baseline", tuple(subjects), cases, tuple(pairs), tuple(latencies), share=0.3)


def _without_aes() -> Comparison:
    """Return what large sealed bodies cost where the processor has no instructions for AES and SHA.

    OpenSSL is told that there are none. It has other ways, which a machine without them would take.
    """
    cases = (FAR_DOWN, FAR_UP)
    subjects = (
        Subject("without", _unaided(portals.two_hops("sealed")), cases),
        Subject("sealed", portals.two_hops("sealed"), cases),
        Subject("nginx_64k", partial(_two_nginx, large=True), cases),
    )
    pairs = tuple(
        Pair(f"sealed_without_aes_{case.name}", case, "without", peer.name)
        for case in cases
        for peer in subjects[1:]
    )
    return Comparison("without_aes", subjects, cases, pairs, share=0.08)


def _unaided(start: Start) -> Start:
    """Return how to start what ``start`` does where OpenSSL finds no such instructions."""

    def unaided(crew: Crew, apps: Apps) -> Running:
        env = shutil.which("env")
        if env is None or platform.machine() != "x86_64":
            raise NotStarted("only on x86_64 can OpenSSL be told to leave instructions alone")
        with crew.under((env, _NO_AES_NO_SHA)):
            return start(crew, apps)

    return unaided


def _hop() -> Comparison:
    """Return what an unsigned request on a public path costs."""
    subjects = hop_subjects()
    peers = [one.name for one in subjects[1:] if one.name not in {"nginx_64k", _BARE}]
    return Comparison(
        "hop",
        (*subjects, Subject(DIRECT, direct, (ALONE,))),
        HOP_CASES,
        _against("", subjects, HOP_CASES),
        tuple(
            Latency(f"p50_public_hop_vs_{peer}", ("ours", DIRECT), (peer, DIRECT)) for peer in peers
        ),
        tuple(Pair(name, GET, name, "nginx") for name in (_BARE, *peers) if name != "nginx"),
        share=0.36,
    )


def _calls() -> Comparison:
    """Return what a small call costs: whole, sealed and signed, and each signed hop alone."""
    small, alone = (GET, POST), (GET, POST, ALONE)
    subjects = (
        Subject("two_hops_sealed", portals.two_hops("sealed"), small),
        Subject("two_hops_signed", portals.two_hops("signed"), small),
        Subject("signing_hop", portals.signing_hop, alone),
        Subject("verifying_hop", portals.verifying_hop, alone),
        Subject("nginx", hop(nginx.start_hop), alone),
        Subject("asgiproxy", python("asgiproxy"), small),
        Subject("freeshard", freeshard.chain("cached"), (GET,)),
        Subject("freeshard_tuned", freeshard.chain("tuned"), (GET,)),
        Subject("freeshard_as_written", freeshard.chain("written"), (GET,), most=4),
        Subject(DIRECT, direct, (ALONE,)),
        Subject(_PEER_DIRECT, portals.direct_to_peer, (ALONE,)),
    )
    pairs = []
    for case, end in ((GET, ""), (POST, "_post")):
        pairs.append(
            Pair(f"sealed{end}", case, "two_hops_sealed", "two_hops_signed", column="signed")
        )
        for name in ("signing_hop", "verifying_hop"):
            pairs += [Pair(f"{name}{end}", case, name, peer) for peer in ("nginx", "asgiproxy")]
    chains = [one.name for one in subjects if one.name.startswith("freeshard")]
    for name in ("two_hops_signed", "two_hops_sealed"):
        pairs += [Pair(name, GET, name, chain) for chain in chains]
    latencies = (
        Latency("p50_signing_hop_vs_nginx", ("signing_hop", _PEER_DIRECT), ("nginx", DIRECT)),
        Latency("p50_verifying_hop_vs_nginx", ("verifying_hop", DIRECT), ("nginx", DIRECT)),
    )
    return Comparison("calls", subjects, alone, tuple(pairs), latencies, share=0.34)


def _streams() -> Comparison:
    """Return what large bodies cost through two hops: sealed, and others plain."""
    cases = (FAR_DOWN, FAR_UP)
    subjects = (
        Subject("sealed", portals.two_hops("sealed"), cases),
        Subject("nginx", partial(_two_nginx, large=False), cases),
        Subject("public", portals.two_public_hops, cases),
        Subject("nginx_64k", partial(_two_nginx, large=True), cases),
    )
    pairs = [
        Pair(f"{one}_{case.name}", case, one, peer.name)
        for case in cases
        for one in ("sealed", "public")
        for peer in subjects
        if peer.name not in {"sealed", one}
    ]
    return Comparison("streams", subjects, cases, tuple(pairs), share=0.14)


def _tls() -> Comparison:
    """Return what an unsigned request costs where the hop speaks TLS, on kept connections."""
    subjects = (Subject("ours", tls.public_hop, (GET,)), Subject("nginx", tls.nginx_hop, (GET,)))
    return Comparison("tls", subjects, (GET,), (Pair("tls_hop", GET, "ours", "nginx"),), share=0.04)


def _way_in() -> Comparison:
    """Return what our listener protocol costs."""
    work = (GET, POST, DOWN, UP)
    protocols = {"ours": "ours", "uvicorn_httptools": "httptools", "uvicorn_h11": "h11"}
    subjects = tuple(Subject(name, _answering(word), work) for name, word in protocols.items())
    return Comparison("way_in", subjects, work, _against("way_in_", subjects, work), share=0.09)


def _engine() -> Comparison:
    """Return what our engine costs."""
    work = (GET, POST, DOWN, UP)
    engines = {"ours": "hop", "httpx": "httpx"}
    subjects = tuple(Subject(name, python("engine", word), work) for name, word in engines.items())
    return Comparison("engine", subjects, work, _against("engine_", subjects, work), share=0.09)


def _against(before: str, subjects: Sequence[Subject], cases: Sequence[Case]) -> tuple[Pair, ...]:
    """Return the ratios of the first subject over each of the others."""
    ours, *others = subjects
    return tuple(
        Pair(before + _row(case, bare=bool(before)), case, ours.name, peer.name)
        for case in cases
        for peer in others
        if case in peer.cases
    )


def _row(case: Case, *, bare: bool) -> str:
    """Return what a case is called in the names of ratios."""
    if case.body != "small" or case.uploads:
        return case.name
    if bare:
        return "get"
    return "public_hop" if case is GET else f"public_hop_c{case.connections}"


def _two_nginx(crew: Crew, apps: Apps, *, large: bool) -> Running:
    """Start two hops of nginx, one behind the other, before each app; raises ``NotStarted``."""
    members = []
    endpoints = []
    for app in (apps.pages, apps.taker):
        inner = nginx.start_hop(crew, app.port, large=large)
        outer = nginx.start_hop(crew, inner.port, large=large)
        members += [inner, outer]
        endpoints.append(Endpoint(outer.port))
    return Running(endpoints[0], endpoints[1], tuple(members))


def _answering(protocol: str) -> Start:
    """Return how to start a server that has no app behind it."""

    def start(crew: Crew, _apps: Apps) -> Running:
        member = crew.start_python("way_in", protocol)
        return Running(Endpoint(member.port), Endpoint(member.port), (member,))

    return start
