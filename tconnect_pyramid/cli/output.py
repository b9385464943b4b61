"""What commands show: JSON for programs, tables and lines for people; progress apart from both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

DONE = 0
FAILED = 1
USED_WRONGLY = 2
HELD = 3

Row = Mapping[str, object]

MOMENTS = frozenset(
    {
        "timecreated",
        "timemodified",
        "firstaccess",
        "lastaccess",
        "lastlogin",
        "currentlogin",
        "started",
        "startdate",
        "enddate",
    }
)
"""Names of values that are points in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a command: `document` for `--json`, `text` for people, and the exit status.

    `text` is lines, or `Rows`.
    """

    document: object
    text: str | Rows
    status: int = DONE


@dataclass(frozen=True, slots=True)
class Rows:
    """A table: its columns by title and key, its rows, and what is said when there are none.

    `below` are lines that belong to the answer, `after` is said beside it.
    """

    columns: Sequence[tuple[str, str]]
    rows: Sequence[Row]
    empty: str
    after: str = ""
    below: str = ""


def show(answer: Answer, *, as_json: bool) -> None:
    """Print an answer on standard output."""
    if as_json:
        click.echo(as_document(answer.document))
    elif isinstance(answer.text, str):
        click.echo(clean(answer.text, lines=True))
    else:
        _show_rows(answer.text)


def as_document(document: object) -> str:
    """One JSON document, in which what a terminal would obey is written as an escape of JSON."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1]
        for character in text
    )


def described(row: Row) -> str:
    """One object in lines of name and value."""
    width = max(map(len, row), default=0)
    return "\n".join(f"{name:<{width}}  {_described(name, value)}".rstrip() for name, value in row.items())


def _described(name: str, value: object) -> str:
    if value is False:
        return "no"
    if name in MOMENTS and isinstance(value, int):
        return f"{moment(value)} UTC" if value else "-"
    return cell(value)


def cell(value: object) -> str:
    """A value in one line of text."""
    match value:
        case None | False:
            return "-"
        case True:
            return "yes"
        case list() | tuple():
            return " ".join(cell(each) for each in value) or "-"
        case dict():
            return clean(json.dumps(value, ensure_ascii=False)) if value else "-"
        case _:
            return clean(str(value))


def moment(seconds: int | None) -> str:
    """A point in time as people read it, UTC; the number itself where no calendar goes that far."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" if seconds else "-"
    except (ValueError, OverflowError, OSError):
        # Peers send such times.
        return str(seconds)


def clean(text: str, *, lines: bool = False) -> str:
    """The text without what a terminal would obey instead of show: names come from peers too."""
    return "".join(
        character if character.isprintable() or (lines and character == "\n") else " " for character in text
    )


def say(message: str) -> None:
    """Tell a person something on standard error, where it is in no program's way."""
    click.echo(clean(message, lines=True), err=True)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal that something long is under way."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(Text(f"{clean(what)} …")):
            yield
    else:
        yield


def _show_rows(rows: Rows) -> None:
    console = Console()
    if not rows.rows:
        say(rows.empty)
    elif console.is_terminal:
        table = Table(*(title for title, _ in rows.columns))
        for row in rows.rows:
            table.add_row(*(Text(cell(row.get(key))) for _, key in rows.columns))
        console.print(table)
    else:
        # For a pipe: nothing is cut to a width, and one character parts the columns.
        click.echo("\t".join(title for title, _ in rows.columns))
        for row in rows.rows:
            click.echo("\t".join(cell(row.get(key)) for _, key in rows.columns))
    if rows.below:
        click.echo(clean(rows.below, lines=True))
    if rows.after:
        say(rows.after)
