"""`tconnect client person`: one person of a server, and the account that is theirs here."""

from __future__ import annotations

import click

from tconnect_pyramid.cli.base import ACTOR, command
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import DONE, Answer, Row, described, working
from tconnect_pyramid.cli.run import STATUS, lines_of, run_row, run_table
from tconnect_pyramid.cli.user import account_rows
from tconnect_pyramid.client import links
from tconnect_pyramid.client.leaving import NewAuth
from tconnect_pyramid.client.sync.report import RunReport
from tconnect_pyramid.context import Context


@click.group()
def person() -> None:
    """Look after one person of a server, and the account that is theirs here."""


@command(person, "sync")
@click.argument("who")
@click.option("--server", metavar="SERVER", help="Where person:ID is; needed when there are several.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def sync(site: Site, who: str, server: str | None, dry_run: bool) -> Answer:
    """Ask the server for one person, and bring their account in step as a sync of people would.

    WHO is an account here, or person:ID with the id at the server. Whom the server does not send any more is kept,
    suspended or deleted, as client.removed_person says. Status 1 when the person had to be skipped.
    """
    context = site.migrated()
    server_id, person_id = links.find_person(context, who, server)
    with working(f"Asking for {who}"):
        report = links.sync_person(context, server_id, person_id, origin=ACTOR, dry_run=dry_run)
    with context.reading() as session:
        key = links.account_of(session, server_id, person_id)
    return _answer(context, report, key)


@command(person, "unlink")
@click.argument("who")
@click.option(
    "--new-auth",
    type=click.Choice(["manual", "nologin"]),
    default="manual",
    show_default=True,
    help="By what the account logs in from then on: a password kept here, or nothing.",
)
@click.option(
    "--username", default="", metavar="NAME", help="The user name it has from then on; else it keeps its own."
)
@click.option("--dry-run", is_flag=True, help="Only say what would come of it.")
def unlink(site: Site, who: str, new_auth: NewAuth, username: str, dry_run: bool) -> Answer:
    """End the link between the account WHO and a person of a server: the account stays, as this site's own.

    Sign-ins end. It says what the next sync will do about the person; --dry-run says so before. An account tc_... that
    keeps its user name is in the way of the person, who is skipped then.
    """
    context = site.migrated()
    with context.reading() as session:
        key = context.accounts.find(session, who).key
    with working(f"Asking for {who}"):
        done = links.unlink_person(
            context, key, new_auth=new_auth, username=username, actor=ACTOR, dry_run=dry_run
        )
    with context.reading() as session:
        (row,) = account_rows(session, [done.account])
    tie = done.tie
    document = {
        **row,
        "server": None,
        "person_id": None,
        "unlinked": not dry_run,
        "former_server": tie.server_idnumber,
        "former_person_id": tie.person_id,
        "sign_ins": done.sign_ins,
        "outlook": list(done.outlook),
    }
    is_or = "would be" if dry_run else "is"
    first = (
        f"{done.account.username} {is_or} this site's own, and no more the person {tie.person_id} of {tie.server}. "
        f"Sign-ins ended: {done.sign_ins}."
    )
    return Answer(document, [first, *done.outlook])


@command(person, "relink")
@click.argument("who")
@click.argument("person", metavar="PERSON")
@click.option("--server", metavar="SERVER", help="Where the person is; needed when there are several.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def relink(site: Site, who: str, person: str, server: str | None, dry_run: bool) -> Answer:
    """Let the local account WHO be that of the person with the id PERSON at the server.

    As if they had taken it over: it keeps its id, user name and memberships, and the rest becomes the server's. Never
    done to administrators, protected accounts and whoever is linked already. `client run undo` takes it back.
    """
    context = site.migrated()
    found = links.only_server(context, server)
    person_id = links.person_number(person)
    with context.reading() as session:
        key = context.accounts.find(session, who).key
    with working(f"Asking for the person {person_id}"):
        report = links.relink_person(
            context, key, found.id, person_id, origin=ACTOR, actor=ACTOR, dry_run=dry_run
        )
    return _answer(context, report, key)


def _answer(context: Context, report: RunReport, key: int | None) -> Answer:
    """The account as it is now, and the run that has looked at it."""
    row: Row = {}
    with context.reading() as session:
        view = None if key is None else context.accounts.view(session, key)
        if view is not None:
            (row,) = account_rows(session, [view])
    return Answer(
        lambda: {**row, **run_row(report), "lines": [*lines_of(report)]},
        [*([described(row)] if row else []), *run_table(context, [report], lines=True)],
        STATUS.get(report.state, DONE),
    )
