"""`tconnect user`: the accounts of a site."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from tconnect_pyramid import people
from tconnect_pyramid.cli.base import ACTOR, NONE, assignments, command, secret
from tconnect_pyramid.cli.config import Site
from tconnect_pyramid.cli.output import Answer, Row, Rows, described, say
from tconnect_pyramid.context import Context
from tconnect_pyramid.delivery.outbox import deliver_now
from tconnect_pyramid.directory.accounts import BATCH, AccountView, in_batches
from tconnect_pyramid.directory.columnmap import STANDARD_FIELDS
from tconnect_pyramid.directory.pictures import MOST_UPLOADED
from tconnect_pyramid.models import Link, Server

COLUMNS = (
    ("Id", "id"),
    ("Username", "username"),
    ("First name", "firstname"),
    ("Last name", "lastname"),
    ("Email", "email"),
    ("Auth", "auth"),
    ("Suspended", "suspended"),
    ("Deleted", "deleted"),
    ("Admin", "admin"),
)
PROFILE_FIELD = "profile_field_"
"""What the name of a custom profile field begins with among the fields of an account."""


@click.group()
def user() -> None:
    """Look after accounts. WHO is a user name, an id or an email address."""


@command(user, "list")
def list_(site: Site) -> Answer:
    """Every account, deleted ones included."""
    context = site.migrated()
    with context.reading() as session:
        rows = account_rows(session, _everybody(session, context))
    return Answer(rows, Rows(COLUMNS, rows, "There are no accounts: make one with `tconnect user add`."))


@command(user, "show")
@click.argument("who")
def show(site: Site, who: str) -> Answer:
    """Everything this site keeps of one account, but for the password."""
    context = site.migrated()
    with context.reading() as session:
        person = context.accounts.find(session, who)
        (row,) = account_rows(session, [person])
        kept = context.accounts.fetch(
            session, [person.key], [name for name in STANDARD_FIELDS if name not in {"password", *row}]
        )
        document = {**row, **kept[person.key], **_belongings(session, context, person.key)}
    return Answer(document, described(document))


@command(user, "add")
@click.argument("name")
@click.option("--email", default="", help="The email address.")
@click.option("--first-name", "firstname", default="")
@click.option("--last-name", "lastname", default="")
@click.option("--idnumber", default="", help="The person's number in your own systems.")
@click.option("--admin", is_flag=True, help="May administer this site.")
@click.option(
    "--password", metavar="-", help="- reads the password from standard input; else it is asked for."
)
@click.option("--no-password", is_flag=True, help="Ask for none: nobody can log in with the account yet.")
def add(
    site: Site,
    name: str,
    admin: bool,
    password: str | None,
    no_password: bool,
    **fields: str,
) -> Answer:
    """Make a local account with the user name NAME."""
    if no_password and password is not None:
        raise click.UsageError("--password and --no-password contradict each other.")
    context = site.migrated()
    typed = None
    if password is not None or (not no_password and sys.stdin.isatty()):
        typed = secret(password, f"Password for {name}", twice=True, what="password")
    with context.unit() as session:
        person = people.add_person(
            session, context, username=name, password=typed, admin=admin, actor=ACTOR, **fields
        )
        answer = _one(session, person)
    # A host that maps no column to it looks after passwords by itself.
    if typed is None and context.accounts.columns.read("password") is not None:
        say(f"{name} has no password yet: give one with `tconnect user password {name}`.")
    return answer


@command(user, "edit")
@click.argument("who")
@click.argument("changes", nargs=-1, required=True, metavar="FIELD=VALUE...")
def edit(site: Site, who: str, changes: tuple[str, ...]) -> Answer:
    """Change fields of an account: firstname, lastname, email, idnumber, city, country, lang and so on.

    Custom profile fields are written profile_field_SHORTNAME=VALUE, dates as 2024-05-31; an empty value takes
    one away. Fields of a person who came from a server are changed there. auth=manual lets somebody log in by a
    password again, auth=nologin not at all.
    """
    wanted = assignments(changes)
    auth = wanted.pop("auth", None)
    custom = {name: wanted.pop(name) for name in list(wanted) if name.startswith(PROFILE_FIELD)}
    context = site.migrated()
    with context.unit() as session:
        person = context.accounts.find(session, who)
        notices = [] if auth is None else people.set_auth(session, context, person.key, auth, actor=ACTOR)
        person = people.edit_person(session, context, person.key, wanted, actor=ACTOR)
        for name, text in custom.items():
            people.set_profile_value(
                session, context, person.key, name.removeprefix(PROFILE_FIELD), text, actor=ACTOR
            )
        answer = _whole(session, context, person)
    deliver_now(context, notices)
    return answer


@command(user, "picture")
@click.argument("who")
@click.argument("file", metavar=f"FILE|{NONE}")
def picture(site: Site, who: str, file: str) -> Answer:
    """Give a person a picture, cut from the middle of a PNG, JPEG, WebP or GIF; or take it away."""
    image = None if file == NONE else _read(file)
    context = site.migrated()
    with context.unit() as session:
        person = context.accounts.find(session, who)
        if image is None:
            people.remove_picture(session, context, person.key, actor=ACTOR)
        else:
            people.set_picture(session, context, person.key, image, actor=ACTOR)
        return _whole(session, context, person)


@command(user, "password")
@click.argument("who")
@click.argument("stdin", required=False, metavar="[-]")
def password(site: Site, who: str, stdin: str | None) -> Answer:
    """Give a local account a new password: typed unseen, or with - read from standard input."""
    context = site.migrated()
    with context.reading() as session:
        context.accounts.find(session, who)
    typed = secret(stdin, f"New password for {who}", twice=True, what="password")
    with context.unit() as session:
        person = context.accounts.find(session, who)
        people.set_password(session, context, person.key, typed, actor=ACTOR)
        (row,) = account_rows(session, [person])
    return Answer(row, f"{person.username} has a new password.")


@command(user, "suspend")
@click.argument("who")
def suspend(site: Site, who: str) -> Answer:
    """Keep a person out, and end their sign-ins here and at the peers."""
    context = site.migrated()
    with context.unit() as session:
        person = context.accounts.find(session, who)
        notices = people.suspend(session, context, person.key, actor=ACTOR)
        answer = _one(session, people.get_person(session, context, person.key))
    deliver_now(context, notices)
    return answer


@command(user, "unsuspend")
@click.argument("who")
def unsuspend(site: Site, who: str) -> Answer:
    """Let a suspended person in again."""
    context = site.migrated()
    with context.unit() as session:
        person = context.accounts.find(session, who)
        people.unsuspend(session, context, person.key, actor=ACTOR)
        return _one(session, people.get_person(session, context, person.key))


@command(user, "delete")
@click.argument("who")
def delete(site: Site, who: str) -> Answer:
    """Delete an account: the row stays with the name, without user name, address and memberships; sign-ins end."""
    context = site.migrated()
    with context.unit() as session:
        person = context.accounts.find(session, who)
        notices = people.delete_person(session, context, person.key, actor=ACTOR)
        # A host's table may keep no deleted accounts.
        gone = context.accounts.view(session, person.key) or person
        (row,) = account_rows(session, [gone])
    deliver_now(context, notices)
    return Answer({**row, "deleted": True}, f"{person.username} is deleted.")


@command(user, "admin")
@click.argument("who")
@click.argument("switch", type=click.Choice(["on", "off"]))
def admin(site: Site, who: str, switch: str) -> Answer:
    """Let a person administer this site, or not any more."""
    context = site.migrated()
    with context.unit() as session:
        person = context.accounts.find(session, who)
        return _one(session, people.set_admin(session, context, person.key, switch == "on", actor=ACTOR))


def account_rows(session: Session, persons: Iterable[AccountView]) -> list[Row]:
    """Accounts as the command shows them, with the server each came from, if any."""
    rows: list[Row] = []
    for some in in_batches(persons):
        links = {
            key: (server, person_id)
            for key, server, person_id in session.execute(
                select(Link.account_key, Server.idnumber, Link.person_id)
                .join(Server, Server.id == Link.server_id)
                .where(Link.account_key.in_([person.key for person in some]))
            )
        }
        for person in some:
            server, person_id = links.get(person.key, (None, None))
            rows.append(
                {
                    "id": person.key,
                    "username": person.username,
                    "auth": person.auth,
                    "deleted": person.deleted,
                    "suspended": person.suspended,
                    "admin": person.admin,
                    "email": person.email,
                    "idnumber": person.idnumber,
                    "firstname": person.firstname,
                    "lastname": person.lastname,
                    "server": server,
                    "person_id": person_id,
                }
            )
    return rows


def _everybody(session: Session, context: Context) -> Iterable[AccountView]:
    after = 0
    while page := context.accounts.page(session, after=after, limit=BATCH, deleted=True):
        yield from page
        after = page[-1].key


def _read(file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            # One byte more than is possible, so that too large a file is told as such and not read whole.
            return opened.read(MOST_UPLOADED + 1)
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}.") from None


def _belongings(session: Session, context: Context, key: int) -> Row:
    found = people.belongings(session, context, key)
    return {"fields": found.fields, "picture": found.picture, "pictures": list(found.pictures)}


def _whole(session: Session, context: Context, person: AccountView) -> Answer:
    (row,) = account_rows(session, [person])
    document = {**row, **_belongings(session, context, person.key)}
    return Answer(document, described(document))


def _one(session: Session, person: AccountView) -> Answer:
    (row,) = account_rows(session, [person])
    return Answer(row, described(row))
