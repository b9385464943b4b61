"""The documentation holds together: links lead somewhere, and what the code cites is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from tconnect_pyramid.cli import main

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGES.md",
        *(ROOT / "docs").rglob("*.md"),
    )
    if page.exists()
)
PROTOCOL = ROOT / "docs" / "protocol.md"
PACKAGE = ROOT / "tconnect_pyramid"

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
# `protocol 7.4`, `protocol 3 and 8`, `protocol 3, 4, 5 and 7`, `protocol 3 to 8`.
NUMBER = r"\d+(?:\.\d+)?"
CITATION = re.compile(rf"\bprotocol ({NUMBER}(?:(?:, | and | to ){NUMBER})*)")


def text_of(page: Path) -> str:
    """The page without code, where brackets are no links and `#` begins no heading."""
    return CODE.sub(
        lambda code: " " if code[0].startswith("```") else code[0].strip("`"), page.read_text("utf-8")
    )


def links(page: Path) -> list[str]:
    return LINK.findall(CODE.sub(" ", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = set()
    for heading in HEADING.findall(text_of(page)):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(words.replace(" ", "-"))
    return found


def broken(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return False
    path, _, anchor = unquote(link).partition("#")
    target = page.parent / path if path else page
    if not target.exists():
        return True
    return bool(anchor) and anchor not in anchors(target)


def citations() -> dict[str, list[str]]:
    """Every number of the protocol that the package cites, with the files that do."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for cited in CITATION.findall(path.read_text("utf-8")):
            for number in re.findall(NUMBER, cited):
                found.setdefault(number, []).append(str(path.relative_to(ROOT)))
    return found


def numbers(page: str) -> set[str]:
    return set(re.findall(rf"^#{{2,3}} ({NUMBER})\.? ", page, re.MULTILINE))


def commands(page: Path) -> list[str]:
    """Every call of `tconnect` that the page shows, in a block or within a sentence."""
    found = []
    for code in CODE.findall(page.read_text("utf-8")):
        for line in code.strip("`").splitlines():
            words = line.strip().partition("#  ")[0].partition(" # ")[0]
            if words.startswith("tconnect "):
                found.append(words)
    return found


def mistake(line: str) -> str | None:
    """What is wrong with a call of `tconnect`, or None. Words of the command's own are not looked at."""
    words = [word for word in shlex.split(line)[1:] if word != "…"]
    command: click.Command = main
    context = click.Context(main)
    while words:
        word = words.pop(0)
        if word.startswith("-") and word != "-":
            known = {
                name for parameter in command.params for name in parameter.opts + parameter.secondary_opts
            }
            if word not in known | {"--help"}:
                return f"{command.name} has no {word}"
            if command is main:
                words = words[1:]
        elif isinstance(command, click.Group):
            below = command.get_command(context, word)
            if below is None:
                return f"{command.name} has no command {word}"
            command = below
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    assert [link for link in links(page) if broken(page, link)] == []


def test_what_the_code_cites_of_the_protocol_is_there():
    cited = citations()
    assert {"1", "7.4"} <= cited.keys()
    there = numbers(PROTOCOL.read_text("utf-8"))
    assert {number: paths for number, paths in cited.items() if number not in there} == {}


def test_the_protocol_has_its_ten_sections_in_order():
    sections = re.findall(r"^## (\d+)\. ", PROTOCOL.read_text("utf-8"), re.MULTILINE)
    assert sections == [str(number) for number in range(1, 11)]


def test_every_decision_is_in_the_index():
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    records = [path.name for path in sorted(folder.glob("[0-9]*.md"))]
    assert records
    assert [name for name in records if f"]({name})" not in index] == []
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))


@pytest.mark.parametrize(
    ("link", "is_broken"),
    [
        ("https://example.org/x", False),
        ("design.md", False),
        ("design.md#words", False),
        ("#5-services-of-the-server", False),
        ("no-such-page.md", True),
        ("design.md#no-such-heading", True),
        ("#no-such-heading", True),
    ],
)
def test_broken_links_are_told_from_good_ones(link, is_broken):
    assert broken(PROTOCOL, link) is is_broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_shown_exists(page):
    found = [f"{line}: {problem}" for line in commands(page) if (problem := mistake(line))]
    assert found == []


@pytest.mark.parametrize(
    ("line", "is_right"),
    [
        ("tconnect -c site.ini db upgrade", True),
        ("tconnect server client add --name 'Team site' --setup-secret -", True),
        ("tconnect db downgrade", False),
        ("tconnect client sync --dryrun", False),
    ],
)
def test_a_wrong_command_is_told_from_a_right_one(line, is_right):
    assert (mistake(line) is None) is is_right
