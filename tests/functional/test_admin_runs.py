"""The pages of the runs of synchronisations by HTTP, read back by the command."""

from __future__ import annotations

import pytest
from support.admin import administered, notice, text
from support.webapp import add_person

from tconnect_pyramid.models import Run, RunLine


@pytest.fixture
def site(make_sqlite, tmp_path):
    with administered(make_sqlite(), tmp_path) as site:
        yield site


def add(site, *, lines=0, **more) -> int:
    values = {"kind": "users", "state": "held", "origin": "schedule", "counts": {"deleted": lines}, **more}
    with site.context.unit() as session:
        run = Run(server_id=1, server_idnumber="s" * 40, started=site.context.clock(), **values)
        session.add(run)
        session.flush()
        session.add_all(
            RunLine(run_id=run.id, action="deleted", remote_id=number, subject=f"person {number:03}")
            for number in range(lines)
        )
        return run.id


def test_the_list_is_filtered_and_paged_with_the_newest_first(site):
    ids = [add(site, state="done") for _ in range(30)]
    held = add(site, kind="collections")
    first = site.page("/admin/client/runs")
    second = first.click("Next")
    shown = [
        int(link.get_text().split()[-1]) for page in (first, second) for link in page.html.select("tbody a")
    ]

    assert shown == [held, *reversed(ids)]
    only = site.page("/admin/client/runs?kind=collections&state=held")
    assert len(only.html.select("tbody tr")) == 1
    assert "Held, waits for a decision" in text(only)
    assert "by the schedule" in text(only)
    assert "Nothing is found." in text(site.page("/admin/client/runs?state=failed"))


def test_a_run_shows_its_lines_a_page_at_a_time(site):
    id_ = add(site, lines=60)
    page = site.page(f"/admin/client/runs/{id_}")
    shown = []
    for _ in range(3):
        shown += [row.find_all("td")[1].get_text() for row in page.html.select("tbody tr")]
        page = page.click("Next") if page.html.find("a", rel="next") else page

    assert shown == [f"person {number:03}" for number in range(60)]


def test_rejecting_names_what_would_be_removed_and_wants_a_recent_log_in(site):
    id_ = add(site, lines=12)
    page = site.page(f"/admin/client/runs/{id_}/reject")
    assert "It would delete 12." in text(page)
    assert "Among them: person 000, " in text(page)
    assert "person 009, …" in text(page)

    assert notice(page.forms["ask"].submit(status=303).follow()) == f"Run {id_} is rejected."
    assert site.command("client", "run", "list")[0]["state"] == "rejected"
    assert "waits for no decision" in notice(
        site.page(f"/admin/client/runs/{id_}/reject", status=303).follow()
    )
    site.grow_stale()
    assert "/prove" in site.page(f"/admin/client/runs/{id_}/approve", status=303).location


def test_one_whose_server_is_gone_is_not_approved(site):
    id_ = add(site, lines=1)
    page = site.page(f"/admin/client/runs/{id_}/approve").forms["ask"].submit(status=303).follow()

    assert "is not connected any more" in notice(page)
    assert site.command("client", "run", "list")[0]["state"] == "held"


@pytest.mark.parametrize(
    "path", ["/7", "/x", "/99999999999999999999", "/7/approve", "/7/reject", "/7/undo", "/7/resume"]
)
def test_what_is_not_there_is_not_found(site, path):
    site.page(f"/admin/client/runs{path}", status=404)


def test_only_administrators_get_in(site):
    id_ = add(site)
    add_person(site.context)
    site.browser.get("/logout").forms["logout"].submit()
    form = site.browser.get("/login").forms["login"]
    form["username"], form["password"] = "ada", "correct horse battery"
    form.submit(status=303)

    site.page("/admin/client/runs", status=403)
    site.browser.post(f"/admin/client/runs/{id_}/reject", status=403)
