"""Audiences, and the groups of a social site, kept by hand: one code for both tables.

Those that a sync owns (`component` says who) are shown here, and changed by that sync alone (protocol 9).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tconnect_pyramid.directory.accounts import AccountView, in_batches
from tconnect_pyramid.directory.nouns import MANY, ONE
from tconnect_pyramid.directory.paging import Asked, Page, in_any_case, page_of
from tconnect_pyramid.directory.surroundings import Surroundings, as_id, known_members, line, noted
from tconnect_pyramid.errors import Conflict, InvalidInput, NotFound
from tconnect_pyramid.models import (
    Audience,
    AudienceMember,
    Client,
    ClientAudience,
    Collection,
    FormerMember,
    Group,
    GroupMember,
)
from tconnect_pyramid.protocol.collections import COHORT
from tconnect_pyramid.texts import text as _

LONGEST_NAME = 254
LONGEST_IDNUMBER = 100
EDITABLE = ("name", "idnumber", "description")


@dataclass(frozen=True, slots=True)
class Kept:
    """Which of the two pairs of tables is meant. They have the same columns, so they are typed as one."""

    word: str
    table: type[Audience]
    members: type[AudienceMember]
    owner: InstrumentedAttribute[int]


AUDIENCES = Kept("audience", Audience, AudienceMember, AudienceMember.audience_id)
GROUPS = Kept(
    "group", cast("type[Audience]", Group), cast("type[AudienceMember]", GroupMember), GroupMember.group_id
)


@dataclass(frozen=True, slots=True)
class AudienceView:
    """An audience or group as plain data.

    `kind` is what it is at the server it came from, `cohort` or `course`; `cohort` for one made here.
    `members` are account keys, or None where they were not asked for; `size` is how many there are.
    """

    id: int
    idnumber: str
    name: str
    description: str
    kind: str
    component: str
    timecreated: int
    timemodified: int
    size: int
    members: tuple[int, ...] | None = field(default=None)


def list_audiences(
    session: Session, *, kept: Kept = AUDIENCES, members: bool = False, ids: Sequence[int] | None = None
) -> list[AudienceView]:
    """All audiences (or those with these ids) in the order of their ids, with their members if wanted."""
    table = kept.table
    statement = select(table).order_by(table.id)
    sizes = select(kept.owner, func.count()).group_by(kept.owner)
    belonging = select(kept.owner, kept.members.account_key).order_by(kept.owner, kept.members.account_key)
    if ids is not None:
        statement = statement.where(table.id.in_(ids))
        sizes = sizes.where(kept.owner.in_(ids))
        belonging = belonging.where(kept.owner.in_(ids))
    counted: dict[int, int] = dict(session.execute(sizes).all())
    origins = select(Collection.local_id, Collection.kind)
    kinds: dict[int, str] = dict(
        session.execute(origins if ids is None else origins.where(Collection.local_id.in_(ids))).all()
    )
    keys: dict[int, list[int]] = {}
    if members:
        for owner, key in session.execute(belonging):
            keys.setdefault(owner, []).append(key)
    return [
        AudienceView(
            id=row.id,
            idnumber=row.idnumber,
            name=row.name,
            description=row.description,
            kind=kinds.get(row.id, COHORT) if row.component else COHORT,
            component=row.component,
            timecreated=row.timecreated,
            timemodified=row.timemodified,
            size=counted.get(row.id, 0),
            members=tuple(keys.get(row.id, ())) if members else None,
        )
        for row in session.scalars(statement)
    ]


def page_of_audiences(session: Session, asked: Asked, *, kept: Kept = AUDIENCES) -> Page[AudienceView]:
    """A page of the audiences, without their members; sorted by `name`, `idnumber` or `timecreated`."""
    table = kept.table
    found = page_of(
        session,
        select(table.id),
        asked,
        key=table.id,
        orders={
            "name": in_any_case(table.name),
            "idnumber": in_any_case(table.idnumber),
            "timecreated": table.timecreated,
        },
        searched=(table.name, table.idnumber),
    )
    return found.map(lambda rows: _in_order(session, kept, [row.id for row in rows]))


def page_of_members(
    session: Session, around: Surroundings, audience_id: int, asked: Asked, *, kept: Kept = AUDIENCES
) -> Page[AccountView]:
    """A page of who belongs to an audience, see `Accounts.page_of_members`."""
    return around.accounts.page_of_members(
        session, kept.members.account_key, kept.owner == audience_id, asked
    )


def audiences_of(session: Session, key: int) -> list[AudienceView]:
    """The audiences an account belongs to, by name."""
    ids = session.scalars(select(AudienceMember.audience_id).where(AudienceMember.account_key == key)).all()
    return sorted(list_audiences(session, ids=ids), key=lambda view: view.name.lower())


def find_audience(session: Session, who: str, *, kept: Kept = AUDIENCES) -> AudienceView:
    """The audience named by an administrator: its id or its idnumber. Raises NotFound."""
    table = kept.table
    ids = session.scalars(
        select(table.id)
        .where(or_(table.id == as_id(who), table.idnumber == who) if as_id(who) else table.idnumber == who)
        .limit(3)
    ).all()
    # An id is what a script holds, so that no idnumber of another may get in its way.
    exact = [id_ for id_ in ids if id_ == as_id(who)] or list(ids)
    if not exact or not who:
        raise NotFound(
            _("There is no ${kind} ${who}: give its id or its idnumber.", kind=ONE[kept.word], who=repr(who))
        )
    if len(exact) > 1:
        raise NotFound(
            _("Several ${kinds} have the idnumber ${who}: give an id.", kinds=MANY[kept.word], who=repr(who))
        )
    return get_audience(session, exact[0], kept=kept)


def get_audience(session: Session, audience_id: int, *, kept: Kept = AUDIENCES) -> AudienceView:
    """One audience with its members. Raises NotFound."""
    found = list_audiences(session, kept=kept, members=True, ids=[audience_id])
    if not found:
        raise NotFound(_("There is no ${kind} with the id ${id}.", kind=ONE[kept.word], id=str(audience_id)))
    return found[0]


def add_audience(
    session: Session,
    around: Surroundings,
    *,
    name: str,
    idnumber: str = "",
    description: str = "",
    kept: Kept = AUDIENCES,
    actor: str = "command",
) -> AudienceView:
    """Make an audience; clients that are to get each new one get this one too (protocol 8).

    Raises InvalidInput, and Conflict when the idnumber is taken.
    """
    now = around.clock()
    values = _values(session, kept, {"name": name, "idnumber": idnumber, "description": description})
    row = kept.table(**values, component="", timecreated=now, timemodified=now)
    session.add(row)
    session.flush()
    offer_new(session, [row.id], kept=kept)
    around.audit(session, actor, f"{kept.word}.added", row.name, id=row.id, idnumber=row.idnumber)
    return get_audience(session, row.id, kept=kept)


def edit_audience(
    session: Session,
    around: Surroundings,
    audience_id: int,
    changes: Mapping[str, str],
    *,
    kept: Kept = AUDIENCES,
    actor: str = "command",
) -> AudienceView:
    """Change `name`, `idnumber` or `description`. Raises NotFound, InvalidInput and Conflict."""
    row = _own(session, kept, audience_id)
    values = _values(session, kept, changes, but=audience_id)
    changed = {name: value for name, value in values.items() if getattr(row, name) != value}
    if changed:
        for name, value in changed.items():
            setattr(row, name, value)
        row.timemodified = around.clock()
        session.flush()
        around.audit(session, actor, f"{kept.word}.edited", row.name, id=row.id, fields=sorted(changed))
    return get_audience(session, audience_id, kept=kept)


def delete_audience(
    session: Session,
    around: Surroundings,
    audience_id: int,
    *,
    kept: Kept = AUDIENCES,
    actor: str = "command",
) -> None:
    """Remove an audience and who belonged to it. Raises NotFound and Conflict.

    A client that is restricted to it stays so: nobody is sent to that client any more (protocol 5).
    """
    row = _own(session, kept, audience_id)
    name, idnumber = row.name, row.idnumber
    remove_audiences(session, [audience_id], kept=kept)
    around.audit(session, actor, f"{kept.word}.deleted", name, id=audience_id, idnumber=idnumber)


def offer_new(session: Session, ids: Iterable[int], *, kept: Kept = AUDIENCES) -> None:
    """Add audiences that were just made for each active client that gets each new one (protocol 8)."""
    if kept is not AUDIENCES:
        return
    for some in in_batches(ids):
        wanted = (
            select(Client.id, Audience.id)
            .join(Audience, Audience.id.in_(some))
            .where(Client.state == "active", Client.add_new_audiences.is_(True))
        )
        session.execute(insert(ClientAudience).from_select(["client_id", "audience_id"], wanted))


def remove_audiences(session: Session, ids: Iterable[int], *, kept: Kept = AUDIENCES) -> None:
    """Remove audiences, whoever made them, with all that hangs on them: a host's SQLite may not follow keys."""
    for some in in_batches(ids):
        session.execute(delete(kept.members).where(kept.owner.in_(some)))
        if kept is AUDIENCES:
            session.execute(delete(ClientAudience).where(ClientAudience.audience_id.in_(some)))
            session.execute(delete(FormerMember).where(FormerMember.audience_id.in_(some)))
        session.execute(delete(kept.table).where(kept.table.id.in_(some)))


def add_members(
    session: Session,
    around: Surroundings,
    audience_id: int,
    keys: Iterable[int],
    *,
    kept: Kept = AUDIENCES,
    actor: str = "command",
) -> int:
    """Let accounts belong to an audience; gives how many did not before.

    Raises NotFound, Conflict, and InvalidInput when a key is no account or a deleted one.
    """
    row = _own(session, kept, audience_id)
    wanted = known_members(session, around, list(keys))
    present = set(session.scalars(select(kept.members.account_key).where(kept.owner == audience_id)))
    new = [key for key in wanted if key not in present]
    if new:
        session.execute(
            insert(kept.members), [{"account_key": key, kept.owner.key: audience_id} for key in new]
        )
        around.audit(session, actor, f"{kept.word}.members_added", row.name, id=audience_id, **noted(new))
    return len(new)


def remove_members(
    session: Session,
    around: Surroundings,
    audience_id: int,
    keys: Iterable[int],
    *,
    kept: Kept = AUDIENCES,
    actor: str = "command",
) -> int:
    """End the membership of accounts; gives how many belonged. Raises NotFound and Conflict."""
    row = _own(session, kept, audience_id)
    gone: list[int] = []
    for some in in_batches(keys):
        gone.extend(
            session.scalars(
                delete(kept.members)
                .where(kept.owner == audience_id, kept.members.account_key.in_(some))
                .returning(kept.members.account_key)
            )
        )
    if gone:
        around.audit(session, actor, f"{kept.word}.members_removed", row.name, id=audience_id, **noted(gone))
    return len(gone)


def _in_order(session: Session, kept: Kept, ids: Sequence[int]) -> list[AudienceView]:
    by_id = {view.id: view for view in list_audiences(session, kept=kept, ids=ids)}
    return [by_id[id_] for id_ in ids]


def _own(session: Session, kept: Kept, audience_id: int) -> Audience:
    row = session.get(kept.table, audience_id)
    if row is None:
        raise NotFound(_("There is no ${kind} with the id ${id}.", kind=ONE[kept.word], id=str(audience_id)))
    if row.component:
        raise Conflict(
            _(
                "The ${kind} ${name} is kept by ${owner} as its server has it; change it there.",
                kind=ONE[kept.word],
                name=repr(row.name),
                owner=row.component,
            )
        )
    return row


def _values(
    session: Session, kept: Kept, given: Mapping[str, str], *, but: int | None = None
) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, text in given.items():
        match name:
            case "name":
                values[name] = line(name, text, LONGEST_NAME, needed=True)
            case "idnumber":
                values[name] = line(name, text, LONGEST_IDNUMBER)
            case "description":
                values[name] = text.replace("\0", "").strip()
            case _:
                raise InvalidInput(
                    name,
                    _(
                        "${name}: is no field of ${kinds}; these are: ${fields}.",
                        name=name,
                        kinds=MANY[kept.word],
                        fields=", ".join(EDITABLE),
                    ),
                )
    if values.get("idnumber"):
        table = kept.table
        taken = select(table.id).where(table.idnumber == values["idnumber"], table.id != (but or 0)).limit(1)
        if session.scalar(taken) is not None:
            raise Conflict(
                _(
                    "Another ${kind} has the idnumber ${idnumber}; choose one of its own.",
                    kind=ONE[kept.word],
                    idnumber=repr(values["idnumber"]),
                )
            )
    return values
