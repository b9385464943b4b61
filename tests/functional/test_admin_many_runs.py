"""Pages about runs cost the same however many there are: the same statements for 10 runs as for 1,000 with many lines."""

from __future__ import annotations

import pytest
from sqlalchemy import func, insert, select
from support import lists
from support.admin import administered
from support.statements import listening

from tconnect_pyramid.models import Run, RunLine

FIRST = 1
"""The run whose pages are looked at: it is held."""
PAGES = {
    "the list": "/admin/client/runs",
    "the list of one kind and state": "/admin/client/runs?kind=collections&state=held",
    "a run with its lines": f"/admin/client/runs/{FIRST}",
    "the page that asks before it is approved": f"/admin/client/runs/{FIRST}/approve",
    "the servers with their newest runs": "/admin/client/servers",
    "a server with its newest runs": "/admin/client/servers/1",
}


@pytest.fixture
def site(make_database, tmp_path):
    with administered(make_database(), tmp_path, client__enabled="true") as site:
        lists.connect(site.context)
        yield site


def add_runs(site, number: int, lines: int) -> None:
    """Runs of every kind of the only server, and further lines for the first one; all of them are held."""
    kinds = ("collections", "users", "positions", "organisations")
    with site.context.unit() as session:
        there = session.scalar(select(func.count()).select_from(Run))
        session.execute(
            insert(Run),
            [
                {
                    "server_id": 1,
                    "server_idnumber": "5" * 40,
                    "kind": kinds[each % len(kinds)],
                    "state": "held",
                    "origin": "schedule",
                    "started": site.context.clock(),
                    "counts": {"deleted": lines},
                }
                for each in range(number)
            ],
        )
        ids = session.scalars(select(Run.id).order_by(Run.id)).all()
        session.execute(
            insert(RunLine),
            [
                {
                    "run_id": id_,
                    "action": action,
                    "remote_id": each,
                    "subject": f"cohort {each}",
                    "detail": "",
                }
                for id_ in {FIRST, *ids[there:]}
                for each in range(lines)
                for action in ("deleted", "updated")
            ],
        )


def costs(site) -> dict[str, int]:
    """How many statements each page makes."""
    made = {}
    for name, path in PAGES.items():
        with listening(site.context.database.engine) as statements:
            site.page(path)
        made[name] = len(statements)
    return made


def test_every_page_about_runs_costs_the_same_however_many_there_are(site):
    add_runs(site, 10, lines=2)
    few = costs(site)

    add_runs(site, 990, lines=20)

    assert costs(site) == few
    assert all(number > 0 for number in few.values())
    listed = site.page(PAGES["the list"])
    assert len(listed.html.select("tbody tr")) == 25


def test_a_page_in_the_middle_costs_what_the_first_one_costs(site):
    add_runs(site, 100, lines=20)
    for name in ("the list", "a run with its lines"):
        with listening(site.context.database.engine) as first:
            page = site.page(PAGES[name])
        with listening(site.context.database.engine) as second:
            page.click("Next")

        assert len(second) == len(first) > 0
