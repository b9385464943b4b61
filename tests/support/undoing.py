"""Runs of a client site that are undone, and what undoing promises to bring back."""

from __future__ import annotations

from sqlalchemy import select

from tconnect_pyramid.client.undo import undo_run
from tconnect_pyramid.models import AudienceMember, Job, Link, ProfileValue


def tables(site):
    """What undoing promises to bring back: accounts without times, and what belongs to them."""
    with site.context.reading() as session:
        keys = session.scalars(select(site.context.accounts.key)).all()
        accounts = site.context.accounts.fetch(session, keys)
        for each in accounts.values():
            each.pop("timemodified")
            each["admin"] = bool(each["admin"])
        links = select(Link.person_id, Link.account_key, Link.suspended_by_sync).order_by(Link.person_id)
        kept = [
            sorted(map(tuple, session.execute(select(*table.__table__.columns))))
            for table in (AudienceMember, ProfileValue)
        ]
        jobs = [tuple(row) for row in session.execute(select(*Job.__table__.columns).order_by(Job.id))]
        return accounts, [tuple(row) for row in session.execute(links)], kept, jobs


def counts(report):
    return {name: number for name, number in report.counts.items() if number}


def undo(site, run, **how):
    return undo_run(site.context, run.run, actor="command", **how)


def went(site, before, after):
    """One run that makes `after` of `before`; gives it and the tables before it."""
    site.server.people = before
    assert site.sync().state == "done"
    was = tables(site)
    site.server.people = after
    run = site.sync()
    assert run.state == "done"
    assert tables(site) != was
    return run, was
