"""Members of collections who were not known here when the collection was synchronised."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from tconnect_pyramid.context import Context
from tconnect_pyramid.directory.accounts import in_batches
from tconnect_pyramid.models import AudienceMember, AwaitedMember, Collection, GroupMember


def join_awaited(
    session: Session, context: Context, server_id: int, key_by_person: Mapping[int, int]
) -> None:
    """Add people who just got an account to the collections that have been waiting for them."""
    social = context.settings.client_type == "social"
    table, owner = (
        (GroupMember, GroupMember.group_id) if social else (AudienceMember, AudienceMember.audience_id)
    )
    for people in in_batches(key_by_person):
        found = session.execute(
            select(AwaitedMember.person_id, Collection.id, Collection.local_id)
            .join(Collection, Collection.id == AwaitedMember.collection_id)
            .where(AwaitedMember.person_id.in_(people), Collection.server_id == server_id)
        ).all()
        if not found:
            continue
        # An account that was taken over may have been added by hand before.
        keys = [key_by_person[person] for person in people]
        there = {
            (key, local_id)
            for key, local_id in session.execute(
                select(table.account_key, owner).where(table.account_key.in_(keys))
            )
        }
        new = {(key_by_person[person], local_id) for person, _, local_id in found} - there
        if new:
            session.execute(
                insert(table), [{"account_key": key, owner.key: local_id} for key, local_id in sorted(new)]
            )
        session.execute(
            delete(AwaitedMember).where(
                AwaitedMember.person_id.in_(people),
                AwaitedMember.collection_id.in_({collection for _, collection, _ in found}),
            )
        )
