"""Removing frameworks and items, by hand or by a sync, with whatever hangs on them.

A host's SQLite may not follow foreign keys, so whatever hangs on a row is removed by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from tconnect_pyramid.directory.accounts import forget_digests, in_batches
from tconnect_pyramid.directory.hierarchies import Hierarchy
from tconnect_pyramid.directory.hierarchy_trees import with_subtrees
from tconnect_pyramid.models import Counterpart, Job, SiteValue


def remove_items(session: Session, hierarchy: Hierarchy, ids: Iterable[int]) -> list[int]:
    """Remove items with all below them, their custom values and counterparts; jobs lose them.

    Gives the ids of all that are gone.
    """
    gone = with_subtrees(session, hierarchy, ids)
    for some in in_batches(gone):
        # Should an item come back, the jobs that a server has there are to get it again.
        forget_digests(session, session.scalars(select(Job.account_key).where(hierarchy.held_as.in_(some))))
        session.execute(update(Job).where(hierarchy.held_as.in_(some)).values({hierarchy.held_as: None}))
        session.execute(delete(hierarchy.value).where(hierarchy.value.item_id.in_(some)))
        _remove_counterparts(session, hierarchy.kind, some)
    # The deepest first: a parent never goes before what is below it, whatever the database follows.
    for some in in_batches(reversed(gone)):
        session.execute(delete(hierarchy.item).where(hierarchy.item.id.in_(some)))
    return gone


def remove_frameworks(session: Session, hierarchy: Hierarchy, ids: Iterable[int]) -> None:
    """Remove frameworks with all that is in them, their counterparts, and what clients were to get of them."""
    for some in in_batches(ids):
        within = session.scalars(select(hierarchy.item.id).where(hierarchy.item.framework_id.in_(some)))
        remove_items(session, hierarchy, within.all())
        _remove_counterparts(session, hierarchy.framework_kind, some)
        session.execute(delete(hierarchy.sent_to).where(hierarchy.sent_to.framework_id.in_(some)))
        session.execute(delete(hierarchy.framework).where(hierarchy.framework.id.in_(some)))
        if session.scalar(select(SiteValue.name).where(SiteValue.name == had_some(hierarchy))) is None:
            session.execute(insert(SiteValue).values(name=had_some(hierarchy), value="yes"))


def had_some(hierarchy: Hierarchy) -> str:
    """The name of the site's value that says that it had frameworks of the kind, even if none is left."""
    return f"had_{hierarchy.plural}"


def _remove_counterparts(session: Session, kind: str, ids: Sequence[int]) -> None:
    session.execute(delete(Counterpart).where(Counterpart.kind == kind, Counterpart.local_id.in_(ids)))
