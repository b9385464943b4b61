"""How a command is made: its site, `--json`, what becomes of errors, secrets that are typed or piped."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import click
from sqlalchemy.exc import DBAPIError

from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import DONE, FAILED, USED_WRONGLY, Answer, as_document, say, show
from tconnect_pyramid.errors import InvalidInput, NotFound, TConnectError

JSON = "--json"
FROM_STDIN = "-"
CSV = "as_csv"
NONE = "none"
"""What is written where nothing is wanted."""
ACTOR = "command"
"""Who did it, in the audit trail."""

INTERRUPTED = 130

F = TypeVar("F", bound=Callable[..., Answer])


class Program(click.Group):
    """The whole command line: every failure ends in a sentence on standard error and an exit status."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run the command that `args` name and leave with its exit status."""
        del standalone_mode
        words = list(sys.argv[1:] if args is None else args)
        as_json = JSON in words
        try:
            status = super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            status = _fail(error.format_message(), error.exit_code, as_json=as_json, shown_by=error)
        except (InvalidInput, NotFound) as error:
            status = _fail(str(error), USED_WRONGLY, as_json=as_json)
        except TConnectError as error:
            status = _fail(str(error), FAILED, as_json=as_json)
        except DBAPIError as error:
            # Without the statement and its values, which may hold what nobody should read here.
            status = _fail(f"The database: {error.orig}", FAILED, as_json=as_json)
        except click.Abort:
            say("Stopped.")
            status = INTERRUPTED
        sys.exit(status if isinstance(status, int) else DONE)


def command(group: click.Group, name: str) -> Callable[[Callable[..., Answer]], click.Command]:
    """Make a function a command of `group`: it gets the `Site` and its parameters, and gives an `Answer`."""

    def decorate(function: Callable[..., Answer]) -> click.Command:
        @click.pass_context
        @functools.wraps(function)
        def run(ctx: click.Context, /, as_json: bool, **parameters: Any) -> None:
            if as_json and parameters.get(CSV):
                raise click.UsageError("Choose one of --json and --csv.")
            answer = function(ctx.find_object(Site), **parameters)
            show(answer, as_json=as_json)
            ctx.exit(answer.status)

        flag = click.option(
            JSON, "as_json", is_flag=True, help="Print one JSON document and nothing else on standard output."
        )
        return group.command(name)(flag(run))

    return decorate


def csv_option(function: F) -> F:
    """Give a command the option `--csv`, its parameter `as_csv`: it then answers with `Csv`."""
    text = "Print what is done to whom as CSV, for a spreadsheet, and nothing else on standard output."
    return click.option("--csv", CSV, is_flag=True, help=text)(function)


def secret(given: str | None, prompt: str, *, twice: bool = False, what: str) -> str:
    """A secret that must not stand on the command line: from standard input for `-`, else typed unseen.

    Raises click.UsageError when it was written on the command line, or nobody is there to type it.
    """
    if given == FROM_STDIN:
        return sys.stdin.readline().rstrip("\r\n")
    if given is not None:
        raise click.UsageError(
            f"The {what} would be seen by others on the command line: give - and write it to standard input."
        )
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"The {what} is asked for on a terminal only: give - and write it to standard input."
        )
    return str(click.prompt(prompt, hide_input=True, confirmation_prompt=twice, err=True))


def assignments(words: Sequence[str]) -> dict[str, str]:
    """The `FIELD=VALUE` words of a command. Raises click.UsageError."""
    found: dict[str, str] = {}
    for word in words:
        field, sign, value = word.partition("=")
        if not sign or not field:
            raise click.UsageError(f"Expected FIELD=VALUE, found {word!r}.")
        found[field] = value
    return found


def _fail(message: str, status: int, *, as_json: bool, shown_by: click.ClickException | None = None) -> int:
    if isinstance(shown_by, click.UsageError):
        shown_by.show()
    else:
        say(f"Error: {message}")
    if as_json:
        click.echo(as_document({"error": message}))
    return status
