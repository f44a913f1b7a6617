"""The clients, and what each needs in each form to call a peer."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.more.apps.stage import ENVIRONMENT

HERE = Path(__file__).parent
_PYTHON = str(ENVIRONMENT / "bin" / "python")


class Form(Enum):
    """How a call is made; the value is the head of its column."""

    PROXY = "proxy"
    CONNECT = "CONNECT"
    PATH = "path"
    ENTRANCE = "entrance"


@dataclass(frozen=True)
class Way:
    """What a client needs in one form; ``how`` stands in the table."""

    how: str = "as it is"
    calls: bool = True
    """Whether its program calls so; the program of one that doesn't may not reach the peer so."""
    refuses: bool = False
    """Whether the program is tried nevertheless, and must fail without a trace at the peer."""


@dataclass(frozen=True)
class Client:
    """A client; its program is ``command``, which is followed by a form and URLs."""

    name: str
    command: tuple[str, ...]
    program: str
    """The file that its row leads to."""
    version: tuple[str, ...]
    """What prints its version."""
    proxy: Way
    connect: Way
    path: Way
    entrance: Way = Way()
    core: str = "portal_core"
    """The name by which it asks its Portal."""
    needs: Path | None = None
    """What is there where it was installed."""
    is_git: bool = False
    """Whether it clones a repository and pushes to it, in place of asking for pages."""

    def way(self, form: Form) -> Way:
        return {
            Form.PROXY: self.proxy,
            Form.CONNECT: self.connect,
            Form.PATH: self.path,
            Form.ENTRANCE: self.entrance,
        }[form]

    @property
    def missing(self) -> str | None:
        """What it needs that isn't here."""
        if shutil.which(self.command[0]) is None:
            return self.command[0]
        if self.needs is not None and not self.needs.exists():
            return self.needs.name
        return None


_NO_TUNNEL = Way("never: it opens tunnels for `https://` alone", calls=False)
_WITHOUT_TUNNEL = Way("`proxyTunnel: false`; without it, it may open a tunnel, which works as well")
_FIELD = Way("with `Portal-Token`")
_SMALL = Way("as it is; it reads `http_proxy` in small letters alone")


def _shell(name: str, *, proxy: Way, connect: Way = _NO_TUNNEL, path: Way) -> Client:
    program = f"shell/{name}.sh"
    command = ("sh", str(HERE / program))
    return Client(
        name, command, program, (name, "--version"), proxy, connect, path,
        needs=Path(shutil.which(name) or f"/usr/bin/{name}"), is_git=name == "git",
    )  # fmt: skip


def _python(name: str, proxy: Way) -> Client:
    program = f"python/by_{name}.py"
    command = (_PYTHON, str(HERE / program))
    shows = f"import {name}; print({name}.__version__)"
    if name == "urllib":
        shows = "import platform; print('Python', platform.python_version())"
    return Client(
        name, command, program, (_PYTHON, "-c", shows), proxy, _NO_TUNNEL, _FIELD,
        needs=ENVIRONMENT / "installed",
    )  # fmt: skip


def _node(name: str, program: str, *words: str, proxy: Way, connect: Way, package: str) -> Client:
    program = f"node/{program}.mjs"
    command = ("node", str(HERE / program), *words)
    modules = HERE / "node" / "node_modules"
    shows = f"console.log(JSON.parse(fs.readFileSync('{modules}/{package}/package.json')).version)"
    if package == "node":
        shows = "console.log('Node ' + process.versions.node)"
    return Client(
        name, command, program, ("node", "-e", shows), proxy, connect, _FIELD,
        needs=modules / "installed",
    )  # fmt: skip


CLIENTS = (
    _shell(
        "curl",
        proxy=_SMALL,
        connect=Way("`--proxytunnel`"),
        path=_FIELD,
    ),
    _shell("wget", proxy=_SMALL, path=_FIELD),
    _shell(
        "git",
        proxy=_SMALL,
        path=Way("with `Portal-Token`, by `http.extraHeader`"),
    ),
    _python("requests", Way()),
    _python("httpx", Way()),
    _python("urllib", Way()),
    _python("aiohttp", Way("`trust_env=True`")),
    _node(
        "Node `fetch`", "fetch", package="node",
        proxy=Way(
            "no, it reads no `HTTP_PROXY` (later ones do, see below): take undici's `fetch`, or "
            "another form",
            calls=False, refuses=True,
        ),
        connect=Way("no: take undici's `fetch`, or another form", calls=False, refuses=True),
    ),
    _node(
        "Node `http`", "http", package="node",
        proxy=Way("by hand: the whole URL as `path`, and `Proxy-Authorization`"),
        connect=Way("the agent of `https-proxy-agent`"),
    ),
    _node(
        "undici `ProxyAgent`", "undici", "ProxyAgent", package="undici",
        proxy=_WITHOUT_TUNNEL, connect=Way("`proxyTunnel: true`"),
    ),
    _node(
        "undici `EnvHttpProxyAgent`", "undici", "EnvHttpProxyAgent", package="undici",
        proxy=_WITHOUT_TUNNEL, connect=Way("`proxyTunnel: true`"),
    ),
    _node(
        "axios", "axios", package="axios",
        proxy=Way(), connect=Way("the agent of `https-proxy-agent`, and `proxy: false`"),
    ),
    Client(
        "Java `HttpClient`", ("java", str(HERE / "java/Call.java")), "java/Call.java",
        ("java", "--version"),
        proxy=Way("`proxy` and `authenticator` of its builder; it reads no `HTTP_PROXY`"),
        connect=_NO_TUNNEL, path=_FIELD,
        entrance=Way("as `portal-core`: a name with an underscore is none to it"),
        core="portal-core",
    ),
    Client(
        "Go `net/http`", ("go", "run", str(HERE / "go/call.go")), "go/call.go", ("go", "version"),
        proxy=Way("as it is; a transport of your own needs `Proxy: http.ProxyFromEnvironment`"),
        connect=_NO_TUNNEL, path=_FIELD,
    ),
    Client(
        "PHP streams", ("php", str(HERE / "php/call.php")), "php/call.php", ("php", "--version"),
        proxy=Way("`proxy`, `request_fulluri` and `Proxy-Authorization` in its context"),
        connect=_NO_TUNNEL, path=_FIELD,
    ),
    Client(
        "Ruby `Net::HTTP`", ("ruby", str(HERE / "ruby/call.rb")), "ruby/call.rb",
        ("ruby", "--version"), proxy=Way(), connect=_NO_TUNNEL, path=_FIELD,
    ),
)  # fmt: skip
