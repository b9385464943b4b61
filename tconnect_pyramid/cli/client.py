"""`tconnect client`: this site as a client, its servers, and what is synchronised from them.

Runs and single people have modules of their own.
"""

from __future__ import annotations

from dataclasses import asdict

import click
from sqlalchemy.orm import Session

from tconnect_pyramid.cli.base import ACTOR, assignments, command, csv_option
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import (
    DONE,
    FAILED,
    Answer,
    Row,
    Rows,
    described,
    working,
)
from tconnect_pyramid.cli.person import person
from tconnect_pyramid.cli.run import STATUS, lines_of, run, run_csv, run_row, run_table
from tconnect_pyramid.cli.user import account_rows
from tconnect_pyramid.client import connecting, leaving, renewal, servers
from tconnect_pyramid.client import explain as explanations
from tconnect_pyramid.client.sync import pause
from tconnect_pyramid.client.sync.engine import KINDS
from tconnect_pyramid.client.syncing import EVERYTHING, HANDSHAKE, do_one, servers_to_ask
from tconnect_pyramid.context import Context

ALL = "all"
SERVER_COLUMNS = (
    ("Id", "id"),
    ("Name", "name"),
    ("Address", "url"),
    ("State", "state"),
    ("Version", "apiversion"),
    ("Idnumber", "idnumber"),
    ("Paused", "paused"),
    ("Comment", "comment"),
)


@click.group()
def client() -> None:
    """Sign people in to this site through another one."""


@client.group()
def server() -> None:
    """Look after the servers of this client. SERVER is an id or an idnumber."""


client.add_command(run)
client.add_command(person)


@command(client, "enable")
def enable(site: Site) -> Answer:
    """Be a client."""
    return _switch(site, on=True)


@command(client, "disable")
def disable(site: Site) -> Answer:
    """Be no client for now: nobody signs in through a server, and nothing is synchronised."""
    return _switch(site, on=False)


@command(client, "status")
def status(site: Site) -> Answer:
    """Whether this site is a client, and what its peers know it by."""
    context = site.migrated()
    with context.reading() as session:
        return _status(session, context)


@command(client, "connect")
@click.option("--cancel", is_flag=True, help="Withdraw the connection request that is open.")
def connect(site: Site, cancel: bool) -> Answer:
    """Open a connection request: what the server's administrator needs to add this site.

    It stays open until it is used or cancelled; asked again, it is shown again.
    """
    context = site.migrated()
    with context.unit() as session:
        if cancel:
            cancelled = connecting.cancel_invitation(session, context, actor=ACTOR)
            text = "The connection request is cancelled." if cancelled else "There was no connection request."
            return Answer({"cancelled": cancelled}, text)
        invitation = connecting.open_invitation(session, context, actor=ACTOR)
    document = {"client_url": invitation.client_url, "setup_secret": invitation.setup_secret}
    return Answer(
        document,
        "On the server, add this site as a client, with this address and this setup secret:\n"
        f"{described(document)}",
    )


@command(server, "list")
def list_(site: Site) -> Answer:
    """The servers this site is connected to."""
    context = site.migrated()
    with context.reading() as session:
        paused = pause.list_paused(session)
        rows = [
            {**asdict(view), "paused": [each.kind for each in paused if each.server_id == view.id]}
            for view in servers.list_servers(session)
        ]
    shown = [{**row, "paused": ", ".join(row["paused"])} for row in rows]
    return Answer(rows, Rows(SERVER_COLUMNS, shown, "This site is connected to no server."))


@command(server, "edit")
@click.argument("server")
@click.argument("changes", nargs=-1, metavar="[GUARD=VALUE]...")
@click.option("--comment", help="A note for administrators of this site.")
def edit(site: Site, server: str, changes: tuple[str, ...], comment: str | None) -> Answer:
    """Change what this site notes of a server, and the guards of its runs.

    guard.people="20 10", guard.members and guard.items hold for this server instead of the options of this site; an
    empty one is the site's again.
    """
    if comment is None and not changes:
        raise click.UsageError("Nothing to change: give --comment or GUARD=VALUE.")
    guards = assignments(changes)
    context = site.migrated()
    with context.unit() as session:
        found = servers.find_server(session, server)
        row = asdict(
            servers.edit_server(session, context, found.id, comment=comment, guards=guards, actor=ACTOR)
        )
    return Answer(row, described(row))


@command(server, "leave")
@click.argument("server")
@click.option(
    "--accounts",
    type=click.Choice(["keep", "suspend", "delete"]),
    help="What becomes of the people who came from it; administrators and protected accounts are always kept.",
)
@click.option(
    "--new-auth",
    type=click.Choice(["manual", "nologin"]),
    default="manual",
    show_default=True,
    help="By what they log in from then on: a password kept here, or nothing.",
)
@click.option("--force", is_flag=True, help="End it here even if the server does not confirm.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def leave(
    site: Site,
    server: str,
    accounts: leaving.Choice | None,
    new_auth: leaving.NewAuth,
    force: bool,
    dry_run: bool,
) -> Answer:
    """End the connection with a server for good: what came from it becomes this site's own.

    People are signed out. Status 1 while the server has not confirmed; it is asked again every hour, or by this
    command (--accounts is not needed again).
    """
    context = site.migrated()
    with context.reading() as session:
        found = servers.find_server(session, server)
        is_new = found.state != servers.LEAVING
        if is_new and accounts is None:
            raise click.UsageError("Say what becomes of its people: --accounts keep, suspend or delete.")
        planned = leaving.preview(session, context, found.id, accounts) if accounts and is_new else None
    if dry_run:
        would = "left" if is_new else "asked again to let this site go"
        left = leaving.Left(False, False, f"{found.name} would be {would}.", planned)
    else:
        with working(f"Leaving {found.name}"):
            left = leaving.leave(
                context, found.id, accounts=accounts, new_auth=new_auth, force=force, actor=ACTOR
            )
    state = found.state if dry_run else "left" if left.ended else servers.LEAVING
    document = {
        **asdict(found),
        "state": state,
        "confirmed": left.confirmed,
        "message": left.message,
        **({} if left.effect is None else {"accounts": left.accounts, **asdict(left.effect)}),
    }
    return Answer(document, _left(left), DONE if dry_run or left.ended else FAILED)


@command(server, "rotate")
@click.argument("server")
def rotate(site: Site, server: str) -> Answer:
    """Let a server give this site new secrets in both directions; the old ones are refused from then on.

    The server has to be a site of this project; it calls this site for that. Where its answer is lost, give the command
    again.
    """
    context = site.migrated()
    with context.reading() as session:
        found = servers.find_server(session, server)
    with working(f"Renewing the secrets of {found.name}"):
        view = renewal.rotate_secrets(context, found.id, actor=ACTOR)
    return Answer(asdict(view), f"The secrets of {view.name} are new, and the old ones are refused.")


@command(client, "sync")
@click.argument("kind", type=click.Choice([*EVERYTHING, ALL]), default=ALL)
@click.option("--server", "who", metavar="SERVER", help="Only from this server.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and to whom.")
@click.option(
    "--reconcile",
    is_flag=True,
    help="Compare every account itself, also of people of whom the server says what it said before.",
)
@click.option("--resume", is_flag=True, help="Let a kind go on that is paused since a run was undone.")
@csv_option
def sync(
    site: Site, kind: str, who: str | None, dry_run: bool, reconcile: bool, resume: bool, as_csv: bool
) -> Answer:
    """Make what came from the servers as they say now; all is the handshake and every kind that is synchronised.

    Who is as they were costs nothing; --reconcile also finds what was changed here by hand, as the daily task does.
    Without a kind it is all. --csv goes with --dry-run; what a run did, `client run show RUN --csv` shows. Status 1
    when one failed or was only partly done, 3 when the guard holds one.
    """
    if as_csv and not dry_run:
        raise click.UsageError("--csv goes with --dry-run; what was done, `client run show RUN --csv` shows.")
    if dry_run and kind == HANDSHAKE:
        raise click.UsageError("A handshake changes nothing but the version in use; it has no --dry-run.")
    if resume and (dry_run or who is None or kind not in KINDS):
        raise click.UsageError("--resume takes one kind and --server, and goes without --dry-run.")
    kinds = list(EVERYTHING) if kind == ALL else [kind]
    if dry_run:
        kinds = [each for each in kinds if each != HANDSHAKE]
    context = site.migrated()
    wanted = servers_to_ask(context, who)
    if resume:
        with context.unit() as session:
            pause.resume(session, context, kind, wanted[0].id, actor=ACTOR)
    reports = []
    for server in wanted:
        for each in kinds:
            with working(f"{each} from {server.name}"):
                report = do_one(context, each, server, origin=ACTOR, dry_run=dry_run, reconcile=reconcile)
            # Who asks for one kind hears why it is not synchronised; `all` is about the others.
            if report.asked or kind != ALL:
                reports.append(report)
    return Answer(
        lambda: [
            {**run_row(report), **({"lines": [*lines_of(report)]} if dry_run else {})} for report in reports
        ],
        run_csv(context, reports) if as_csv else run_table(context, reports, lines=dry_run),
        max(STATUS.get(report.state, DONE) for report in reports),
    )


@command(client, "explain")
@click.argument("who")
@click.option("--server", metavar="SERVER", help="Only this server; WHO may then be a person's id there.")
@click.option("--reconcile", is_flag=True, help="Say what a run with --reconcile would do.")
def explain(site: Site, who: str, server: str | None, reconcile: bool) -> Answer:
    """Say why somebody is here as they are, or is not here: link, list, earlier runs, and what a run now would do.

    WHO is an account here (user name, id or email address), or person:ID with the id at the server, or the user
    name, email address or ID number of somebody there. The server is asked for its people; nothing is changed.
    """
    context = site.migrated()
    with working("Asking"):
        explained = explanations.explain(context, who, server=server, reconcile=reconcile)
    return Answer(
        [_explained(context, each) for each in explained],
        "\n\n".join("\n".join(each.sentences) for each in explained),
        FAILED if any(each.state == "failed" for each in explained) else DONE,
    )


def _explained(context: Context, each: explanations.Explanation) -> dict[str, object]:
    with context.reading() as session:
        accounts = {
            name: account_rows(session, [view])[0] if view else None
            for name, view in (("asked", each.asked), ("account", each.account))
        }
    return {**asdict(each), **accounts, "server": each.server.idnumber, "sentences": each.sentences}


def _switch(site: Site, *, on: bool) -> Answer:
    context = site.migrated()
    with context.unit() as session:
        servers.enable(session, context, on, actor=ACTOR)
        return _status(session, context)


def _status(session: Session, context: Context) -> Answer:
    document: Row = {
        "enabled": context.options(session).client_enabled,
        "url": context.settings.site_url,
        "name": context.settings.site_name,
        "idnumber": context.idnumber(session),
        "servers": len(servers.list_servers(session)),
    }
    return Answer(document, described(document))


def _left(left: leaving.Left) -> str:
    lines = [left.message]
    effect = left.effect
    if effect is not None:
        lines.append(
            f"Accounts: {effect.kept} kept, {effect.suspended} suspended, {effect.deleted} deleted. "
            f"Sign-ins ended: {effect.sign_ins}."
        )
        lines.append(
            f"This site's own from now on: {effect.audiences} audiences or groups, {effect.positions} positions, "
            f"{effect.organisations} organisations."
        )
        if effect.spared:
            lines.append(f"Kept as administrators or protected accounts: {', '.join(effect.spared)}.")
    return "\n".join(line for line in lines if line)
