"""What commands show: JSON and CSV for programs, tables and lines for people; progress apart from these."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from unicodedata import normalize

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tconnect_pyramid.directory.accounts import in_batches

DONE = 0
FAILED = 1
USED_WRONGLY = 2
HELD = 3

Row = Mapping[str, object]

_FORMULA = frozenset("=+-@")
"""What a cell begins with that a spreadsheet would compute."""

MOMENTS = frozenset(
    {
        "timecreated",
        "timemodified",
        "firstaccess",
        "lastaccess",
        "lastlogin",
        "currentlogin",
        "started",
        "approved",
        "startdate",
        "enddate",
    }
)
"""Names of values that are points in time."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A table: its columns by title and key, its rows, and what is said when there are none.

    The rows are gone through once, and may be more than fit into memory. `title` stands above them if there are
    any, `after` is said beside them.
    """

    columns: Sequence[tuple[str, str]]
    rows: Iterable[Row]
    empty: str
    after: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Csv:
    """Rows for a spreadsheet, gone through once: the columns by key, and what is said beside them."""

    columns: Sequence[str]
    rows: Iterable[Row]
    after: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a command: `document` for `--json`, `text` for people, and the exit status.

    `document` may be a function that makes it, where that costs something. `text` is lines, `Rows`, several of
    these one after the other, or `Csv`.
    """

    document: object | Callable[[], object]
    text: str | Rows | Csv | Sequence[str | Rows]
    status: int = DONE


def show(answer: Answer, *, as_json: bool) -> None:
    """Print an answer on standard output."""
    if as_json:
        click.echo(as_document(answer.document() if callable(answer.document) else answer.document))
    elif isinstance(answer.text, Csv):
        _show_csv(answer.text)
    else:
        for part in [answer.text] if isinstance(answer.text, str | Rows) else answer.text:
            if isinstance(part, str):
                click.echo(clean(part, lines=True))
            else:
                _show_rows(part)


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


def _show_rows(shown: Rows) -> None:
    console = Console()
    is_empty = True
    for some in in_batches(shown.rows):
        if is_empty and shown.title:
            click.echo(clean(shown.title))
        if console.is_terminal:
            table = Table(*(title for title, _ in shown.columns))
            for row in some:
                table.add_row(*(Text(cell(row.get(key))) for _, key in shown.columns))
            console.print(table)
        else:
            # For a pipe: nothing is cut to a width, and one character parts the columns.
            if is_empty:
                click.echo("\t".join(title for title, _ in shown.columns))
            click.echo("\n".join("\t".join(cell(row.get(key)) for _, key in shown.columns) for row in some))
        is_empty = False
    if is_empty and shown.empty:
        say(shown.empty)
    if shown.after:
        say(shown.after)


def _show_csv(shown: Csv) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(shown.columns)
    writer.writerows([_harmless(row.get(key)) for key in shown.columns] for row in shown.rows)
    if shown.after:
        say(shown.after)


def _harmless(value: object) -> str:
    """A cell of CSV that no spreadsheet takes for a formula: names come from peers too."""
    text = "" if value is None else str(value)
    shown = clean(text)
    # In the wide forms as well, which some spreadsheets read alike.
    begins = normalize("NFKC", shown.lstrip()[:1])
    return f"'{shown}" if begins in _FORMULA or text.startswith(("\t", "\r")) else shown
