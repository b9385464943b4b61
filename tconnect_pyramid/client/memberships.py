"""Members of collections who are not known here: not yet when the collection was synchronised, or not any more."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.directory.bulk import among
from tconnect_pyramid.models import AudienceMember, AwaitedMember, Collection, GroupMember


def join_awaited(
    session: Session, context: Context, server_id: int, key_by_person: Mapping[int, int]
) -> None:
    """Add people who just got an account to the collections that have been waiting for them."""
    table, owner = _kept_in(context)
    for people in in_batches(key_by_person):
        found = session.execute(
            select(AwaitedMember.person_id, Collection.id, Collection.local_id)
            .join(Collection, Collection.id == AwaitedMember.collection_id)
            .where(among(AwaitedMember.person_id, people), Collection.server_id == server_id)
        ).all()
        if not found:
            continue
        # An account that was taken over may have been added by hand before.
        keys = [key_by_person[person] for person in people]
        there = {
            (key, local_id)
            for key, local_id in session.execute(
                select(table.account_key, owner).where(among(table.account_key, keys))
            )
        }
        new = {(key_by_person[person], local_id) for person, _, local_id in found} - there
        if new:
            session.execute(
                insert(table), [{"account_key": key, owner.key: local_id} for key, local_id in sorted(new)]
            )
        session.execute(
            delete(AwaitedMember).where(
                among(AwaitedMember.person_id, people),
                AwaitedMember.collection_id.in_({collection for _, collection, _ in found}),
            )
        )


def leave(session: Session, context: Context, server_id: int, key: int, *, awaiting: int | None) -> None:
    """Let an account that is no person's any more leave the collections of a server.

    They await the person with the id `awaiting`; None: who was meant is not known there any more.
    """
    table, owner = _kept_in(context)
    left = session.execute(
        select(Collection.id, Collection.local_id)
        .join(table, owner == Collection.local_id)
        .where(table.account_key == key, Collection.server_id == server_id)
    ).all()
    session.execute(delete(table).where(table.account_key == key, owner.in_({it.local_id for it in left})))
    if awaiting is None:
        return
    known = session.scalars(select(AwaitedMember.collection_id).where(AwaitedMember.person_id == awaiting))
    rows = [{"person_id": awaiting, "collection_id": id_} for id_ in {it.id for it in left} - set(known)]
    if rows:
        session.execute(insert(AwaitedMember), rows)


def _kept_in(
    context: Context,
) -> tuple[type[AudienceMember | GroupMember], InstrumentedAttribute[int]]:
    """The table of members of what collections are here, and its column of what they belong to."""
    if context.settings.client_type == "social":
        return GroupMember, GroupMember.group_id
    return AudienceMember, AudienceMember.audience_id
