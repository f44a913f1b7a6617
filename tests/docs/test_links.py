"""What the documents name exists: links, files, commands, targets, keys; their examples parse."""

import re
from pathlib import Path

import pytest
import typer.main

from proxy.cli.root import with_commands
from proxy.config.app_settings import SettingsFile as AppSettings
from proxy.config.limits import LimitsFile
from proxy.config.listen import ListenFile
from proxy.config.portal_yaml import PortalFile, _TlsFile, load_config
from proxy.config.timeouts import TimeoutsFile
from proxy.core.access.manifest import parse_manifest
from proxy.core.text_files.schema import validate
from proxy.core.text_files.strict_json import parse_json
from proxy.core.text_files.strict_yaml import parse_yaml
from proxy.state.contacts.format import _CONTACT_KEYS, parse_contacts

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "clients").glob("*/README.md")),
]  # fmt: skip
_IDS = [str(page.relative_to(ROOT)) for page in PAGES]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FILE = re.compile(r"`((?:proxy|tests|docs|demo)/[\w./-]*)`")

pages = pytest.mark.parametrize("page", PAGES, ids=_IDS)


def _text(page: Path) -> str:
    return page.read_text("utf-8")


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", _text(page)), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"&\w+;", "", heading)).strip().lower().replace(" ", "-")
        for heading in headings
    }


def _code(page: Path) -> list[str]:
    """Return every code span, and every line of every block."""
    text = _text(page)
    blocks = [line for _, block in _FENCE.findall(text) for line in block.splitlines()]
    return [*blocks, *re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))]


@pages
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    missing = []
    for link in _LINK.findall(_FENCE.sub("", _text(page))):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            missing.append(link)
    assert not missing


@pages
def test_every_file_of_the_tree_that_is_named_exists(page: Path) -> None:
    assert [name for name in _FILE.findall(_text(page)) if not (ROOT / name).exists()] == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    linked = _LINK.findall(_text(folder / "README.md"))
    assert sorted(linked) == sorted(p.name for p in folder.glob("0*.md"))


@pages
def test_every_command_that_is_named_exists(page: Path) -> None:
    groups = {"peers", "apps", "terminals"}
    root = typer.main.get_group(with_commands())
    wrong = []
    for code in _code(page):
        for words in re.findall(r"portal-proxy((?: +(?:--config \S+|[a-z]+))*)", code):
            verbs = re.sub(r"--config \S+", "", words).split()
            if not verbs:
                continue
            command = root.commands.get(verbs[0])
            inner = getattr(command, "commands", {})
            alone = len(verbs) == 1
            if command is None or (verbs[0] in groups and not alone and verbs[1] not in inner):
                wrong.append(words.strip())
    assert not wrong


def test_the_guide_for_owners_names_every_command_and_its_options() -> None:
    text = _text(ROOT / "docs" / "operating.md")
    missing = []
    for name, command in typer.main.get_group(with_commands()).commands.items():
        verbs = getattr(command, "commands", None)
        for words, verb in (
            [(f"{name} {inner}", each) for inner, each in verbs.items()]
            if verbs
            else [(name, command)]
        ):
            row = next((r for r in text.splitlines() if f"| `portal-proxy {words}" in r), "")
            if words == "peers rename":
                row = next(r for r in text.splitlines() if "`portal-proxy peers rename" in r)
            options = {o for p in verb.params for o in p.opts if o.startswith("--")}
            missing += [f"{words} {o}" for o in options - {"--config", "--help"} if o not in row]
            missing += [] if row else [words]
    assert not missing


def test_every_make_target_that_is_named_exists_and_the_readme_names_all() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", _text(ROOT / "Makefile"), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for code in _code(page)
        for target in re.findall(r"\bmake ([a-z-]+)", code)
    }
    assert named == targets


def _examples(page: str, kind: str) -> list[tuple[str, str]]:
    """Return (file name, text) of each block that follows ``<!-- file: ... -->``."""
    pattern = rf"<!-- file: ([\w.]+) -->\n```{kind}\n(.*?)^```$"
    return re.findall(pattern, _text(ROOT / "docs" / page), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("file", "text"), [*_examples("operating.md", "yaml"), *_examples("apps.md", "yaml")]
)
def test_an_example_of_a_file_is_one_that_the_proxy_takes(
    file: str, text: str, tmp_path: Path
) -> None:
    if file == "portal.yaml":
        (tmp_path / file).write_text(text)
        assert load_config(tmp_path).name == "Ada"
    elif file == "contacts.yaml":
        assert parse_contacts(file, text.encode(), "p.getportal.org").peers
    else:
        assert validate(file, AppSettings, parse_yaml(file, text.encode())).upstream


def test_every_yaml_example_says_which_file_it_is() -> None:
    for page in PAGES:
        blocks = [kind for kind, _ in _FENCE.findall(_text(page)) if kind == "yaml"]
        assert len(blocks) == len(_examples(str(page), "yaml"))


def test_the_examples_of_app_json_are_taken_without_a_word() -> None:
    blocks = [
        text
        for kind, text in _FENCE.findall(_text(ROOT / "docs" / "for-app-authors.md"))
        if kind == "json"
    ]
    assert blocks
    for text in blocks:
        value = parse_json("app.json", text.encode())
        assert isinstance(value, dict)
        manifest = parse_manifest("app.json", value["name"], "app.json", text.encode())
        assert manifest.notices == ()


def test_the_guide_for_owners_has_every_key_of_every_file() -> None:
    text = _text(ROOT / "docs" / "operating.md")
    cells = re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)
    rows = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    keys = {
        *(set(PortalFile.model_fields) - {"listen", "tls", "timeouts", "limits"}),
        *(f"listen.{name}" for name in ListenFile.model_fields),
        *(f"tls.{name}" for name in _TlsFile.model_fields),
        *(f"limits.{name}" for name in LimitsFile.model_fields),
        *(f"timeouts.{name}" for name in TimeoutsFile.model_fields),
        *AppSettings.model_fields,
        *(f"peers[].{name}" for name in _CONTACT_KEYS),
        "apps.<app>",
    }
    assert keys <= rows


def test_the_table_of_attacks_names_files_that_are_there_and_every_table() -> None:
    page = (ROOT / "tests" / "attacks" / "README.md").read_text("utf-8")
    named = set(re.findall(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+\.(?:py|json))`", page))
    there = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.*")]
    assert {name for name in named if not any(f"/{p}".endswith(f"/{name}") for p in there)} == set()
    tables = {path.stem for path in (ROOT / "tests" / "attacks").glob("*.json")}
    assert [table for table in tables if f"`{table}" not in page] == []
