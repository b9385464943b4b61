"""A run that the guard holds, by HTTP: whom it would remove, and that approving lets exactly that through."""

from __future__ import annotations

import pytest
from support import lists
from support.admin import administered, notice, text
from support.lists import cohort, course, person
from support.webapp import PASSWORD

from tconnect_pyramid.client.sync.engine import run_sync

RUNS = "/admin/client/runs"


@pytest.fixture
def server():
    """Five people, an audience of all of them and a course of two."""
    server = lists.ListingServer()
    server.people = [person(id_) for id_ in range(1, 6)]
    server.cohorts = [cohort(1, 1, 2, 3, 4, 5)]
    server.courses = [course(1, 1, 2)]
    return server


@pytest.fixture
def site(make_sqlite, tmp_path, server):
    """A client that has all of that, and holds whatever would be removed from now on."""
    with administered(make_sqlite(), tmp_path, transport=server, client__enabled="true") as site:
        site.command("settings", "set", "client.sync_idnumber", "true")
        lists.connect(site.context)
        for kind in ("users", "collections"):
            assert sync(site, kind).state == "done"
        for guard in ("guard.people", "guard.members"):
            site.command("settings", "set", guard, "0 0")
        yield site


def sync(site, kind):
    return run_sync(site.context, kind, 1, origin="schedule")


def suspended(site) -> set[str]:
    """The ID numbers of the suspended people of the server."""
    return {row["idnumber"] for row in site.command("user", "list") if row["suspended"]}


def members(site) -> dict[str, int]:
    """How many belong to each audience."""
    return {row["name"]: len(row["members"]) for row in site.command("audience", "list", "--members")}


def run(site, id_) -> dict:
    return site.command("client", "run", "show", id_)


def decide(site, id_, what, status=303):
    """Press the button of the run's page, and that of the page that asks."""
    page = site.page(f"{RUNS}/{id_}").click(what.capitalize(), href=f"/{what}$")
    return page.forms["ask"].submit(status=status)


def test_a_held_run_of_people_is_shown_with_whom_it_would_remove(site, server):
    server.people = server.people[2:]
    held = sync(site, "users").run

    listed = site.page(f"{RUNS}?state=held")
    assert f"Run {held}" in text(listed)
    shown = text(listed.click(f"{held}"))
    assert "Held, waits for a decision" in shown
    assert "2 of 5 people that came from the server would be removed here" in shown
    assert "First1 Last1" in shown
    assert "First2 Last2" in shown
    assert "First3" not in shown
    asked = text(site.page(f"{RUNS}/{held}/approve"))
    assert "It would suspend 2." in asked
    assert "It would delete 0." in asked
    assert "First1 Last1" in asked
    assert "First3" not in asked
    assert suspended(site) == set()


def test_approving_removes_exactly_the_people_that_were_listed(site, server):
    server.people = server.people[2:]
    held = sync(site, "users").run

    page = decide(site, held, "approve").follow()

    assert notice(page) == f"Run {held} is approved and done anew: Done."
    done = site.command("client", "run", "list")[0]
    assert page.request.path == f"{RUNS}/{done['run']}"
    assert (done["state"], done["origin"], done["counts"]["suspended"]) == ("done", "page", 2)
    assert run(site, held)["state"] == "approved"
    assert "Approved" in text(site.page(f"{RUNS}/{held}"))
    assert f"Run {done['run']} took its place." in text(site.page(f"{RUNS}/{held}"))
    assert suspended(site) == {"N1", "N2"}


def test_whoever_is_missing_besides_those_that_were_listed_is_not_removed(site, server):
    server.people = server.people[2:]
    held = sync(site, "users").run
    page = site.page(f"{RUNS}/{held}/approve")
    server.people = server.people[1:]

    page = page.forms["ask"].submit(status=303).follow()

    assert "Held, waits for a decision" in notice(page)
    assert suspended(site) == set()
    again = site.command("client", "run", "list")[0]["run"]
    assert page.request.path == f"{RUNS}/{again}"
    assert "It would suspend 3." in text(site.page(f"{RUNS}/{again}/approve"))
    decide(site, again, "approve")
    assert suspended(site) == {"N1", "N2", "N3"}


def test_approving_wants_a_recent_log_in_also_of_a_form_that_was_left_open(site, server):
    server.people = []
    held = sync(site, "users").run
    form = site.page(f"{RUNS}/{held}/approve").forms["ask"]
    site.grow_stale()

    proof = form.submit(status=303).follow()

    assert "Is it you?" in text(proof)
    assert suspended(site) == set()
    assert run(site, held)["state"] == "held"
    proof.forms["prove"]["password"] = PASSWORD
    page = proof.forms["prove"].submit(status=303).follow()
    assert page.request.path == f"{RUNS}/{held}/approve"
    page.forms["ask"].submit(status=303)
    assert suspended(site) == {"N1", "N2", "N3", "N4", "N5"}


@pytest.mark.parametrize("kind", ["users", "collections"])
def test_rejecting_changes_nothing(site, server, kind):
    server.people, server.cohorts, server.courses = [], [], []
    held = sync(site, kind).run
    before = lists.dump(site.context)

    page = decide(site, held, "reject").follow()

    assert notice(page) == f"Run {held} is rejected."
    assert page.html.find("a", href=f"{RUNS}/{held}/approve") is None
    assert run(site, held)["state"] == "rejected"
    assert lists.dump(site.context) == before
    # Nor has it allowed anything.
    assert sync(site, kind).state == "held"


def test_a_held_run_of_members_is_shown_and_approving_lets_exactly_those_go(site, server):
    server.cohorts = [cohort(1, 1, 2)]
    held = sync(site, "collections").run

    shown = text(site.page(f"{RUNS}/{held}"))
    assert "3 of 7 members that came from the server would be removed here" in shown
    assert "Audience 1" in shown
    assert "Course 1" not in shown
    page = site.page(f"{RUNS}/{held}/approve")
    assert "It would end 3 memberships." in text(page)
    assert "It would delete 0." in text(page)
    assert members(site) == {"Audience 1": 5, "Course 1": 2}

    page = page.forms["ask"].submit(status=303).follow()

    assert notice(page) == f"Run {held} is approved and done anew: Done."
    assert members(site) == {"Audience 1": 2, "Course 1": 2}
    assert run(site, held)["state"] == "approved"


def test_an_audience_that_lost_more_members_meanwhile_keeps_all_of_them(site, server):
    server.cohorts = [cohort(1, 1, 2)]
    held = sync(site, "collections").run
    server.cohorts = [cohort(1, 1)]

    assert "Held, waits for a decision" in notice(decide(site, held, "approve").follow())
    assert members(site) == {"Audience 1": 5, "Course 1": 2}


def test_collections_that_would_be_deleted_are_named_and_go_when_that_is_approved(site, server):
    server.cohorts, server.courses = [], []
    held = sync(site, "collections").run

    asked = text(site.page(f"{RUNS}/{held}/approve"))
    assert "It would delete 2." in asked
    assert "Audience 1" in asked
    assert "Course 1" in asked
    decide(site, held, "approve")

    assert members(site) == {}
    assert suspended(site) == set()
