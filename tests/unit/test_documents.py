"""What README and documents say is true: links, paths, make targets, commands, options, tests, layouts, words."""

from __future__ import annotations

import importlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from piranha.cli.main import COMMANDS
from piranha.config.semantics import check_text
from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.tables import Capacity

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("bench/*.md")])
DATAPLANE = ROOT / "docs" / "design" / "dataplane.md"
COUNTERS = ROOT / "docs" / "operate" / "counters.md"

README_LINES = 60
ADR_LINES = 50
PATH_SUFFIXES = (".py", ".h", ".c", ".md", ".sh", ".toml", ".svg")
TOP_FOLDERS = ("bpf", "src", "docs", "tests", "tools", "bench", ".ci")
BUILT = ("bench/results",)
"""What a page may name though a fresh clone does not have it."""
SKIPPED_FOLDERS = {".venv", ".git", "build", "dist", "node_modules"}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    return _SPAN.findall(prose(page))


def command_lines(page: Path) -> Iterator[str]:
    """Every piece of shell in a page: code spans, and lines of blocks that name no other language."""
    yield from spans(page)
    for language, block in _FENCE.findall(page.read_text()):
        if language in ("", "sh"):
            for line in block.splitlines():
                for part in re.split(r"&&|;|(?<=\S) {2,}", line.partition(" #")[0]):
                    yield part.strip()


def anchors(page: Path) -> set[str]:
    """As the usual renderers make them of headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


# ---- links and paths ----


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), f"{target} leads nowhere"
        assert to.is_relative_to(ROOT), f"{target} leads out of the repository"
        assert not anchor or anchor in anchors(to), f"{target}: no such heading"


def repository_files() -> set[str]:
    return {
        str(path.relative_to(ROOT))
        for folder in (*TOP_FOLDERS, ".")
        for path in ((ROOT / folder).rglob("*") if folder != "." else ROOT.glob("*"))
        if not SKIPPED_FOLDERS & set(path.relative_to(ROOT).parts)
    }


def is_path(span: str) -> bool:
    if any(letter in span for letter in " …$<>\\=(\"'") or span.startswith(("/", "~", "-")) or "NAME" in span:
        return False
    return span.split("/")[0] in TOP_FOLDERS or span.endswith(PATH_SUFFIXES)


def exists(span: str, files: set[str]) -> bool:
    """A path from the root, a pattern, or the end of a path (`conn.h`, `probes/tcp.py`)."""
    span = span.rstrip("/")
    if span in BUILT:
        return True
    if "*" in span:
        return any(ROOT.glob(span))
    return span in files or any(file.endswith(f"/{span}") for file in files)


@each_page
def test_every_path_is_there(page: Path) -> None:
    files = repository_files()
    missing = [span for span in spans(page) if is_path(span) and not exists(span, files)]
    assert not missing


@each_page
def test_every_test_named_is_there(page: Path) -> None:
    named = {span for span in spans(page) if re.fullmatch(r"test_\w+", span)}
    written = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^ *(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert not named - written


# ---- commands ----


@each_page
def test_every_make_target_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in command_lines(page):
        if match := re.match(r"(?:sudo )?make ([a-z-]+)", line):
            assert match[1] in targets, line


def find_command(words: list[str]) -> tuple[click.Command, list[click.Command], list[str]]:
    """The innermost command that `words` begin with, the groups above it, and the words behind it."""
    module, _, name = COMMANDS[words[0]][0].partition(":")
    command: click.Command = getattr(importlib.import_module(module), name)
    above: list[click.Command] = []
    rest = words[1:]
    while isinstance(command, click.Group):
        # Options of a group stand before its subcommand, each with a value.
        before = 0
        while before < len(rest) and rest[before].startswith("-"):
            before += 2
        if before >= len(rest) or (rest[before].isupper() and rest[before].isalpha()):
            break
        inner = command.commands.get(rest[before])
        assert inner is not None, f"piranha {' '.join(words)}: no such command"
        above.append(command)
        command, rest = inner, [*rest[:before], *rest[before + 1 :]]
    return command, above, rest


def assert_command_exists(words: list[str]) -> None:
    assert words[0] in COMMANDS, f"piranha {' '.join(words)}: no such command"
    command, above, rest = find_command(words)
    known = {"--help", "-h"} | {o for c in (*above, command) for p in c.params for o in (*p.opts, *p.secondary_opts)}
    ours = rest[: rest.index("--")] if "--" in rest else rest
    for word in ours:
        option = word.partition("=")[0]
        assert not option.startswith("-") or option in known, f"piranha {' '.join(words)}: no option {option}"


@each_page
def test_every_command_and_option_is_there(page: Path) -> None:
    for line in command_lines(page):
        for match in re.finditer(r"(?<![\w./`=-])piranha ([a-z][^`]*)", line):
            words = match[1].rstrip(".:,").split()
            # "setup|check|undo" are three commands.
            if not re.fullmatch(r"[a-z|-]+", words[0]):
                continue
            place = next((i for i, word in enumerate(words[:2]) if "|" in word), None)
            for choice in words[place].split("|") if place is not None else [None]:
                spelled = [choice if i == place and choice is not None else word for i, word in enumerate(words)]
                assert_command_exists(spelled)


@pytest.mark.parametrize(
    "words", ["nonsense", "config nonsense", "status --nonsense", "lab --prefix x- nonsense", "services --stat"]
)
def test_a_command_that_is_not_there_is_noticed(words: str) -> None:
    with pytest.raises(AssertionError, match="no "):
        assert_command_exists(words.split())


# ---- sizes and pictures ----


def test_readme_is_one_screen_with_a_picture() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES
    assert "](docs/picture.svg)" in text
    assert ElementTree.parse(ROOT / "docs" / "picture.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda page: page.name)
def test_a_decision_is_a_page_at_most_and_listed(page: Path) -> None:
    text = page.read_text()
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", page.name)
    assert text.startswith(f"# {page.name[:4]} ")
    assert all(f"\n## {part}\n" in text for part in ("Context", "Decision", "Consequences"))
    assert len(text.splitlines()) <= ADR_LINES
    assert f"(adr/{page.name})" in (ROOT / "docs" / "README.md").read_text()


def test_every_page_can_be_found_from_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    linked = set(_LINK.findall(index))
    for inner in [link for link in linked if link.startswith("reference/") and link.endswith("/README.md")]:
        folder = inner.removesuffix("README.md")
        linked |= {folder + link for link in _LINK.findall((ROOT / "docs" / inner).read_text())}
    assert pages <= linked


def test_the_configuration_in_the_readme_is_good() -> None:
    (text,) = (block for _, block in _FENCE.findall((ROOT / "README.md").read_text()) if "virtual" in block)
    parsed = check_text(text, file="README.md")
    assert not parsed.problems


# ---- layouts, sizes and words of the data plane ----


@pytest.mark.parametrize("name", ["conn", "dest", "service", "nexthop"])
def test_layouts_are_those_of_the_code(name: str) -> None:
    section = DATAPLANE.read_text().partition(f"### struct {name}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| `(\w+)` \|", section, re.MULTILINE)
    documented = {field: (int(offset), int(size)) for offset, size, field in rows}
    fields = abi.LAYOUTS[name].fields
    assert fields is not None
    actual = {field: (entry[1], entry[0].itemsize) for field, entry in fields.items()}
    assert documented == {field: place for field, place in actual.items() if field not in ("reserved", "pad")}


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_sizes_of_tables_are_those_of_the_code() -> None:
    text = DATAPLANE.read_text()
    capacity, entries = Capacity(), Capacity().entries()
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\| ([\d,]+) \|$", text, re.MULTILINE))
    named = {name: number(size) for name, size in rows.items() if name in entries}
    assert set(named) >= {"conn_tags", "conns", "rev_tags", "dests", "services", "slots"}
    assert named == {name: entries[name] for name in named}
    bytes_each = (
        entries["conns"] * abi.CONN.itemsize
        + entries["conn_tags"] * abi.CONN_LINE.itemsize
        + entries["rev_tags"] * abi.REV_LINE.itemsize
    ) / capacity.connections
    limits = text.partition("## Limits")[2]
    said = re.search(r"\| connections \| ([\d,]+), at ([\d.]+) bytes", limits)
    assert said is not None
    assert number(said[1]) == capacity.connections
    assert abs(float(said[2]) - bytes_each) < 0.05
    decision = (ROOT / "docs" / "adr" / "0001-flat-connection-table.md").read_text()
    assert f"{said[2]} bytes of map memory for each connection" in decision


def test_timeouts_are_those_of_the_code() -> None:
    table = re.search(r"^\| (ESTABLISHED .*) \|\n\|[-|]+\|\n\| (.*) \|$", DATAPLANE.read_text(), re.MULTILINE)
    assert table is not None
    documented = dict(zip(table[1].split(" | "), map(int, table[2].split(" | ")), strict=True))
    assert documented == {**dict(abi.TCP_STATES), "UDP": abi.UDP_TIMEOUT_S}


def test_sctp_timeouts_are_those_of_the_code() -> None:
    table = re.search(r"^\| SCTP: (NONE .*) \|\n\|[-|]+\|\n\| (.*) \|$", DATAPLANE.read_text(), re.MULTILINE)
    assert table is not None
    documented = list(zip(table[1].split(" | "), map(int, table[2].split(" | ")), strict=True))
    assert documented == list(abi.SCTP_STATES)


@pytest.mark.parametrize("page", [DATAPLANE, COUNTERS], ids=lambda page: page.name)
def test_every_reason_is_explained(page: Path) -> None:
    enum = re.search(r"enum reason \{(.*?)\};", (ROOT / "bpf" / "abi.h").read_text(), re.DOTALL)
    assert enum is not None
    words = [name.lower() for name in re.findall(r"REASON_(\w+)", enum[1]) if name != "COUNT"]
    section = page.read_text().partition("\n## Reasons\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == words


def test_the_unit_in_the_page_is_the_one_that_is_shipped() -> None:
    page = (ROOT / "docs/operate/install.md").read_text()
    assert f"```ini\n{(ROOT / 'packaging/systemd/pulse.service').read_text()}```" in page
