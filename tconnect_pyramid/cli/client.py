"""`tconnect client`: this site as a client, its servers, and what is synchronised from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid.cli.base import ACTOR, assignments, command, csv_option
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import (
    DONE,
    FAILED,
    HELD,
    Answer,
    Csv,
    Row,
    Rows,
    described,
    moment,
    working,
)
from tconnect_pyramid.cli.user import account_rows
from tconnect_pyramid.client import connecting, leaving, runs, servers, undo
from tconnect_pyramid.client import explain as explanations
from tconnect_pyramid.client.signin import refresh_person
from tconnect_pyramid.client.sync import pause
from tconnect_pyramid.client.sync.engine import KINDS
from tconnect_pyramid.client.sync.report import LineView, RunReport
from tconnect_pyramid.client.syncing import EVERYTHING, HANDSHAKE, do_one, servers_to_ask
from tconnect_pyramid.context import Context
from tconnect_pyramid.errors import Conflict
from tconnect_pyramid.models import Link

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
RUN_COLUMNS = (
    ("Run", "run"),
    ("Kind", "kind"),
    ("Server", "server"),
    ("State", "state"),
    ("Counts", "counted"),
    ("Seconds", "seconds"),
)
LINE_COLUMNS = (
    ("What", "action"),
    ("Id there", "remote_id"),
    ("Account", "account"),
    ("Who", "subject"),
    ("Detail", "detail"),
)
NO_LINES = "It is about nobody and nothing."
CSV_COLUMNS = ("kind", "server", *(key for _, key in LINE_COLUMNS))
STATUS = {"failed": FAILED, "partial": FAILED, "held": HELD}
"""The exit status of a run by its state; the others are done."""


@click.group()
def client() -> None:
    """Sign people in to this site through another one."""


@client.group()
def server() -> None:
    """Look after the servers of this client. SERVER is an id or an idnumber."""


@client.group()
def run() -> None:
    """Look back at syncs, and decide about one that is held."""


@client.group()
def person() -> None:
    """Look after one person of a server."""


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
            {**_run_row(report), **({"lines": [*_lines(report)]} if dry_run else {})} for report in reports
        ],
        _csv(context, reports) if as_csv else _table(context, reports, lines=dry_run),
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


@command(run, "list")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first."
)
def list_runs(site: Site, limit: int) -> Answer:
    """The last syncs, newest first."""
    context = site.migrated()
    with context.reading() as session:
        reports = runs.list_runs(session, limit=limit)
        paused = pause.list_paused(session)
    return Answer(
        [_run_row(report) for report in reports],
        [
            *_table(context, reports, started=True),
            *(
                f"{each.kind} from {each.server}: paused since run {each.run} was undone; `{each.remedy}` lets it go on."
                for each in paused
            ),
        ],
    )


@command(run, "show")
@click.argument("run", type=int)
@csv_option
def show_run(site: Site, run: int, as_csv: bool) -> Answer:
    """One sync with what it did, or wanted to do, to whom."""
    context = site.migrated()
    report = runs.show_run(context, run)
    summary = _run_row(report)
    return Answer(
        lambda: {**summary, "lines": [*_lines(report)]},
        _csv(context, [report])
        if as_csv
        else [
            described({**summary, "counts": _counted(report)}),
            Rows(LINE_COLUMNS, _lines(report), NO_LINES),
        ],
    )


@command(run, "approve")
@click.argument("run", type=int)
def approve(site: Site, run: int) -> Answer:
    """Allow what a held sync would remove, and start it anew; what is wanted beyond that is held again.

    What is not wanted any more is listed with the reason. Where the new sync fails, or another one is under way, the
    approval stands for 24 hours, and the next sync uses it.
    """
    context = site.migrated()
    with working(f"Run {run} anew"):
        report = runs.approve_run(context, run, actor=ACTOR)
    unwanted = [_line(line) for line in runs.unwanted_of(report)]
    told = Rows(LINE_COLUMNS, unwanted, "", title="Approved, and not wanted any more:")
    return Answer(
        {**_run_row(report), "unwanted": unwanted},
        [*_table(context, [report]), *([told] if unwanted else [])],
        STATUS.get(report.state, DONE),
    )


@command(run, "reject")
@click.argument("run", type=int)
def reject(site: Site, run: int) -> Answer:
    """Decide that a held sync is not to be done, also if it was approved before."""
    context = site.migrated()
    runs.reject_run(context, run, actor=ACTOR)
    row = _run_row(runs.show_run(context, run))
    return Answer(row, f"Run {run} is rejected; nothing was changed.")


@command(run, "undo")
@click.argument("run", type=int)
@click.option("--dry-run", is_flag=True, help="Only say what would become of whom.")
def undo_run(site: Site, run: int, dry_run: bool) -> Answer:
    """Take back what a sync of people did, where nobody has changed it since, and pause that sync.

    `client sync users --server SERVER --resume` lets it go on. Status 1 when something was changed since, and left.
    """
    context = site.migrated()
    with working(f"Undoing run {run}"):
        report = undo.undo_run(context, run, actor=ACTOR, dry_run=dry_run)
    return Answer(
        lambda: {**_run_row(report), "lines": [*_lines(report)]},
        _table(context, [report], lines=True),
        FAILED if report.counts["skipped"] else DONE,
    )


@command(person, "sync")
@click.argument("who")
def sync_person(site: Site, who: str) -> Answer:
    """Fetch one person from their server and bring their account up to date."""
    context = site.migrated()
    with context.reading() as session:
        found = context.accounts.find(session, who)
        link = session.execute(
            select(Link.server_id, Link.person_id).where(Link.account_key == found.key)
        ).first()
    if link is None:
        raise Conflict(f"{found.username} came from no server.")
    with working(f"Asking for {found.fullname}"):
        refreshed = refresh_person(context, link.server_id, link.person_id)
    if refreshed is None:
        raise Conflict(f"The server has nobody to send for {found.username}; the account stays as it is.")
    with context.reading() as session:
        (row,) = account_rows(session, [refreshed])
    return Answer(row, described(row))


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


def _run_row(report: RunReport) -> dict[str, object]:
    return {
        "kind": report.kind,
        "server": report.server,
        "run": report.run,
        "state": report.state,
        "counts": report.counts,
        "seconds": report.seconds,
        "message": report.message,
        "origin": report.origin,
        "started": report.started or None,
        "approved_by": report.approved_by,
        "approved": report.approved,
    }


def _lines(report: RunReport) -> Iterator[dict[str, object]]:
    yield from map(_line, report.lines)


def _line(line: LineView) -> dict[str, object]:
    return {key: getattr(line, key) for _, key in LINE_COLUMNS}


def _counted(report: RunReport) -> str:
    return ", ".join(f"{number} {name}" for name, number in report.counts.items() if number)


def _decision(row: Mapping[str, object]) -> str:
    # A dry run leaves nothing to decide about.
    if row["state"] != "held" or row["run"] is None:
        return ""
    return f" `tconnect client run show {row['run']}` shows whom it is about, `run approve` and `run reject` decide."


def _summaries(context: Context, reports: Sequence[RunReport]) -> list[dict[str, object]]:
    """A row for each run, with the server's name."""
    with context.reading() as session:
        names = {view.idnumber: view.name for view in servers.list_servers(session)}
    return [
        {
            **_run_row(report),
            "server": names.get(report.server, report.server),
            "state": "held, approved" if report.state == "held" and report.approved else report.state,
            "counted": _counted(report),
            "when": moment(report.started),
        }
        for report in reports
    ]


def _csv(context: Context, reports: Sequence[RunReport]) -> Csv:
    rows = _summaries(context, reports)
    return Csv(
        CSV_COLUMNS,
        (
            {"kind": row["kind"], "server": row["server"], **line}
            for row, report in zip(rows, reports, strict=True)
            for line in _lines(report)
        ),
        "\n".join(f"{_said(row)} {row['counted']}".strip() for row in rows),
    )


def _table(
    context: Context, reports: Sequence[RunReport], *, started: bool = False, lines: bool = False
) -> list[Rows]:
    rows = _summaries(context, reports)
    columns = (("Started (UTC)", "when"), *RUN_COLUMNS) if started else RUN_COLUMNS
    tables = [Rows(columns, rows, "Nothing was synchronised yet.")]
    if lines:
        tables += [
            Rows(LINE_COLUMNS, _lines(report), "", title=f"{row['kind']} from {row['server']}:")
            for row, report in zip(rows, reports, strict=True)
        ]
    # Behind the tables, as a narrow column would break a sentence into pieces.
    said = [
        _said(row)
        for row in rows
        # Of what went well too, such as that a setting is off; but not which version was agreed on.
        if not started and row["message"] and (row["kind"] != HANDSHAKE or row["state"] != "done")
    ]
    return [*tables[:-1], replace(tables[-1], after="\n".join(said))]


def _said(row: Mapping[str, object]) -> str:
    return f"{row['kind']} from {row['server']}: {row['state']}: {row['message']}{_decision(row)}"
